"""Answers that their callers do not take: so many of one address, and then it gets no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from hndsr_gateway.addresses import network_of
from hndsr_gateway.errors import OverloadedError
from hndsr_gateway.interceptors import Handler, wrapped

UNTAKEN_CALLS = 1024
"""Calls that may be over but for an answer that is not taken, beside all others."""
OF_ONE_ADDRESS = UNTAKEN_CALLS // 8
RETRY_DELAY_S = 5.0


class UntakenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses callers that leave too many answers of unary calls where they are.

    HTTP/2 lets a caller take an answer as slowly as it likes, or never, and gRPC keeps the call and its place among all
    calls for as long as the connection lasts: a server cannot end it. A refusal is no answer: it is always taken.
    """

    def __init__(self) -> None:
        self._untaken: Counter[str] = Counter()

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
            address = network_of(context.peer())
            if (count := self._untaken[address]) >= OF_ONE_ADDRESS:
                raise OverloadedError(f"{count} answers are not taken, the most at once", retry_delay_s=RETRY_DELAY_S)
            response = await behaviour(request, context)
            self._untaken[address] += 1
            context.add_done_callback(lambda _: self._taken(address))
            return response

        return call

    def _taken(self, address: str) -> None:
        self._untaken[address] -= 1
        if not self._untaken[address]:
            del self._untaken[address]
