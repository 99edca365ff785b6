"""The message of a unary call: nothing of it comes in before the call was let in, and little at once after that."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import psutil
import pytest
from fakes import FakeBackend
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from in_process import connected, raw, refusal, request, run, running, scene, served
from raw_http2 import (
    FRAME_BYTES,
    INFO,
    UPSCALE,
    RawConnection,
    data,
    header_block,
    headers,
    message,
    raw_connection,
    reset,
)

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway import receiving
from hndsr_gateway.caller import Caller, called_by
from hndsr_gateway.errors import OverloadedError, UnauthenticatedError
from hndsr_gateway.interceptors import CallInterceptor, ErrorInterceptor
from hndsr_gateway.receiving import MORE_PLACES, ReceivingInterceptor
from hndsr_gateway.settings import Settings

INITIAL_WINDOW_SIZE = 4
"""The setting of that name."""
LARGE_BYTES = 256 * 2**20
OF_ONE_CALLER = (1 + MORE_PLACES) // 2
"""Messages of one caller that may come in at once where one request is worked on."""
HEALTH = "/grpc.health.v1.Health/Check"


class Named(grpc.aio.ServerInterceptor):
    """Believes every caller its name; refuses those without one."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Wrap a handler that receives by itself."""
        handler = await continuation(handler_call_details)
        name = dict(handler_call_details.invocation_metadata).get("name", "")

        async def call(requests: Any, context: Any) -> Any:
            if not name:
                raise UnauthenticatedError("nobody says who calls")
            with called_by(Caller(id=name)):
                return await handler.stream_unary(requests, context)

        return grpc.stream_unary_rpc_method_handler(call, response_serializer=handler.response_serializer)


class Answering(upscale_pb2_grpc.UpscaleServiceServicer):
    """Answers at once."""

    async def Upscale(self, request: pb.UpscaleRequest, context: Any) -> pb.UpscaleResponse:  # noqa: N802 - the contract's name
        """Nothing."""
        return pb.UpscaleResponse()


@contextlib.asynccontextmanager
async def named(**settings: Any) -> AsyncIterator[str]:
    """The address of a server that lets those in who name themselves."""
    chosen = Settings(max_concurrent_requests=1, **settings)
    server = grpc.aio.server(
        interceptors=[CallInterceptor(), ErrorInterceptor(), Named(), ReceivingInterceptor(chosen)],
        options=[("grpc.max_receive_message_length", 2 * LARGE_BYTES)],
    )
    upscale_pb2_grpc.add_UpscaleServiceServicer_to_server(Answering(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[RawConnection]:
    """A connection to a gateway."""
    chosen = Settings(listen="127.0.0.1:0", drain_grace_s=0, **settings)
    async with served(FakeBackend(), chosen) as address, raw_connection(address) as connection:
        yield connection


async def begin(connection: RawConnection, number: int, name: str = "") -> None:
    """Open a call and begin a large message."""
    block = header_block(UPSCALE, ("name", name))
    await connection.send(headers(number, block), data(number, message(size_bytes=LARGE_BYTES)))


async def send(connection: RawConnection, number: int, name: str) -> None:
    """Make a call with a small message."""
    block = header_block(UPSCALE, ("name", name))
    await connection.send(headers(number, block), data(number, message(), "END_STREAM"))


def answer(path: str, *frames: bytes, **settings: Any) -> dict[str, str]:
    """Headers and trailers of one call at a gateway."""
    found: list[dict[str, str]] = []

    async def test() -> None:
        async with gateway(**settings) as connection:
            await connection.send(headers(1, header_block(path)), *frames)
            found.append(await connection.ended(1))

    run(test())
    return found[0]


async def flow(connection: RawConnection, number: int) -> None:
    """Send nearly all of a call's message that may be sent before any of it is received."""
    count = connection.peer_settings[INITIAL_WINDOW_SIZE] // FRAME_BYTES - 1
    await connection.send(*[data(number, b"\0" * FRAME_BYTES)] * count)
    await connection.pinged()


def test_message_is_not_received_when_its_call_is_refused() -> None:
    async def test() -> None:
        async with named() as address, raw_connection(address) as connection:
            await begin(connection, 1)
            await flow(connection, 1)
            ended = await connection.ended(1)
            assert (ended["grpc-status"], connection.windows[1], connection.resets) == ("16", 0, {1: 0})

    run(test())


def test_message_is_received_when_its_call_is_let_in() -> None:
    async def test() -> None:
        async with named() as address, raw_connection(address) as connection:
            await begin(connection, 1, "a")
            await flow(connection, 1)
            while not connection.windows[1]:
                await connection.pinged()
            assert connection.answers == {}

    run(test())


@contextlib.asynccontextmanager
async def occupied(**settings: Any) -> AsyncIterator[tuple[RawConnection, str]]:
    """A server where the caller `a` has as many messages on their way as it may, and a connection of it."""
    async with named(**settings) as address, raw_connection(address) as connection:
        for number in range(1, 2 * OF_ONE_CALLER, 2):
            await begin(connection, number, "a")
        await send(connection, 101, "b")
        assert (await connection.ended(101))["grpc-status"] == "0"
        yield connection, address


def test_one_caller_has_half_of_the_places_for_messages() -> None:
    async def test() -> None:
        async with occupied() as (connection, _):
            await send(connection, 201, "a")
            await send(connection, 203, "b")
            await connection.ended(203)
            assert 201 not in connection.answers

    run(test())


def test_one_caller_has_half_of_the_calls_whose_message_comes_in_or_waits() -> None:
    async def test() -> None:
        async with named(max_queue_depth=10) as address, raw_connection(address) as connection:
            most = 1 + MORE_PLACES + 10
            for number in range(most):
                await begin(connection, 2 * number + 1, "a")
            assert (await connection.ended(2 * most - 1))["grpc-status"] == "8"
            await send(connection, 201, "b")
            assert (await connection.ended(201))["grpc-status"] == "0"

    run(test())


def test_small_messages_that_do_not_come_are_few_of_one_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SMALL_OF_ONE", 3)

    async def test() -> None:
        async with gateway() as connection:
            for number in (1, 3, 5):
                await connection.send(headers(number, header_block(HEALTH)))
            await connection.pinged()
            await connection.send(headers(7, header_block(HEALTH)))
            assert (await connection.ended(7))["grpc-status"] == "8"
            assert not {1, 3, 5} & connection.answers.keys()

    run(test())


def test_message_gets_the_place_of_another_that_was_given_up() -> None:
    async def test() -> None:
        async with occupied() as (connection, _):
            await send(connection, 201, "a")
            await connection.send(reset(1))
            assert (await connection.ended(201))["grpc-status"] == "0"

    run(test())


def test_call_is_refused_when_the_messages_of_others_take_too_long() -> None:
    async def test() -> None:
        receiving = ReceivingInterceptor(Settings(receive_timeout_s=0.05))
        with pytest.raises(OverloadedError):
            async with receiving._place(asyncio.Semaphore(0)):
                pass

    run(test())


def test_deadline_covers_the_wait_for_a_place() -> None:
    async def test() -> None:
        async with occupied() as (_, address), connected(address) as client:
            call = client.upscale.Upscale(pb.UpscaleRequest(), metadata=(("name", "a"),), timeout=0.2)
            assert (await refusal(call)).code == grpc.StatusCode.DEADLINE_EXCEEDED

    run(test())


def test_message_that_does_not_come_ends_its_call() -> None:
    ended = answer(UPSCALE, data(1, message(size_bytes=LARGE_BYTES)), receive_timeout_s=0.2)
    assert (ended["grpc-status"], ended["grpc-message"].partition(";")[0]) == (
        "4",
        "the message was not whole after 0.2 s",
    )


@pytest.mark.parametrize("path", [INFO, HEALTH])
def test_small_message_that_does_not_come_ends_its_call(path: str) -> None:
    assert answer(path, data(1, message(size_bytes=LARGE_BYTES)), receive_timeout_s=0.2)["grpc-status"] == "4"


def test_call_without_a_message_is_refused() -> None:
    ended = answer(UPSCALE, data(1, b"", "END_STREAM"))
    assert (ended["grpc-status"], ended["grpc-message"].partition(";")[0]) == ("3", "the call ends without a message")


@pytest.mark.parametrize("path", [UPSCALE, INFO, HEALTH])
def test_message_that_cannot_be_read_is_refused(path: str) -> None:
    ended = answer(path, data(1, message(b"\xff\xff"), "END_STREAM"))
    assert (ended["grpc-status"], ended["grpc-message"].partition(";")[0]) == ("3", "the message cannot be read")


def test_second_message_of_a_call_is_not_read() -> None:
    ended = answer(INFO, data(1, message() + message(b"\xff\xff"), "END_STREAM"))
    assert ended["grpc-status"] == "0"


def test_call_that_does_not_say_that_nothing_follows_is_answered() -> None:
    assert answer(INFO, data(1, message()))["grpc-status"] == "0"


def test_compressed_message_is_refused_before_it_is_unpacked() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            bomb = health_pb2.HealthCheckRequest(service="a" * 2**26)
            before_bytes = psutil.Process().memory_info().rss
            call = client.health.Check(bomb, compression=grpc.Compression.Gzip)
            assert (await refusal(call)).code == grpc.StatusCode.UNIMPLEMENTED
            assert psutil.Process().memory_info().rss - before_bytes < 2**26

    run(test())


def test_stream_of_small_messages_that_falls_silent_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SMALL_TIMEOUT_S", 0.2)

    async def test() -> None:
        async with running(FakeBackend()) as client:
            silent = ServerReflectionStub(client.channel).ServerReflectionInfo()
            await silent.write(ServerReflectionRequest(list_services=""))
            assert (await silent.read()).list_services_response.service
            assert (await refusal(silent.read())).reason == "DEADLINE_EXCEEDED"

    run(test())


def test_streams_of_small_messages_are_few_at_once() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client, contextlib.AsyncExitStack() as stack:
            for _ in range(receiving.SMALL_STREAMS_OF_ONE):
                call = ServerReflectionStub(client.channel).ServerReflectionInfo()
                stack.callback(call.cancel)
                await call.write(ServerReflectionRequest(list_services=""))
                await call.read()
            more = ServerReflectionStub(client.channel).ServerReflectionInfo()
            assert (await refusal(more.read())).reason == "OVERLOADED"

    run(test())


def test_message_over_the_limit_is_refused() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_message_bytes=2**20) as client:
            assert (await refusal(client.upscale.Upscale(request(b"\0" * 2**21)))).code in {
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.INVALID_ARGUMENT,
            }

    run(test())


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The access log."""
    return [record for record in caplog.records if record.name == "hndsr_gateway.access"]


def test_call_that_is_given_up_while_its_message_comes_counts_as_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with gateway() as connection:
            await begin(connection, 1)
            await connection.pinged()
            await connection.send(reset(1))
            await connection.pinged()

    with caplog.at_level(logging.INFO):
        run(test())
    assert [(record.code, record.levelname) for record in logged(caplog)] == [("CANCELLED", "INFO")]  # type: ignore[attr-defined]


def test_received_bytes_are_counted_when_a_call_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    sent = request(raw(scene((5, 7))))

    async def test() -> None:
        async with running(FakeBackend()) as client:
            await client.upscale.Upscale(sent)

    with caplog.at_level(logging.INFO):
        run(test())
    assert [record.bytes_in for record in logged(caplog)] == [sent.ByteSize()]  # type: ignore[attr-defined]


def test_health_is_watched_as_before() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            watched = client.health.Watch(health_pb2.HealthCheckRequest())
            assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVING
            watched.cancel()

    run(test())
