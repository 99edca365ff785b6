"""Errors become status in one place, for all four shapes of an RPC."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc

from hndsr_gateway.errors import GatewayError
from hndsr_gateway.status import DETAILS_KEY, status_of, status_proto

logger = logging.getLogger(__name__)

FAREWELL_S = 10.0
"""How long a status may take to leave."""

Handler = Callable[[Any, Any], Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Answers errors of ours with their status and anything unforeseen with a fixed text."""

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler that `continuation` finds."""
        handler = await continuation(handler_call_details)
        return None if handler is None else _wrapped(handler)


def _wrapped(handler: Any) -> Any:
    shapes: tuple[tuple[str, Callable[[Handler], Handler], Callable[..., Any]], ...] = (
        ("unary_unary", _answering, grpc.unary_unary_rpc_method_handler),
        ("stream_unary", _answering, grpc.stream_unary_rpc_method_handler),
        ("unary_stream", _streaming, grpc.unary_stream_rpc_method_handler),
        ("stream_stream", _streaming, grpc.stream_stream_rpc_method_handler),
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
    details = ((DETAILS_KEY, status_proto(answered).SerializeToString()),)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(context.abort(status_of(answered), str(answered), details), FAREWELL_S)
    # The caller does not read. gRPC keeps the status for it; this is how it lets a handler end without another.
    raise asyncio.CancelledError
