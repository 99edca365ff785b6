"""Tiles for those who write their target themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np
import pytest
from unit.client.stream_gateway import (
    QUICK,
    WAIT_S,
    Pixels,
    Proxy,
    StreamGateway,
    gateway,
    random_mask,
    scene,
)

from hndsr_client import AnswerError, ArgumentError, AsyncClient, Client, TargetTile, UnavailableError

__all__ = ["gateway"]

SOURCE = scene((300, 280))
MODEL = {"model": "bicubic", "scale": "3.14"}


@pytest.fixture
def client(gateway: StreamGateway) -> Iterator[Client]:
    with Client(gateway.address, retry=QUICK, timeout_s=WAIT_S) as client:
        yield client


def painted(tiles: list[TargetTile], shape: tuple[int, ...]) -> np.ndarray:
    target = np.zeros(shape, tiles[0].pixels.dtype)
    for tile in tiles:
        target[tile.rows, tile.columns] = tile.pixels
    return target


async def collected(tiles: AsyncIterator[TargetTile]) -> list[TargetTile]:
    return [tile async for tile in tiles]


def test_stream_tiles_gives_every_tile(client: Client) -> None:
    with client.stream_tiles(SOURCE, **MODEL) as tiles:
        plan, all_of_them = tiles.plan, list(tiles)
    assert len(all_of_them) == len(plan.row_spans) * len(plan.column_spans)
    one = client.upscale(SOURCE, **MODEL).image
    assert np.array_equal(painted(all_of_them, one.shape), one)


def test_stream_tiles_says_where_a_tile_lies(client: Client) -> None:
    with client.stream_tiles(SOURCE, **MODEL) as tiles:
        tile = max(tiles, key=lambda tile: (tile.row, tile.column))
        rows, columns = tiles.plan.row_spans[tile.row], tiles.plan.column_spans[tile.column]
    assert tile.rows == slice(rows.target_start_px, rows.target_stop_px)
    assert tile.columns == slice(columns.target_start_px, columns.target_stop_px)
    assert tile.pixels.shape == (tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start, 3)


def test_stream_tiles_gives_masks(client: Client) -> None:
    mask = random_mask(SOURCE.shape[:2])
    with client.stream_tiles(SOURCE, mask=mask, **MODEL) as tiles:
        target = np.zeros((tiles.plan.target_height_px, tiles.plan.target_width_px), np.bool_)
        for tile in tiles:
            target[tile.rows, tile.columns] = True if tile.mask is None else tile.mask
    assert np.array_equal(target, client.upscale(SOURCE, mask=mask, **MODEL).mask)


def test_stream_tiles_gives_no_mask_where_all_is_valid(client: Client) -> None:
    with client.stream_tiles(SOURCE, **MODEL) as tiles:
        assert next(tiles).mask is None


def test_stream_tiles_knows_the_plan_before_anything_is_read(client: Client) -> None:
    source = Pixels(SOURCE)
    with client.stream_tiles(source, **MODEL) as tiles:
        assert tiles.plan == client.plan(300, 280, sample_type="uint8", **MODEL)
        assert source.windows == []


def test_stream_tiles_goes_without_a_context(client: Client) -> None:
    tiles = client.stream_tiles(SOURCE, **MODEL)
    assert len(list(tiles)) == len(tiles.plan.row_spans) * len(tiles.plan.column_spans)


def test_stream_tiles_is_over_when_it_is_over(client: Client) -> None:
    with client.stream_tiles(SOURCE[:5, :5], **MODEL) as tiles:
        list(tiles)
        with pytest.raises(StopIteration):
            next(tiles)


def test_stream_tiles_that_is_left_reads_no_more(client: Client) -> None:
    source = Pixels(scene((900, 900)))
    with client.stream_tiles(source, **MODEL) as tiles:
        next(tiles)
    read = len(source.windows)
    assert not any(thread.name == "hndsr-stream-watch" for thread in threading.enumerate())
    assert len(source.windows) == read < 100


def test_stream_tiles_refuses_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(ArgumentError, match="dtype is float64"):
        client.stream_tiles(np.zeros((5, 5, 3)), **MODEL)


def test_stream_tiles_raises_on_entering_what_the_server_says() -> None:
    with (
        Client("127.0.0.1:1", retry=QUICK) as client,
        pytest.raises(UnavailableError),
        client.stream_tiles(SOURCE, patience_s=0, **MODEL),
    ):
        raise AssertionError("was entered")


def test_stream_tiles_goes_on_after_a_break(gateway: StreamGateway) -> None:
    with (
        Proxy(gateway.address, [100_000, 200_000]) as proxy,
        Client(proxy.address, retry=QUICK, timeout_s=WAIT_S) as client,
        client.stream_tiles(SOURCE, **MODEL) as tiles,
    ):
        places = [(tile.row, tile.column) for tile in tiles]
    assert proxy.connections == 3
    assert len(places) == len(set(places)) == len(tiles.plan.row_spans) * len(tiles.plan.column_spans)


def with_async(gateway: StreamGateway, test: Callable[[AsyncClient], object]) -> None:
    async def run() -> None:
        async with AsyncClient(gateway.address, retry=QUICK, timeout_s=WAIT_S) as client:
            await test(client)

    asyncio.run(run())


def test_async_stream_tiles_gives_every_tile(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.stream_tiles(SOURCE, **MODEL) as tiles:
            all_of_them = await collected(tiles)
        one = (await client.upscale(SOURCE, **MODEL)).image
        assert len(all_of_them) == len(tiles.plan.row_spans) * len(tiles.plan.column_spans)
        assert np.array_equal(painted(all_of_them, one.shape), one)

    with_async(gateway, test)


def test_async_stream_tiles_goes_without_a_context(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        assert len(await collected(client.stream_tiles(SOURCE[:5, :5], **MODEL))) == 1

    with_async(gateway, test)


def test_async_stream_tiles_knows_no_plan_before_it_is_entered(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(AnswerError, match="async with"):
            _ = client.stream_tiles(SOURCE, **MODEL).plan

    with_async(gateway, test)


def test_async_stream_tiles_refuses_on_entering(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(ArgumentError, match="dtype is float64"):
            async with client.stream_tiles(np.zeros((5, 5, 3)), **MODEL):
                pass

    with_async(gateway, test)


def test_async_stream_tiles_that_is_left_reads_no_more(gateway: StreamGateway) -> None:
    source = Pixels(scene((900, 900)))

    async def test(client: AsyncClient) -> None:
        async with client.stream_tiles(source, **MODEL) as tiles:
            async for _ in tiles:
                break
        read = len(source.windows)
        assert len(source.windows) == read < 100
        assert [task for task in asyncio.all_tasks() if "hndsr_client" in repr(task)] == []

    with_async(gateway, test)


def test_async_streams_share_a_client(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        streams = [collected(client.stream_tiles(SOURCE, **MODEL)) for _ in range(4)]
        assert {len(tiles) for tiles in await asyncio.gather(*streams)} == {20}

    with_async(gateway, test)


def test_stream_tiles_that_was_left_does_not_look_complete(client: Client) -> None:
    with client.stream_tiles(SOURCE, **MODEL) as tiles:
        next(tiles)
    with pytest.raises(UnavailableError, match="ended before its last tile"):
        next(tiles)


def test_stream_tiles_that_was_never_entered_has_no_plan(client: Client) -> None:
    tiles = client.stream_tiles(SOURCE, **MODEL)
    tiles.close()
    with pytest.raises(UnavailableError, match="ended before its last tile"):
        _ = tiles.plan


def test_async_stream_tiles_that_was_cancelled_does_not_look_complete(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.stream_tiles(SOURCE, **MODEL) as tiles:
            task = asyncio.ensure_future(anext(tiles))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            with pytest.raises(UnavailableError, match="ended before its last tile"):
                await anext(tiles)

    with_async(gateway, test)


def test_async_stream_tiles_is_over_when_it_is_over(gateway: StreamGateway) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.stream_tiles(SOURCE[:5, :5], **MODEL) as tiles:
            await collected(tiles)
            with pytest.raises(StopAsyncIteration):
                await anext(tiles)

    with_async(gateway, test)
