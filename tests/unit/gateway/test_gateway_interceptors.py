"""The error interceptor wraps all four shapes of an RPC."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from in_process import Refusal, refusal, run

from hndsr_gateway.errors import GatewayError, OverloadedError
from hndsr_gateway.interceptors import ErrorInterceptor

SHAPES = ["unary_unary", "stream_unary", "unary_stream", "stream_stream"]
OURS = OverloadedError("text", retry_delay_s=2.0)
REFUSED = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, str(OURS), "OVERLOADED", "", 2.0)
UNFORESEEN = Refusal(grpc.StatusCode.INTERNAL, str(GatewayError("the server failed")), "INTERNAL", "", None)
ABORTED = Refusal(grpc.StatusCode.DATA_LOSS, "by the handler itself", "", "", None)


class Shapes(grpc.GenericRpcHandler):
    """One method of each shape; each answers `a` and then fails as it was told."""

    def __init__(self, error: Exception | None = None, *, aborts: bool = False) -> None:
        self._error, self._aborts = error, aborts

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method that is named after its shape."""
        shape = handler_call_details.method.rpartition("/")[2]
        if shape == "writing":
            return grpc.unary_stream_rpc_method_handler(self.writing)
        if shape not in SHAPES:
            return None
        behaviour = self.streaming if shape.endswith("stream") else self.answering
        return getattr(grpc, f"{shape}_rpc_method_handler")(behaviour)

    async def answering(self, _request: Any, context: Any) -> bytes:
        """Answer once."""
        await self._fail(context)
        return b"a"

    async def streaming(self, _request: Any, context: Any) -> AsyncIterator[bytes]:
        """Answer as a generator."""
        yield b"a"
        await self._fail(context)

    async def writing(self, _request: Any, context: Any) -> None:
        """Answer through the context, as the health service does."""
        await context.write(b"a")
        await self._fail(context)

    async def _fail(self, context: Any) -> None:
        if self._aborts:
            await context.abort(grpc.StatusCode.DATA_LOSS, "by the handler itself")
        if self._error is not None:
            raise self._error


async def call(channel: grpc.aio.Channel, shape: str, received: list[bytes] | None = None) -> None:
    """Call the method of one shape to its end."""
    kind = "unary_stream" if shape == "writing" else shape
    method = getattr(channel, kind)(f"/tests.Shapes/{shape}")
    message = iter([b"", b""]) if kind.startswith("stream") else b""
    collected = [] if received is None else received
    if kind.endswith("stream"):
        async for answer in method(message):
            collected.append(answer)
    else:
        collected.append(await method(message))


@contextlib.asynccontextmanager
async def served(handler: grpc.GenericRpcHandler) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor()])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


def refused(handler: Shapes, shape: str) -> tuple[Refusal, list[bytes]]:
    """How a call ends, and what came before."""
    received: list[bytes] = []
    found = []

    async def test() -> None:
        async with served(handler) as channel:
            found.append(await refusal(call(channel, shape, received)))

    run(test())
    return found[0], received


@pytest.mark.parametrize("shape", [*SHAPES, "writing"])
def test_interceptor_answers_our_errors_with_their_status(shape: str) -> None:
    assert refused(Shapes(OURS), shape)[0] == REFUSED


@pytest.mark.parametrize("shape", [*SHAPES, "writing"])
def test_interceptor_answers_unforeseen_errors_with_a_fixed_text(shape: str) -> None:
    assert refused(Shapes(KeyError("secret")), shape)[0] == UNFORESEEN


@pytest.mark.parametrize("shape", [*SHAPES, "writing"])
def test_interceptor_lets_a_handler_abort(shape: str) -> None:
    assert refused(Shapes(aborts=True), shape)[0] == ABORTED


@pytest.mark.parametrize("shape", [*SHAPES, "writing"])
def test_interceptor_logs_nothing_when_a_handler_aborts(shape: str, caplog: pytest.LogCaptureFixture) -> None:
    refused(Shapes(aborts=True), shape)
    assert [record for record in caplog.records if record.name.startswith("hndsr_gateway")] == []


@pytest.mark.parametrize("shape", ["unary_stream", "stream_stream", "writing"])
def test_interceptor_keeps_what_was_answered_before_the_error(shape: str) -> None:
    assert refused(Shapes(OURS), shape)[1] == [b"a"]


@pytest.mark.parametrize("shape", [*SHAPES, "writing"])
def test_interceptor_passes_answers_on(shape: str) -> None:
    received: list[bytes] = []

    async def test() -> None:
        async with served(Shapes()) as channel:
            await call(channel, shape, received)

    run(test())
    assert received == [b"a"]


def test_interceptor_leaves_unknown_methods_to_grpc() -> None:
    async def test() -> None:
        async with served(Shapes()) as channel:
            found = await refusal(channel.unary_unary("/tests.Shapes/Unknown")(b""))
            assert found.code == grpc.StatusCode.UNIMPLEMENTED

    run(test())
