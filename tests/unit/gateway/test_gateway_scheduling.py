"""Many requests, one backend: who may go on, who waits, and what stops."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from fakes import FakeBackend
from in_process import THREE_WINDOWS, TINY_TILES, Client, raw, refusal, request, run, running, scene

from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import OverloadedError
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import Parameters, Raster

LARGE, SMALL = (400, 10), (8, 8)
LARGE_TILES = 7
BICUBIC = Parameters(model="bicubic")


def start(client: Client, size: tuple[int, int] = THREE_WINDOWS, **call: Any) -> Any:
    """An Upscale call on its way."""
    return client.upscale.Upscale(request(raw(scene(size))), **call)


def test_cancelled_call_cancels_its_tile() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, **TINY_TILES) as client:
            call = start(client)
            await backend.started(1)
            call.cancel()
            await backend.until(lambda: backend.outcomes() == ["cancelled"])

    run(test())


def test_cancelled_call_sends_no_further_tile() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, **TINY_TILES) as client:
            call = start(client)
            await backend.started(1)
            call.cancel()
            await backend.until(lambda: backend.outcomes() == ["cancelled"])
            backend.release()
            await start(client, SMALL)

    run(test())
    assert [call.size for call in backend.calls] == [THREE_WINDOWS, SMALL]


def test_callers_deadline_cancels_its_tile() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend) as client:
            found = await refusal(start(client, timeout=0.2))
            assert found.code == grpc.StatusCode.DEADLINE_EXCEEDED
            await backend.until(lambda: backend.outcomes() == ["cancelled"])

    run(test())


def test_failing_tile_cancels_the_tiles_beside_it() -> None:
    backend = FakeBackend()
    backend.hold()
    backend.tile_errors[1] = ZeroDivisionError()

    async def test() -> None:
        async with running(backend, **TINY_TILES, max_inflight_tiles=2) as client:
            await refusal(start(client))

    run(test())
    assert backend.outcomes() == ["cancelled", "failed"]


def test_failing_tile_sends_no_further_tile() -> None:
    backend = FakeBackend()
    backend.tile_errors[1] = ZeroDivisionError()

    async def test() -> None:
        async with running(backend, **TINY_TILES) as client:
            await refusal(start(client))
            await start(client, SMALL)

    run(test())
    assert [call.size for call in backend.calls] == [THREE_WINDOWS, THREE_WINDOWS, SMALL]


def test_failing_request_leaves_another_one_alone() -> None:
    backend = FakeBackend()
    backend.hold()
    backend.tile_errors[1] = ZeroDivisionError()

    async def test() -> None:
        async with running(backend, max_inflight_tiles=2) as client:
            other = start(client, SMALL)
            await backend.started(1)
            await refusal(start(client))
            backend.release()
            assert (await other).metadata.tiles == 1

    run(test())


@pytest.mark.parametrize("tiles_at_once", [1, 2])
def test_backend_gets_no_more_tiles_at_once_than_the_settings_allow(tiles_at_once: int) -> None:
    backend, running_tiles = FakeBackend(delay_s=0.001), []

    async def test() -> None:
        async with running(backend, **TINY_TILES, max_inflight_tiles=tiles_at_once) as client:
            calls = [asyncio.ensure_future(start(client)) for _ in range(3)]
            await backend.until(lambda: running_tiles.append(backend.outcomes().count("running")) or len(done()) == 9)
            await asyncio.gather(*calls)

    def done() -> list[str]:
        return [outcome for outcome in backend.outcomes() if outcome == "done"]

    run(test())
    assert max(running_tiles) == tiles_at_once


def test_overload_is_refused_with_a_delay() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1) as client:
            first = start(client)
            await backend.started(1)
            found = await refusal(start(client, SMALL))
            first.cancel()
            assert (found.reason, found.retry_delay_s) == ("OVERLOADED", 5.0)

    run(test())


def test_overload_leaves_the_admitted_request_alone() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1) as client:
            first = start(client)
            await backend.started(1)
            await refusal(start(client, SMALL))
            backend.release()
            assert (await first).metadata.tiles == 1

    run(test())


def test_place_is_given_back_after_success() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_concurrent_requests=1) as client:
            for _ in range(3):
                await start(client, SMALL)

    run(test())


def test_place_is_given_back_after_a_failure() -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = ZeroDivisionError()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1) as client:
            await refusal(start(client, SMALL))
            await start(client, SMALL)

    run(test())


def test_place_is_given_back_after_a_refusal() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_concurrent_requests=1) as client:
            await refusal(client.upscale.Upscale(request(b"no image")))
            await start(client, SMALL)

    run(test())


def test_place_is_given_back_after_a_cancellation() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1) as client:
            call = start(client)
            await backend.started(1)
            call.cancel()
            await backend.until(lambda: backend.outcomes() == ["cancelled"])
            backend.release()
            await start(client, SMALL)

    run(test())


def test_place_is_given_back_after_a_timeout() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1, request_timeout_s=0.1) as client:
            await refusal(start(client, SMALL))
            backend.release()
            await start(client, SMALL)

    run(test())


def test_request_is_refused_when_it_takes_longer_than_the_server_allows() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, request_timeout_s=0.1) as client:
            found = await refusal(start(client))
            assert (found.code, found.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")

    run(test())


def test_request_cancels_its_tile_when_it_takes_longer_than_the_server_allows() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, request_timeout_s=0.1) as client:
            await refusal(start(client))

    run(test())
    assert backend.outcomes() == ["cancelled"]


async def service_of(backend: FakeBackend, **settings: Any) -> UpscaleService:
    catalogue = Catalogue(backend, default_model="bicubic")
    await catalogue.refresh()
    return UpscaleService(backend, catalogue, Settings(**{**TINY_TILES, **settings}))


async def settle() -> None:
    """Let every task go on until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


def order_of_tiles(sizes: list[tuple[int, int]], *, tiles_at_once: int) -> list[tuple[int, int]]:
    """The images that the tiles in the backend belong to, when all requests arrive during the first tile."""
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        service = await service_of(backend, max_inflight_tiles=tiles_at_once)
        work = []
        for size in sizes:
            work.append(asyncio.create_task(service.upscale(Raster(scene(size)), BICUBIC)))
            await settle()
        backend.release()
        await asyncio.gather(*work)

    run(test())
    return [call.size for call in backend.calls]


@pytest.mark.parametrize("tiles_at_once", [1, 2])
def test_small_image_waits_for_running_tiles_only(tiles_at_once: int) -> None:
    order = order_of_tiles([LARGE, SMALL], tiles_at_once=tiles_at_once)
    assert (order.index(SMALL) <= 2 * tiles_at_once - 1, len(order)) == (True, LARGE_TILES + 1)


def test_images_take_turns() -> None:
    other = (LARGE[0], LARGE[1] + 1)
    assert order_of_tiles([LARGE, other], tiles_at_once=1) == [LARGE, other] * LARGE_TILES


def test_admission_counts_requests() -> None:
    async def test() -> None:
        service = await service_of(FakeBackend(), max_concurrent_requests=2)
        with service.admission(), service.admission(), pytest.raises(OverloadedError):
            service.admission().__enter__()

    run(test())
