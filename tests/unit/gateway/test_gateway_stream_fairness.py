"""UpscaleStream beside other streams and unary calls: whose tile is next, and where it goes."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from fakes import FakeBackend
from fleet import FakeEndpoint, gateway_over
from in_process import Client, raw, request, run, running, scene
from streams import upscaled

from hndsr.v1 import upscale_pb2 as pb

LONG, OTHER, THUMBNAIL = (1000, 10), (1000, 11), (8, 8)
"""Sizes of images: two of 18 windows below each other, and one of a single window."""
LONG_TILES = 18

TILE_S = 0.01
"""How long a tile takes: long enough for a caller to send the next one meanwhile."""

BATCH, INTERACTIVE = pb.PRIORITY_BATCH, pb.PRIORITY_INTERACTIVE

Size = tuple[int, int]


async def stream(client: Client, size: Size) -> None:
    """A whole image through a stream, each core a tile."""
    await upscaled(client, scene(size), cores=1)


async def upscale(client: Client, size: Size = THUMBNAIL, *, priority: int = BATCH) -> None:
    """A whole image through a unary call, of a stream's own priority unless another is given."""
    message = request(raw(scene(size)))
    message.priority = priority
    await client.upscale.Upscale(message)


async def arrived(client: Client) -> None:
    """Give everything that is on its way the time to arrive: however busy the machine, other calls come after it."""
    for _ in range(50):
        await client.upscale.GetModelInfo(pb.GetModelInfoRequest())


def order_of_tiles(streams: list[Size], *, thumbnails: int = 0, priority: int = BATCH, **settings: Any) -> list[Size]:
    """The images that the tiles in the backend belong to; all calls come in one after another during the first tile."""
    backend = FakeBackend(window_s=1.0, delay_s=TILE_S)
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=100, **settings) as client:
            work = [asyncio.create_task(stream(client, size)) for size in streams]
            await backend.started(1)
            await arrived(client)
            work += [asyncio.create_task(upscale(client, priority=priority)) for _ in range(thumbnails)]
            await arrived(client)
            backend.release()
            await asyncio.gather(*work)

    run(test())
    return [call.size for call in backend.calls]


@pytest.mark.parametrize("tiles_at_once", [1, 2])
def test_thumbnail_waits_for_running_tiles_only_when_a_stream_is_long(tiles_at_once: int) -> None:
    order = order_of_tiles([LONG], thumbnails=1, max_inflight_tiles=tiles_at_once)
    assert (order.index(THUMBNAIL), len(order)) == (tiles_at_once, LONG_TILES + 1)


def test_thumbnail_waits_for_running_tiles_only_when_streams_are_many() -> None:
    assert order_of_tiles([LONG] * 6, thumbnails=1).index(THUMBNAIL) == 1


def test_stream_is_not_starved_by_thumbnails() -> None:
    """Its class has the weight 1.25 ** 2."""
    order = order_of_tiles([LONG], thumbnails=60)
    places = [place for place, size in enumerate(order) if size == LONG]
    assert max(after - before for before, after in itertools.pairwise(places[:15])) <= 3


def test_thumbnails_have_the_larger_share_beside_a_stream() -> None:
    assert order_of_tiles([LONG], thumbnails=60)[:30].count(THUMBNAIL) > 15


def test_stream_gets_a_ninth_beside_interactive_thumbnails() -> None:
    """They are of one caller; 8 : 1 by work, and all tiles here are a window each."""
    order = order_of_tiles([LONG], thumbnails=60, priority=INTERACTIVE)
    places = [place for place, size in enumerate(order[:60]) if size == LONG]
    assert {after - before for before, after in itertools.pairwise(places[1:])} == {9}


@pytest.mark.parametrize("ahead", [1, 4])
def test_streams_of_one_size_take_turns(ahead: int) -> None:
    """As soon as both are there: neither gets further ahead of the other than by the tiles that were agreed on."""
    order = order_of_tiles([LONG, OTHER], stream_tiles=ahead)
    lead = itertools.accumulate(1 if size == order[0] else -1 for size in order[1 : 2 * LONG_TILES - 2 * ahead])
    assert max(map(abs, lead)) <= ahead


def test_stream_that_comes_later_is_not_behind_all_of_the_one_before() -> None:
    order = order_of_tiles([LONG, OTHER], stream_tiles=2)
    first = {size: order.index(size) for size in (LONG, OTHER)}
    assert max(first.values()) <= 2


@pytest.mark.parametrize("tiles_at_once", [1, 2, 3])
def test_backend_gets_no_more_tiles_of_streams_at_once_than_the_settings_allow(tiles_at_once: int) -> None:
    backend, counts = FakeBackend(delay_s=TILE_S), []

    def done() -> bool:
        counts.append(backend.outcomes().count("running"))
        return backend.outcomes().count("done") == 2 * LONG_TILES

    async def test() -> None:
        async with running(backend, max_inflight_tiles=tiles_at_once, stream_tiles=8) as client:
            work = [asyncio.create_task(stream(client, size)) for size in (LONG, OTHER)]
            await backend.until(done)
            await asyncio.gather(*work)

    run(test())
    assert max(counts) == tiles_at_once


def sizes_at_endpoints(streams: list[Size], *, thumbnails: int = 0) -> list[list[Size]]:
    """The images whose tiles each of two endpoints gets."""
    backends = [FakeEndpoint(window_s=1.0, delay_s=TILE_S) for _ in range(2)]

    async def test() -> None:
        async with gateway_over(backends) as client:
            work = [asyncio.create_task(stream(client, size)) for size in streams]
            await asyncio.wait([asyncio.create_task(backend.started(1)) for backend in backends[: len(streams)]])
            work += [asyncio.create_task(upscale(client)) for _ in range(thumbnails)]
            await asyncio.gather(*work)

    run(test())
    return [[call.size for call in backend.calls] for backend in backends]


def test_stream_keeps_to_one_endpoint() -> None:
    assert sorted(sizes_at_endpoints([LONG])) == [[], [LONG] * LONG_TILES]


def test_streams_keep_to_an_endpoint_each() -> None:
    assert sorted(sizes_at_endpoints([LONG, OTHER])) == [[LONG] * LONG_TILES, [OTHER] * LONG_TILES]


def test_thumbnails_go_where_the_stream_is_not() -> None:
    with_stream = [sizes for sizes in sizes_at_endpoints([LONG], thumbnails=1) if LONG in sizes]
    assert with_stream == [[LONG] * LONG_TILES]
