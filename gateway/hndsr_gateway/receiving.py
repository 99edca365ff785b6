"""The message of a unary call, received only once the call was let in, and of few calls at once."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from hndsr.v1 import upscale_pb2
from hndsr_gateway.addresses import network_of
from hndsr_gateway.caller import current_caller
from hndsr_gateway.errors import InvalidRequestError, OverloadedError, RequestTimeoutError
from hndsr_gateway.holding import RETRY_DELAY_S, Holding
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry.calls import current_call

SERVICE = upscale_pb2.DESCRIPTOR.services_by_name["UpscaleService"].full_name
WITH_IMAGES = frozenset({f"/{SERVICE}/Upscale", f"/{SERVICE}/Compare"})
"""Methods whose message may be large."""

SMALL_TIMEOUT_S = 5.0
"""How long another method's message may take to come in; it fits into the packet that brings the call."""

MOST_SMALL, SMALL_OF_ONE = 512, 128
"""Small messages that may come in at once, and of one caller: each holds a place among all calls."""

MOST_SMALL_STREAMS, SMALL_STREAMS_OF_ONE = 16, 4
"""Streams of small messages that may be open at once, and of one caller."""

MORE_PLACES = 8
"""Messages that may come in beside as many as there are requests that are worked on."""

GONE_S = 0.05
"""How long after the end of what a caller sends gRPC may need to say that it has gone."""

Behaviour = Callable[[Any, Any], Any]
Read = Callable[[Any, Any], Any]
"""Receives a call's message, by what its caller sends and its context."""


class ReceivingInterceptor(grpc.aio.ServerInterceptor):
    """Has unary handlers receive their message themselves, when they are called; the innermost of all.

    gRPC receives the message of a unary call whole, up to the largest one that any method may have, before a handler is
    called. To it these handlers are those of streams, of which nothing but what the HTTP/2 window lets through comes in
    before it is asked for; a caller sees no difference. A second message is not read.

    Args:
        settings: how many requests are worked on at once, and how long a message may take.
    """

    def __init__(self, settings: Settings) -> None:
        places = settings.max_concurrent_requests + MORE_PLACES
        self._timeout_s, self._of_one_caller = settings.receive_timeout_s, places // 2
        self._places = asyncio.Semaphore(places)
        most = places + settings.max_queue_depth
        self._waiting = Holding("messages with images come in or wait", most=most, of_one=most // 2)
        self._small_messages = Holding("small messages come in", most=MOST_SMALL, of_one=SMALL_OF_ONE)
        self._small_streams = Holding(
            "streams of small messages are open", most=MOST_SMALL_STREAMS, of_one=SMALL_STREAMS_OF_ONE
        )
        self._places_of: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler that `continuation` finds; those of streams read their messages as they come.

        Its calls raise InvalidRequestError where there is no message or one that cannot be read, RequestTimeoutError
        where it does not come in time, and OverloadedError where too many others come in.
        """
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.request_streaming:
            return handler if handler.request_deserializer is None else self._parsing(handler)
        receive = self._large if handler_call_details.method in WITH_IMAGES else self._small

        async def read(requests: AsyncIterator[bytes], context: Any) -> Any:
            return _parsed(await receive(requests, owner_of(context)), handler.request_deserializer)

        if handler.unary_unary is not None:
            answering = _answering(handler.unary_unary, read)
            return grpc.stream_unary_rpc_method_handler(answering, response_serializer=handler.response_serializer)
        streaming = _streaming(handler.unary_stream, read)
        return grpc.stream_stream_rpc_method_handler(streaming, response_serializer=handler.response_serializer)

    def _parsing(self, handler: Any) -> Any:
        """A handler of streams of small messages, as reflection's: few at once, none of which is silent for long."""

        async def parsed(requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
            while (message := await _next(requests, min(SMALL_TIMEOUT_S, self._timeout_s))) is not None:
                yield _parsed(message, handler.request_deserializer)

        async def call(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            with self._small_streams.one_more(owner_of(context)):
                async for response in handler.stream_stream(parsed(requests), context):
                    yield response

        return grpc.stream_stream_rpc_method_handler(call, response_serializer=handler.response_serializer)

    async def _small(self, requests: AsyncIterator[bytes], owner: str) -> bytes:
        with self._small_messages.one_more(owner):
            return await _message(requests, min(SMALL_TIMEOUT_S, self._timeout_s))

    async def _large(self, requests: AsyncIterator[bytes], owner: str) -> bytes:
        """One of those that wait for a place; one caller has at most half of the places, and of those that wait."""
        of_caller = self._places_of.setdefault(owner, asyncio.Semaphore(self._of_one_caller))
        with self._waiting.one_more(owner):
            async with self._place(of_caller), self._place(self._places):
                return await _message(requests, self._timeout_s)

    @contextlib.asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(places.acquire(), self._timeout_s)
        except asyncio.TimeoutError as error:
            raise OverloadedError(
                f"the messages of other calls took longer than {self._timeout_s:g} s to come in",
                retry_delay_s=RETRY_DELAY_S,
            ) from error
        try:
            yield
        finally:
            places.release()


def owner_of(context: Any) -> str:
    """Whose a call is: its caller's, or of calls that nobody has to be known for, its network's."""
    return current_caller().id or f"anybody:{network_of(context.peer())}"


def _answering(behaviour: Behaviour, read: Read) -> Behaviour:
    async def call(requests: AsyncIterator[bytes], context: Any) -> Any:
        return await behaviour(await read(requests, context), context)

    return call


def _streaming(behaviour: Behaviour, read: Read) -> Behaviour:
    async def call(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        responses = behaviour(await read(requests, context), context)
        if inspect.isawaitable(responses):  # it writes to the context by itself, as health's Watch does
            await responses
            return
        async for response in responses:
            yield response

    return call


async def _message(requests: AsyncIterator[bytes], timeout_s: float) -> bytes:
    message = await _next(requests, timeout_s)
    if message is None:
        await asyncio.sleep(GONE_S)  # a caller that has gone ends here, cancelled
        raise InvalidRequestError("the call ends without a message", field="message")
    return message


async def _next(requests: AsyncIterator[bytes], timeout_s: float) -> bytes | None:
    """The next message, None after the last."""
    try:
        message = await asyncio.wait_for(anext(requests, None), timeout_s)
    except asyncio.TimeoutError as error:
        raise RequestTimeoutError(f"the message was not whole after {timeout_s:g} s") from error
    current_call().received_bytes += len(message or b"")
    return message


def _parsed(message: bytes, deserializer: Callable[[bytes], Any] | None) -> Any:
    try:
        return message if deserializer is None else deserializer(message)
    except DecodeError as error:
        raise InvalidRequestError("the message cannot be read", field="message") from error
