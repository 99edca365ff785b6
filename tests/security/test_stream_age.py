"""A stream that has been open for as long as one may be is told to go on in another, and ends well."""

from __future__ import annotations

import grpc
from fakes import FakeBackend
from in_process import THREE_WINDOWS, TINY_TILES, run, running, scene
from streams import opened

PIXELS = scene(THREE_WINDOWS)
AGE_S = 0.2


def test_old_stream_finishes_its_whole_tiles_and_ends_well() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_stream_s=AGE_S, **TINY_TILES) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0)
            assert (await stream.until("draining")).resume_after.ToTimedelta().total_seconds() == 5
            backend.release()
            await stream.collect(target)
            assert (stream.summary.tiles, await stream.call.code()) == (1, grpc.StatusCode.OK)

    run(test())


def test_old_stream_without_a_tile_ends_well() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_stream_s=AGE_S) as client:
            stream, target = await opened(client, PIXELS)
            await stream.until("draining")
            await stream.collect(target)
            assert (stream.summary.tiles, await stream.call.code()) == (0, grpc.StatusCode.OK)

    run(test())


def test_room_of_an_old_stream_is_free_for_another() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_stream_s=AGE_S, max_streams=1) as client:
            for _ in range(2):
                stream, target = await opened(client, PIXELS)
                await stream.collect(target)
                assert await stream.call.code() == grpc.StatusCode.OK

    run(test())
