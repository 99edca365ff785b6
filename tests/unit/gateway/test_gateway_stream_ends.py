"""UpscaleStream: callers that leave, a server that stops, and room that runs out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from fakes import FakeBackend, bicubic_manifest
from in_process import THREE_WINDOWS, Client, connected, raw, refusal, request, run, running, scene, served
from streams import Stream, Target, opened, places, start, strips, upscaled

from hndsr.v1 import upscale_pb2_grpc
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.scale import Scale
from hndsr_gateway.planning import tile_bytes
from hndsr_gateway.settings import Settings

PIXELS = scene(THREE_WINDOWS)
"""Three tiles of one core each below each other."""
LOCAL = [("grpc.use_local_subchannel_pool", 1)]
"""A channel of these options has a connection of its own."""


# Callers that leave


async def cancel(stream: Stream, client: Client) -> None:
    """Cancel the call."""
    stream.call.cancel()


async def close(stream: Stream, client: Client) -> None:
    """Close the channel."""
    await client.channel.close()


async def wait(stream: Stream, client: Client) -> None:
    """Wait for the deadline."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await stream.rest()


LEAVES = [(cancel, None), (close, None), (wait, 0.3)]
Leave = Callable[[Stream, Client], Awaitable[None]]


@contextlib.asynccontextmanager
async def left(
    backend: FakeBackend, leave: Leave, timeout_s: float | None, **settings: Any
) -> AsyncIterator[tuple[str, Stream]]:
    """A gateway whose caller has sent three tiles, one of which is worked on, and is left."""
    chosen = Settings(listen="127.0.0.1:0", drain_grace_s=0, **settings)
    backend.hold()
    async with served(backend, chosen) as address, connected(address) as client:
        stream, target = await opened(client, PIXELS, timeout=timeout_s)
        await stream.send_tiles(target, PIXELS, 0, 1, 2)
        await backend.started(1)
        await leave(stream, client)
        yield address, stream


@pytest.mark.parametrize(("leave", "timeout_s"), LEAVES, ids=["cancelled", "closed", "deadline"])
def test_stream_whose_caller_leaves_cancels_its_tile(leave: Leave, timeout_s: float | None) -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with left(backend, leave, timeout_s):
            await backend.until(lambda: backend.outcomes() == ["cancelled"])

    run(test())


@pytest.mark.parametrize(("leave", "timeout_s"), LEAVES, ids=["cancelled", "closed", "deadline"])
def test_stream_whose_caller_leaves_gives_its_room_to_others(leave: Leave, timeout_s: float | None) -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with left(backend, leave, timeout_s, max_streams=1) as (address, _), connected(address) as client:
            await backend.until(lambda: backend.outcomes() == ["cancelled"])
            backend.release()
            await upscaled(client, scene((5, 7)))

    run(test())
    assert [call.size for call in backend.calls] == [THREE_WINDOWS, (5, 7)]


def test_stream_that_ends_by_its_deadline_says_so() -> None:
    async def test() -> None:
        async with left(FakeBackend(), wait, 0.3) as (_, stream):
            assert await stream.call.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    run(test())


def test_caller_that_leaves_is_no_failure_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the server is just doing: the moments differ."""

    async def test() -> None:
        async with served(FakeBackend(), Settings(listen="127.0.0.1:0", drain_grace_s=0)) as address:
            for moment in range(30):
                async with grpc.aio.insecure_channel(address, options=LOCAL) as channel:
                    client = Client(channel, upscale_pb2_grpc.UpscaleServiceStub(channel), None)
                    await leave_after(client, 0.002 * moment)

    with caplog.at_level(logging.WARNING):
        run(test())
    # A task that is cancelled twice is told of by gRPC itself, rarely, whatever the handler does.
    assert [record.getMessage() for record in caplog.records if not record.name.startswith("grpc.")] == []


async def leave_after(client: Client, delay_s: float) -> None:
    """Send the tiles of a stream, and leave so long after its plan."""
    pixels = scene((40, 40))
    stream = Stream(client, start(pixels, cores=1, scale="8"))
    plan = (await stream.open()).plan
    for place in places(plan):
        await stream.send(strips(plan, place, pixels))
    await asyncio.sleep(delay_s)


# A server that stops


class Stopping:
    """A gateway that is told to stop while a stream is open."""

    def __init__(self, backend: FakeBackend, **settings: Any) -> None:
        self.backend = backend
        self._settings = Settings(**{"listen": "127.0.0.1:0", "drain_grace_s": 30, **settings})
        self._stop = asyncio.Event()
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve())

    async def address(self) -> str:
        """Where it listens."""
        return await self._address

    def stop(self) -> None:
        """Tell it to stop."""
        self._stop.set()

    async def stopped(self) -> None:
        """Wait until it has."""
        await self._serving

    async def _serve(self) -> None:
        async with served(self.backend, self._settings) as address:
            self._address.set_result(address)
            await self._stop.wait()


@contextlib.asynccontextmanager
async def draining(
    *tiles: int, part: int = 0, **settings: Any
) -> AsyncIterator[tuple[Stopping, Client, Stream, Target]]:
    """A server that was told to stop when it held these tiles, and so many strips of another."""
    backend = FakeBackend()
    backend.hold()
    server = Stopping(backend, stream_progress_s=0.02, **settings)
    agreed = settings.get("stream_tiles", len(tiles))
    async with connected(await server.address()) as client:
        stream, target = await opened(client, PIXELS)
        await stream.send_tiles(target, PIXELS, *tiles)
        if part:
            await stream.send(list(strips(target.plan, (2, 0), PIXELS, rows=20))[:part])
        while (await stream.until("progress")).tiles_waiting < min(agreed, len(tiles)):
            pass
        server.stop()
        yield server, client, stream, target
        await server.stopped()


def test_server_that_stops_tells_so_at_once() -> None:
    """Even while it reads no further, since as many tiles are there as were agreed on."""
    found = []

    async def test() -> None:
        async with draining(0, 1, 2, stream_tiles=1) as (server, _, stream, _):
            found.append(await stream.until("draining"))
            server.backend.release()
            await stream.rest()

    run(test())
    assert found[0].resume_after.ToTimedelta().total_seconds() == 5


@pytest.mark.parametrize(
    ("tiles", "part", "settings", "whole"),
    [
        ((), 0, {}, 0),
        ((), 1, {}, 0),
        ((0, 1), 0, {}, 2),
        ((0, 1), 2, {}, 2),
        ((0, 1, 2), 0, {"stream_tiles": 2}, 2),
    ],
    ids=["none", "part-of-one", "two", "two-and-a-part", "one-more-than-agreed"],
)
def test_server_that_stops_finishes_the_tiles_that_it_has(
    tiles: tuple[int, ...], part: int, settings: dict[str, Any], whole: int
) -> None:
    async def test() -> None:
        async with draining(*tiles, part=part, **settings) as (server, _, stream, target):
            server.backend.release()
            await stream.collect(target)
            assert (stream.summary.tiles, len(target.done)) == (whole, whole)

    run(test())


def test_server_that_stops_ends_its_streams_well() -> None:
    async def test() -> None:
        async with draining(0) as (server, _, stream, target):
            server.backend.release()
            await stream.collect(target)
            assert await stream.call.code() == grpc.StatusCode.OK

    run(test())


def test_server_that_stops_tells_so_before_the_summary() -> None:
    async def test() -> None:
        async with draining(0) as (server, _, stream, target):
            server.backend.release()
            await stream.collect(target)
            told = [answer.WhichOneof("message") for answer in stream.others]
            assert [kind for kind in told if kind != "progress"] == ["draining", "summary"]

    run(test())


def test_server_that_stops_opens_no_stream() -> None:
    async def test() -> None:
        async with draining(0) as (server, client, stream, _):
            await stream.until("draining")
            found = await refusal(opened(client, PIXELS))
            assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
            server.backend.release()
            await stream.rest()

    run(test())


def test_server_that_stops_waits_no_longer_than_its_grace() -> None:
    async def test() -> None:
        async with draining(0, drain_grace_s=0.1) as (server, _, stream, _):
            await server.stopped()
            await server.backend.until(lambda: server.backend.outcomes() == ["cancelled"])
            await refusal(stream.rest())

    run(test())


# Room that runs out


def test_stream_is_refused_when_enough_are_open() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_streams=2) as client:
            others = [await opened(client, PIXELS) for _ in range(2)]
            found = await refusal(opened(client, PIXELS))
            assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert found.retry_delay_s == 10.0
            assert len(others) == 2

    run(test())


def test_stream_is_opened_when_another_ends() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_streams=1) as client:
            for _ in range(3):
                await upscaled(client, PIXELS, cores=1)

    run(test())


def test_streams_leave_unary_calls_alone() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_streams=1, max_concurrent_requests=1, max_queue_depth=0) as client:
            await opened(client, PIXELS)
            found = await refusal(opened(client, PIXELS))
            assert found.reason == "OVERLOADED"
            await client.upscale.Upscale(request(raw(scene((5, 7)))))

    run(test())


def agreed(*, streams: int, **settings: Any) -> list[Any]:
    """How many tiles each of several streams may have here at once, or why it is refused."""
    found: list[Any] = []

    async def test() -> None:
        async with running(FakeBackend(), **settings) as client:
            kept = []
            for _ in range(streams):
                stream = Stream(client, start(LARGE, cores=1))
                try:
                    found.append((await stream.open()).max_in_flight)
                except grpc.aio.AioRpcError:
                    found.append((await refusal(stream.read())).reason)
                kept.append(stream)

    run(test())
    return found


LARGE = scene((150, 150))
AXIS = Axis(150, Scale.parse("4"), bicubic_manifest().geometry)
LARGE_TILE_BYTES = tile_bytes((AXIS, AXIS), "uint8", 1)


def test_stream_has_as_many_tiles_in_flight_as_the_settings_say() -> None:
    assert agreed(streams=1, stream_tiles=7) == [7]


def test_stream_has_fewer_tiles_in_flight_when_they_are_large() -> None:
    assert agreed(streams=1, stream_bytes=3 * LARGE_TILE_BYTES) == [3]


def test_stream_has_one_tile_in_flight_when_even_that_is_too_large() -> None:
    assert agreed(streams=1, stream_bytes=2**20, max_stream_bytes=2**20, stream_tiles=5) == [1]


def test_streams_have_fewer_tiles_in_flight_when_others_hold_many_bytes() -> None:
    assert agreed(streams=3, max_stream_bytes=round(6.5 * LARGE_TILE_BYTES)) == [4, 2, "OVERLOADED"]
