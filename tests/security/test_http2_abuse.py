"""Abuse of HTTP/2 itself: whatever one connection does, a caller beside it is answered, and nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
from fakes import FakeBackend
from grpc_health.v1 import health_pb2
from in_process import Client, connected, raw, request, run, scene, served
from raw_http2 import (
    FRAME_BYTES,
    INFO,
    PREFACE,
    STREAM,
    UPSCALE,
    RawConnection,
    data,
    head,
    header_block,
    headers,
    literal,
    message,
    ping,
    raw_connection,
    reset,
    settings,
)

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway import http2, untaken
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.server import SMALL_RPCS
from hndsr_gateway.settings import Settings

INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 4, 3, 6
"""Settings of HTTP/2."""
ENHANCE_YOUR_CALM, REFUSED_STREAM = 11, 7
"""Its errors."""
SPARE_BYTES = 32 * 2**20
"""What an attack may leave behind: pools, and what is not collected yet."""
FEW = {"max_concurrent_requests": 2, "max_queue_depth": 2, "max_streams": 2}
CALLS = sum(FEW.values()) + SMALL_RPCS

Attack = Callable[[str], Awaitable[None]]


def held() -> list[asyncio.Task[Any]]:
    """Calls that the server holds."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "rpc_task"]


def handlers() -> int:
    """How many calls that are."""
    return len(held())


async def answered(client: Client) -> None:
    """Have a call answered."""
    await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), timeout=30)


@contextlib.asynccontextmanager
async def gateway(**chosen: Any) -> AsyncIterator[tuple[str, Client]]:
    """A gateway's address, and a client of it that has been answered."""
    started = Settings(**{"listen": "127.0.0.1:0", "drain_grace_s": 0, **FEW, **chosen})
    async with served(FakeBackend(), started) as address, connected(address) as client:
        await answered(client)
        yield address, client


@contextlib.asynccontextmanager
async def attacked(**chosen: Any) -> AsyncIterator[tuple[RawConnection, Client]]:
    """A connection for an attack, beside a client."""
    async with gateway(**chosen) as (address, client), raw_connection(address) as connection:
        yield connection, client


async def unless_closed(connection: RawConnection, frames: bytes, count: int) -> None:
    """Send the same frames again and again, until the server has had enough."""
    for _ in range(count):
        await connection.send(frames)
        if connection.closed.is_set():
            return


async def reset_rapidly(address: str, count: int = 5_000) -> None:
    """Open calls and give them up at once."""
    block = header_block(UPSCALE)
    async with raw_connection(address) as connection:
        for number in range(1, 2 * count, 2):
            await connection.send(headers(number, block) + reset(number))
        await connection.pinged()


async def flood_with_pings(address: str) -> None:
    """Ask whether the server is there, more often than it has time for."""
    async with raw_connection(address) as connection:
        await unless_closed(connection, ping() * 1000, 100)


async def flood_with_settings(address: str) -> None:
    """Change settings again and again."""
    async with raw_connection(address) as connection:
        await unless_closed(connection, settings({MAX_CONCURRENT_STREAMS: 100}) * 1000, 30)


async def flood_without_reading(address: str) -> None:
    """Ask for answers that are never taken."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(PREFACE + settings())
    with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
        for _ in range(300):
            writer.write(settings() * 1000)
            await asyncio.wait_for(writer.drain(), 0.5)
    writer.transport.abort()


async def take_no_answer(address: str) -> None:
    """Make calls whose answers have no room on their way."""
    async with raw_connection(address, {INITIAL_WINDOW_SIZE: 1}) as connection:
        await connection.send(*small_calls(CALLS))
        await connection.pinged()


async def send_endless_headers(address: str) -> None:
    """Go on with the headers of one call."""
    async with raw_connection(address) as connection:
        await connection.send(head(1, header_block(INFO))[:-1])
        await unless_closed(connection, head(1, literal(b"a", b"v" * 1000) * 16), 200)


async def send_empty_frames(address: str) -> None:
    """Send a message in frames of nothing."""
    async with raw_connection(address) as connection:
        await connection.send(headers(1, header_block(UPSCALE)))
        await unless_closed(connection, data(1, b"") * 1000, 100)


async def leave_streams_open(address: str) -> None:
    """Open as many calls as the server takes, and close the socket without a word."""
    async with raw_connection(address) as connection:
        await connection.send(*(headers(number, header_block(STREAM)) for number in range(1, 201, 2)))
        await connection.pinged()
        connection.drop()


def small_calls(count: int) -> list[bytes]:
    """Calls that are answered at once."""
    block = header_block(INFO)
    return [headers(number, block) + data(number, message(), "END_STREAM") for number in range(1, 2 * count, 2)]


ATTACKS = [
    reset_rapidly,
    flood_with_pings,
    flood_with_settings,
    flood_without_reading,
    take_no_answer,
    send_endless_headers,
    send_empty_frames,
    leave_streams_open,
]


async def calls_until(client: Client, attack: asyncio.Task[None]) -> int:
    """Be answered as long as an attack goes on."""
    count = 0
    while not attack.done():
        await answered(client)
        count += 1
    await attack
    return count


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_answered_during_an_attack_and_after_it(attack: Attack) -> None:
    async def test() -> None:
        async with gateway() as (address, client):
            await calls_until(client, asyncio.create_task(attack(address)))
            await answered(client)

    run(test())


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_call_is_left_after_an_attack(attack: Attack) -> None:
    async def test() -> None:
        async with gateway() as (address, client):
            await attack(address)
            while handlers() > 1:
                await answered(client)

    run(test())


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_memory_returns_after_attacks(attack: Attack) -> None:
    async def test() -> None:
        async with gateway() as (address, client):
            await attack(address)
            before = psutil.Process().memory_info().rss
            for _ in range(5):
                await attack(address)
            while handlers() > 1:
                await answered(client)
            gc.collect()
            assert psutil.Process().memory_info().rss - before < SPARE_BYTES

    run(test())


@pytest.mark.slow
def test_others_are_answered_after_a_long_rapid_reset() -> None:
    async def test() -> None:
        async with gateway() as (address, client):
            await calls_until(client, asyncio.create_task(reset_rapidly(address, 50_000)))
            while handlers() > 1:
                await answered(client)

    run(test())


# What the server says


def test_pings_without_end_are_answered_by_a_goodbye() -> None:
    async def test() -> None:
        async with attacked() as (connection, _):
            await connection.send(ping() * 10)
            await connection.closed.wait()
            assert connection.goaway is not None
            assert connection.goaway.error_code == ENHANCE_YOUR_CALM

    run(test())


def test_more_calls_than_agreed_on_are_refused_one_by_one() -> None:
    async def test() -> None:
        async with attacked() as (connection, _):
            block = header_block(STREAM)
            await connection.send(*(headers(number, block) for number in range(1, 2 * CALLS + 20, 2)))
            await connection.pinged()
            assert connection.peer_settings[MAX_CONCURRENT_STREAMS] == CALLS
            assert REFUSED_STREAM in connection.resets.values()

    run(test())


@pytest.mark.parametrize(("size_bytes", "status"), [(12_000, "0"), (17_000, "8"), (2**20, "8")])
def test_metadata_over_the_limit_is_refused(size_bytes: int, status: str) -> None:
    async def test() -> None:
        async with attacked() as (connection, _):
            block = header_block(INFO) + literal(b"x-large", b"v" * size_bytes)
            await connection.send(head(1, block), data(1, message(), "END_STREAM"))
            ended = await connection.ended(1)
            assert (ended["grpc-status"], connection.peer_settings[MAX_HEADER_LIST_SIZE]) == (status, 16384)

    run(test())


def test_metadata_limit_is_the_operators() -> None:
    async def test() -> None:
        async with attacked(max_metadata_bytes=2**17) as (connection, _):
            block = header_block(INFO) + literal(b"x-large", b"v" * 2**16)
            await connection.send(head(1, block), data(1, message(), "END_STREAM"))
            assert (await connection.ended(1))["grpc-status"] == "0"

    run(test())


# Answers that nobody takes


def test_calls_whose_answers_are_not_taken_leave_room_for_others() -> None:
    async def test() -> None:
        async with gateway() as (address, client), raw_connection(address, {INITIAL_WINDOW_SIZE: 1}) as connection:
            await connection.send(*small_calls(CALLS))
            await connection.until(CALLS, "HeadersFrame")
            await answered(client)

    run(test())


def test_caller_who_leaves_too_many_answers_gets_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untaken, "OF_ONE_CALLER", 3)

    async def test() -> None:
        async with gateway() as (address, _), raw_connection(address, {INITIAL_WINDOW_SIZE: 0}) as connection:
            await connection.send(*small_calls(3))
            await connection.until(3, "HeadersFrame")
            await connection.send(*small_calls(5)[3:])
            statuses = [(await connection.ended(number))["grpc-status"] for number in (7, 9)]
            assert (statuses, [connection.answers[number].get("grpc-status") for number in (1, 3, 5)]) == (
                ["8", "8"],
                [None, None, None],
            )

    run(test())


def test_caller_who_leaves_no_answer_any_more_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untaken, "OF_ONE_CALLER", 3)

    async def test() -> None:
        async with gateway() as (address, client):
            async with raw_connection(address, {INITIAL_WINDOW_SIZE: 0}) as connection:
                await connection.send(*small_calls(3))
                await connection.until(3, "HeadersFrame")
            await asyncio.gather(*held())
            await answered(client)

    run(test())


def test_call_whose_answer_is_taken_slowly_is_not_given_up() -> None:
    sent = message(request(raw(scene((20, 20)))).SerializeToString())

    async def test() -> None:
        async with gateway() as (address, _), raw_connection(address, {INITIAL_WINDOW_SIZE: 1000}) as connection:
            await connection.send(headers(1, header_block(UPSCALE)), data(1, sent, "END_STREAM"))
            while "grpc-status" not in connection.answers.get(1, {}):
                await connection.more(1, 1000)
                await connection.until(connection.counts["DataFrame"] + 1, "DataFrame", 1)
            assert connection.answers[1]["grpc-status"] == "0"

    run(test())


# Connections


@pytest.mark.slow
def test_connections_that_say_nothing_are_closed() -> None:
    """One that has sent half of the preface."""

    async def test() -> None:
        async with gateway() as (address, _):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(PREFACE[:10])
            assert len(await asyncio.wait_for(reader.read(), 2 * http2.HANDSHAKE_S)) < FRAME_BYTES
            writer.close()

    run(test())


def test_others_are_answered_beside_a_thousand_idle_connections() -> None:
    async def test() -> None:
        async with gateway() as (address, client), contextlib.AsyncExitStack() as stack:
            host, _, port = address.rpartition(":")
            for _ in range(min(1000, http2.most_connections() // 4)):
                stack.enter_context(socket.create_connection((host, int(port)))).sendall(PREFACE + settings())
            await answered(client)

    run(test())


def test_connections_over_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MAX_CONNECTIONS", 3)

    async def test() -> None:
        async with gateway() as (address, client):
            host, _, port = address.rpartition(":")
            pairs = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
            assert await asyncio.wait_for(pairs[-1][0].read(), 10) == b""
            await answered(client)
            for _, writer in pairs:
                writer.close()

    run(test())


def test_old_connection_is_left_without_losing_a_call() -> None:
    """GRPC lets a tenth more or less pass."""

    async def test() -> None:
        async with gateway(max_connection_age_s=0.3) as (address, client), raw_connection(address) as connection:
            while connection.goaway is None:
                await answered(client)

    run(test())


def test_client_that_pings_as_often_as_the_sdk_may_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MIN_PING_INTERVAL_S", 0.05)

    async def test() -> None:
        async with attacked() as (connection, _):
            for _ in range(10):
                await asyncio.sleep(2 * http2.MIN_PING_INTERVAL_S)
                await connection.pinged()
            assert connection.goaway is None

    run(test())


def test_connection_whose_client_has_vanished_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "KEEPALIVE_S", 1.0)
    monkeypatch.setattr(http2, "KEEPALIVE_TIMEOUT_S", 0.5)

    async def test() -> None:
        async with gateway() as (address, _):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(PREFACE + settings() + settings({}))
            assert await asyncio.wait_for(reader.read(), 30)  # to its end
            writer.close()

    run(test())


def test_limits_of_connections_are_whole_numbers_of_the_settings() -> None:
    options = dict(http2.options(Settings(max_connection_age_s=3e6), calls=7))
    assert (options["grpc.max_connection_age_ms"], options["grpc.max_concurrent_streams"]) == (2**31 - 1, 7)


def test_connections_have_no_age_unless_it_is_set() -> None:
    assert "grpc.max_connection_age_ms" not in dict(http2.options(Settings(), calls=7))


def test_watcher_who_does_not_read_keeps_nobody_from_being_told() -> None:
    backend, watch = FakeBackend(), "/grpc.health.v1.Health/Watch"

    async def test() -> None:
        chosen = Settings(listen="127.0.0.1:0", drain_grace_s=0, health_interval_s=0.01)
        async with served(backend, chosen) as address, raw_connection(address, {INITIAL_WINDOW_SIZE: 0}) as deaf:
            await deaf.send(headers(1, header_block(watch)), data(1, message(), "END_STREAM"))
            await deaf.pinged()
            async with connected(address) as client:
                statuses = client.health.Watch(health_pb2.HealthCheckRequest())
                assert (await statuses.read()).status == health_pb2.HealthCheckResponse.SERVING
                backend.describe_error = UnavailableError()
                assert (await statuses.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING

    run(test())
