"""Answers that their callers do not take: so many of one caller, and then it gets no others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from hndsr_gateway.holding import Holding
from hndsr_gateway.interceptors import Handler, wrapped
from hndsr_gateway.receiving import owner_of

UNTAKEN_CALLS = 1024
"""Calls that may be over but for an answer that is not taken, beside all others."""
OF_ONE_CALLER = UNTAKEN_CALLS // 8


class UntakenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses callers that leave too many answers of unary calls where they are; within what says who calls.

    HTTP/2 lets a caller take an answer as slowly as it likes, or never, and gRPC keeps the call and its place among all
    calls for as long as the connection lasts: a server cannot end it. A refusal is no answer: it is always taken.
    """

    def __init__(self) -> None:
        self._untaken = Holding("answers are not taken", most=UNTAKEN_CALLS, of_one=OF_ONE_CALLER)

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler that `continuation` finds; its calls raise OverloadedError."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.response_streaming:
            return handler
        return wrapped(handler, self._answering, self._answering)

    def _answering(self, behaviour: Handler) -> Handler:
        async def call(request: Any, context: Any) -> Any:
            owner = owner_of(context)
            self._untaken.check(owner)
            response = await behaviour(request, context)
            self._untaken.take(owner)
            context.add_done_callback(lambda _: self._untaken.release(owner))
            return response

        return call
