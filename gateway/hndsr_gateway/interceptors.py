"""What all calls have in common, for all four shapes of an RPC: errors become status, and every call is observed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NoReturn

import grpc

from hndsr.v1 import upscale_pb2
from hndsr_gateway.errors import GatewayError
from hndsr_gateway.status import DETAILS_KEY, status_of, status_proto
from hndsr_gateway.telemetry.calls import CANCELLED, OTHER, CallRecord, current_call, observed_call

logger = logging.getLogger(__name__)

FAREWELL_S = 10.0
"""How long a status may take to leave."""

METHODS = frozenset(upscale_pb2.DESCRIPTOR.services_by_name["UpscaleService"].methods_by_name)

Handler = Callable[[Any, Any], Any]
Wrap = Callable[[Handler], Handler]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Observes each call from its arrival to whatever ends it; the outermost of all."""

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler that `continuation` finds."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        path: str = handler_call_details.method
        metadata = {key: value for key, value in handler_call_details.invocation_metadata if isinstance(value, str)}

        @contextlib.contextmanager
        def observed(context: Any) -> Iterator[CallRecord]:
            service, _, name = path.strip("/").rpartition("/")
            record = CallRecord(name if name in METHODS else OTHER, context.peer())
            with observed_call(record, service=service, name=name, metadata=metadata), _judged(record, context):
                yield record

        def answering(behaviour: Handler) -> Handler:
            async def call(request: Any, context: Any) -> Any:
                with observed(context) as record:
                    response = await behaviour(request, context)
                    record.sent_bytes += _size_bytes(response)
                    return response

            return call

        def streaming(behaviour: Handler) -> Handler:
            async def call(request: Any, context: Any) -> AsyncIterator[Any]:
                with observed(context):
                    async for response in behaviour(request, context):
                        yield response

            return call

        return wrapped(handler, answering, streaming)


@contextlib.contextmanager
def _judged(record: CallRecord, context: Any) -> Iterator[None]:
    """Write down how a call ended that is none of ours: aborted, its caller gone, or out of the time it was allowed."""
    try:
        yield
    except grpc.aio.AbortError:
        if not record.reason:
            record.fail(grpc.StatusCode(context.code()).name, "")
        raise
    except asyncio.CancelledError:
        if not record.reason:
            remaining_s = context.time_remaining()
            is_late = remaining_s is not None and remaining_s <= 0
            record.fail("DEADLINE_EXCEEDED" if is_late else CANCELLED, "")
        raise


def _size_bytes(message: Any) -> int:
    return len(message) if isinstance(message, bytes) else message.ByteSize()


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Answers errors of ours with their status and anything unforeseen with a fixed text."""

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler that `continuation` finds."""
        handler = await continuation(handler_call_details)
        return None if handler is None else wrapped(handler, _answering, _streaming)


def wrapped(handler: Any, answering: Wrap, streaming: Wrap) -> Any:
    """A handler of the same shape, whose behaviour is wrapped by the one or the other: by how it answers."""
    shapes: tuple[tuple[str, Wrap, Callable[..., Any]], ...] = (
        ("unary_unary", answering, grpc.unary_unary_rpc_method_handler),
        ("stream_unary", answering, grpc.stream_unary_rpc_method_handler),
        ("unary_stream", streaming, grpc.unary_stream_rpc_method_handler),
        ("stream_stream", streaming, grpc.stream_stream_rpc_method_handler),
    )
    name, wrap, make = next(shape for shape in shapes if getattr(handler, shape[0]) is not None)
    return make(
        wrap(getattr(handler, name)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _answering(behaviour: Handler) -> Handler:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the one place where anything unforeseen is caught
            await _abort(context, error)

    return call


def _streaming(behaviour: Handler) -> Handler:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            responses = behaviour(request, context)
            if inspect.isawaitable(responses):  # it writes to the context by itself, as health's Watch does
                await responses
                return
            async for response in responses:
                yield response
        except Exception as error:  # noqa: BLE001 - its twin for streams
            await _abort(context, error)

    return call


async def _abort(context: Any, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, grpc.aio.BaseError) and not isinstance(error, grpc.aio.UsageError):
        # The caller has gone, or the server has stopped, and what was written failed.
        raise asyncio.CancelledError from error
    if isinstance(error, GatewayError):
        logger.info("refused: %s: %s", error.reason, error)
        answered = error
    else:
        logger.error("unforeseen failure", exc_info=error)
        answered = GatewayError("the server failed")
    current_call().fail(status_of(answered).name, answered.reason)
    details = ((DETAILS_KEY, status_proto(answered).SerializeToString()),)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(context.abort(status_of(answered), str(answered), details), FAREWELL_S)
    # The caller does not read. gRPC keeps the status for it; this is how it lets a handler end without another.
    raise asyncio.CancelledError
