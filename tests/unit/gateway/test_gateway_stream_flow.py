"""UpscaleStream: how far a caller gets ahead, who is given up, and what becomes of tiles that fail."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import grpc
import numpy as np
import pytest
from fakes import FakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import (
    THREE_WINDOWS,
    Client,
    Refusal,
    _refusal,
    connected,
    refusal,
    run,
    running,
    scene,
    served,
)
from streams import Place, Stream, Target, opened, places, start, strips

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.tiles import TileStats
from hndsr_gateway import interceptors
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.convert import plan_message
from hndsr_gateway.convert_stream import start_of, strip_of
from hndsr_gateway.server import image_workers
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.settings import Settings
from hndsr_gateway.strips import Answer, StreamStart, Strip
from hndsr_gateway.types import Raster, TileRequest, TileResponse

PIXELS = scene(THREE_WINDOWS)
"""Three tiles of one core each below each other."""
BLACK = np.zeros((904, 904, 3), np.uint8)
"""One tile of 16 by 16 cores, of 2.5 MB; its target has 39 MB."""


TILE_BYTES = 10**6
"""Source of a tile that is 4 cores high at scale 1.5 and 400 px wide, at most."""
HTTP_BYTES = 8 * 2**20
"""What both ends of a connection keep of messages that are not read, at most."""


class BlackBackend(FakeBackend):
    """Makes black tiles of any size at once."""

    async def _upscale(self, tile: TileRequest, number: int) -> TileResponse:
        await self._open.wait()
        geometry, window = tile.geometry, self._manifests[tile.model].geometry
        axes = [Axis(length, geometry.scale, window) for length in (geometry.height, geometry.width)]
        sides = [
            axis.core_bounds(stop - 1)[1] - axis.core_bounds(first)[0]
            for axis, (first, stop) in zip(axes, (geometry.cores[:2], geometry.cores[2:]), strict=True)
        ]
        return TileResponse(Raster(np.zeros((*sides, 3), tile.raster.pixels.dtype)), TileStats())


# How far a caller gets ahead


@given(tiles=st.integers(1, 4), rows=st.sampled_from([7, 50, 200]))
@settings(max_examples=8, deadline=None)
def test_stream_takes_the_tiles_that_were_agreed_and_one_strip_more(tiles: int, rows: int) -> None:
    backend, chosen, pixels = FakeBackend(), Settings(stream_tiles=tiles), scene((500, 20))
    backend.hold()
    taken: list[Place] = []
    beyond = asyncio.Event()

    async def test() -> None:
        catalogue = Catalogue(backend, default_model="bicubic")
        await catalogue.refresh()
        service = UpscaleService(backend, catalogue, image_workers(chosen), chosen)
        planned = asyncio.get_running_loop().create_future()

        async def source() -> AsyncIterator[Strip]:
            plan = plan_message(await planned)
            for place in places(plan):
                for message in strips(plan, place, pixels, rows=rows):
                    taken.append(place)
                    if len(set(taken)) > tiles:
                        beyond.set()
                    yield strip_of(message.SerializeToString())

        async def take(answer: Answer) -> None:
            planned.set_result(answer.plan)

        async def first() -> StreamStart:
            return start_of(start(pixels, cores=1).SerializeToString())

        stream = asyncio.create_task(service.stream(first(), source(), take))
        await beyond.wait()
        await asyncio.sleep(0.05)  # for more to be taken
        stream.cancel()
        await asyncio.wait({stream})

    run(test())
    assert (len(set(taken)), taken.count((tiles, 0))) == (tiles + 1, 1)


def test_caller_that_keeps_sending_is_held_back() -> None:
    backend, pixels, sent = FakeBackend(), np.zeros((20_000, 400, 3), np.uint8), []
    backend.hold()

    async def test() -> None:
        async with running(backend, stream_tiles=2) as client:
            stream = Stream(client, start(pixels, cores=4, scale="1.5"))
            plan = (await stream.open()).plan

            def messages() -> Iterator[pb.UpscaleStreamRequest]:
                for place in places(plan):
                    for message in strips(plan, place, pixels):
                        sent.append(len(message.strip.pixels))
                        yield message

            sending = asyncio.create_task(stream.send(messages()))
            before = -1
            while len(sent) != before:
                before = len(sent)
                await asyncio.sleep(0.3)
            sending.cancel()
            stream.call.cancel()

    run(test())
    assert sum(sent) < 2 * TILE_BYTES + HTTP_BYTES < pixels.nbytes / 2


# Who is given up


class SlowReader:
    """A caller in a thread of its own that sends the only tile of `BLACK`, and reads only once it is told to."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._plan: queue.Queue[pb.Plan] = queue.Queue()
        self.reads = threading.Event()
        self.ended: Future[Refusal | None] = Future()
        """How the stream ended, None: well."""
        threading.Thread(target=lambda: self.ended.set_result(self._call())).start()

    def _call(self) -> Refusal | None:
        with grpc.insecure_channel(self._address) as channel:
            answers = upscale_pb2_grpc.UpscaleServiceStub(channel).UpscaleStream(self._messages())
            self._plan.put(next(answers).plan.plan)
            self.reads.wait()
            try:
                for _ in answers:
                    pass
            except grpc.RpcError as error:
                return _refusal(error)
        return None

    def _messages(self) -> Iterator[pb.UpscaleStreamRequest]:
        yield start(BLACK, cores=16)
        yield from strips(self._plan.get(), (0, 0), BLACK)


def slow_reader(*, waits_s: float, **settings: Any) -> tuple[Refusal | None, bool]:
    """How a caller ends that does not read for a while, and whether another was served in the meantime."""
    found = []

    async def test() -> None:
        backend, chosen = BlackBackend(), Settings(listen="127.0.0.1:0", drain_grace_s=0, max_streams=1, **settings)
        async with served(backend, chosen) as address, connected(address) as client:
            reader = SlowReader(address)
            try:
                await backend.until(lambda: backend.outcomes() == ["done"])
                until_s = time.monotonic() + waits_s
                served_beside = False
                while time.monotonic() < until_s:
                    served_beside = served_beside or not await overloaded(client)
                    await asyncio.sleep(0.02)
            finally:
                reader.reads.set()
            found.extend((await asyncio.wrap_future(reader.ended), served_beside))

    run(test())
    return found[0], found[1]


async def overloaded(client: Client) -> bool:
    """Whether a stream is refused for want of room."""
    stream = Stream(client, start(scene((5, 7))))
    try:
        await stream.open()
        await stream.end()
        await stream.rest()
    except grpc.aio.AioRpcError as error:
        return _refusal(error).reason == "OVERLOADED"
    return False


@pytest.mark.parametrize("farewell_s", [10.0, 0.05], ids=["in-time", "long-after"])
def test_caller_that_does_not_read_is_told_so_when_it_does(farewell_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interceptors, "FAREWELL_S", farewell_s)
    refused, _ = slow_reader(waits_s=0.7, stream_stall_s=0.3)
    assert refused is not None
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED")


def test_caller_that_does_not_read_gives_its_room_to_others() -> None:
    assert slow_reader(waits_s=0.7, stream_stall_s=0.3)[1]


def test_caller_that_reads_late_is_served() -> None:
    assert slow_reader(waits_s=0.3, stream_stall_s=5) == (None, False)


async def nothing(stream: Stream) -> None:
    """Send nothing at all."""


async def start_alone(stream: Stream) -> None:
    """Send a start."""
    await stream.open()


async def part_of_a_tile(stream: Stream) -> None:
    """Send a start and one strip of two."""
    plan = (await stream.open()).plan
    await stream.send(list(strips(plan, (0, 0), PIXELS, rows=50))[:1])


async def tile(stream: Stream) -> None:
    """Send a tile and read its target."""
    target = Target((await stream.open()).plan, PIXELS.dtype)
    await stream.send_tiles(target, PIXELS, 0)
    await stream.tile(target)


@pytest.mark.parametrize("sends", [nothing, start_alone, part_of_a_tile, tile], ids=lambda sends: sends.__name__)
def test_caller_that_sends_no_more_is_given_up(sends: Callable[[Stream], Any]) -> None:
    async def test() -> None:
        async with running(FakeBackend(), stream_stall_s=0.1) as client:
            stream = Stream(client, start(PIXELS, cores=1))
            await sends(stream)
            found = await refusal(stream.rest())
            assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED")

    run(test())


def test_caller_that_sends_no_more_is_not_given_up_while_its_tile_is_worked_on() -> None:
    backend = FakeBackend(delay_s=0.5)

    async def test() -> None:
        async with running(backend, stream_stall_s=0.1) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0)
            assert await stream.tile(target) == ((0, 0), True)

    run(test())


def test_caller_has_time_to_send_its_next_tile_when_the_last_one_took_long() -> None:
    """The time in which it waited for the tile is not its own."""
    backend = FakeBackend(delay_s=0.6)

    async def test() -> None:
        async with running(backend, stream_stall_s=0.8) as client:
            stream, target = await opened(client, PIXELS)
            for number in range(2):
                await stream.send_tiles(target, PIXELS, number)
                await stream.tile(target)
                await asyncio.sleep(0.4)
            await stream.end()
            await stream.collect(target)
            assert stream.summary.tiles == 2

    run(test())


# What is told meanwhile


def test_progress_is_told_while_a_tile_takes_long() -> None:
    backend, told = FakeBackend(), []

    async def test() -> None:
        async with running(backend, stream_progress_s=0.05) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0)
            await stream.tile(target)
            backend.hold()
            await stream.send_tiles(target, PIXELS, 1, 2)
            while not told or told[-1].tiles_waiting < 2:
                told.append((await stream.read()).progress)
            backend.release()

    run(test())
    assert told[-1] == pb.StreamProgress(tiles_done=1, tiles_waiting=2, target_px_done=224 * 80)


def test_progress_is_told_while_nothing_is_sent() -> None:
    async def test() -> None:
        async with running(FakeBackend(), stream_progress_s=0.05) as client:
            stream, _ = await opened(client, PIXELS)
            assert (await stream.read()).progress == pb.StreamProgress()

    run(test())
