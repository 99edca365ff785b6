"""Who may make which call, before anything of it is read."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
from grpc_health.v1 import health

from hndsr.v1 import upscale_pb2
from hndsr_gateway.caller import Scope, called_by
from hndsr_gateway.errors import PermissionDeniedError
from hndsr_gateway.identity.identity import Identity
from hndsr_gateway.interceptors import Handler, wrapped
from hndsr_gateway.limits import Kind, Limits
from hndsr_gateway.telemetry.calls import current_call

SERVICE = upscale_pb2.DESCRIPTOR.services_by_name["UpscaleService"].full_name
OPEN = f"/{health.SERVICE_NAME}/"
"""The service that anybody may call: who watches over a gateway is no caller of it."""

SCOPES: Final[Mapping[str, Scope]] = {
    f"/{SERVICE}/GetModelInfo": Scope.INFO,
    f"/{SERVICE}/PlanUpscale": Scope.INFO,
    f"/{SERVICE}/Upscale": Scope.UPSCALE,
    f"/{SERVICE}/Compare": Scope.UPSCALE,
    f"/{SERVICE}/UpscaleStream": Scope.STREAM,
}
"""What each method is for."""


def scope_of(method: str) -> Scope | None:
    """What a method is for: of other services, as reflection, information; unknown ones of ours are for nobody."""
    return SCOPES.get(method) if method.startswith(f"/{SERVICE}/") else Scope.INFO


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls in whose caller is known and may make them, and has `current_caller` say who it is.

    Args:
        identity: tells who calls.
        limits: tell how often, and how much at once.
    """

    def __init__(self, identity: Identity, limits: Limits) -> None:
        self._identity, self._limits = identity, limits

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """Wrap the handler that `continuation` finds.

        Its calls raise UnauthenticatedError, PermissionDeniedError or QuotaExceededError where they are not let in.
        """
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN):
            return handler

        def answering(behaviour: Handler) -> Handler:
            async def call(request: Any, context: Any) -> Any:
                async with self._let_in(handler_call_details, context):
                    return await behaviour(request, context)

            return call

        def streaming(behaviour: Handler) -> Handler:
            async def call(request: Any, context: Any) -> AsyncIterator[Any]:
                async with self._let_in(handler_call_details, context):
                    responses = behaviour(request, context)
                    if inspect.isawaitable(responses):  # it writes to the context by itself
                        await responses
                        return
                    async for response in responses:
                        yield response

            return call

        return wrapped(handler, answering, streaming)

    @contextlib.asynccontextmanager
    async def _let_in(self, details: Any, context: Any) -> AsyncIterator[None]:
        await self._limits.count_address(context.peer())
        caller = await self._identity.identify(details.invocation_metadata, context.auth_context(), context.peer())
        current_call().caller = caller.name
        scope = scope_of(details.method)
        if scope not in caller.scopes:
            raise PermissionDeniedError(name=caller.name, scope=details.method if scope is None else scope.value)
        kind = Kind.STREAM if scope is Scope.STREAM else Kind.CALL
        async with self._limits.let_in(caller, kind) as let_in:
            with called_by(let_in):
                yield
