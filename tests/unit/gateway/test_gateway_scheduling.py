"""Many requests, one backend: who may go on, who waits, and what stops."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from fakes import FakeBackend
from in_process import THREE_WINDOWS, TINY_TILES, Client, png, raw, refusal, request, run, running, scene, settle

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.jobs import UpscaleRequest
from hndsr_gateway.server import image_workers
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import Parameters, Raster

LARGE, SMALL = (400, 10), (8, 8)
LARGE_TILES = 7


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


NO_QUEUE = {"max_concurrent_requests": 1, "max_queue_depth": 0}


def test_overload_is_refused_with_a_delay() -> None:
    backend = FakeBackend(window_s=2.0)
    backend.hold()

    async def test() -> None:
        async with running(backend, **NO_QUEUE) as client:
            first = start(client)
            await backend.started(1)
            found = await refusal(start(client, SMALL))
            first.cancel()
            assert (found.reason, found.retry_delay_s) == ("OVERLOADED", 6.0)

    run(test())


def test_overload_leaves_the_admitted_request_alone() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, **NO_QUEUE) as client:
            first = start(client)
            await backend.started(1)
            await refusal(start(client, SMALL))
            backend.release()
            assert (await first).metadata.tiles == 1

    run(test())


@pytest.mark.parametrize(("others", "tiles"), [(0, 1), (1, 3)])
def test_request_comes_in_larger_tiles_when_it_is_alone(others: int, tiles: int) -> None:
    backend = FakeBackend(window_s=0.01)
    backend.hold()

    async def test() -> None:
        async with running(backend, tile_time_s=0.01, max_inflight_tiles=2) as client:
            beside = [asyncio.ensure_future(start(client, SMALL)) for _ in range(others)]
            await backend.started(others)
            answer = asyncio.ensure_future(start(client))
            await backend.started(others + 1)
            backend.release()
            assert (await answer).metadata.tiles == tiles
            await asyncio.gather(*beside)

    run(test())


def test_requests_wait_while_others_are_worked_on() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1, max_queue_depth=2) as client:
            calls = [asyncio.ensure_future(start(client)) for _ in range(3)]
            await backend.started(1)
            while (await refusal_or_none(start(client, SMALL, timeout=0.2))) != "OVERLOADED":
                pass
            backend.release()
            assert [answer.metadata.tiles for answer in await asyncio.gather(*calls)] == [1, 1, 1]

    run(test())


async def refusal_or_none(call: Any) -> str:
    """The reason why a call is refused."""
    return (await refusal(call)).reason


def test_waiting_request_ends_when_its_deadline_comes_too_near() -> None:
    backend, first_size = FakeBackend(window_s=0.3), (8, 9)
    backend.hold()

    async def test() -> None:
        async with running(backend, max_concurrent_requests=1, max_queue_depth=1) as client:
            first = start(client, first_size)
            await backend.started(1)
            assert (await refusal(start(client, SMALL, timeout=1.5))).reason == "OVERLOADED"
            backend.release()
            await first
            await start(client, SMALL)

    run(test())
    assert [call.size for call in backend.calls] == [first_size, SMALL]


def test_requests_are_refused_when_too_many_bytes_wait() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        settings = {"max_concurrent_requests": 1, "max_queue_bytes": 2 * SMALL[0] * SMALL[1] * 3}
        async with running(backend, **settings) as client:
            calls = [start(client)]
            await backend.started(1)
            calls += [start(client, SMALL), start(client, SMALL)]
            while (await refusal_or_none(start(client, SMALL, timeout=0.2))) != "OVERLOADED":
                pass
            backend.release()
            await asyncio.gather(*calls)

    run(test())


def test_request_is_refused_when_its_file_holds_too_many_bytes_once_it_is_read() -> None:
    backend = FakeBackend()
    backend.hold()
    black = request(png(np.zeros((200, 200, 3), np.uint8)), scale="2")
    settings = {"max_concurrent_requests": 1, "image_workers": 1, "max_queue_bytes": 200_000}

    async def test() -> None:
        async with running(backend, **settings) as client:
            first = asyncio.ensure_future(start(client, SMALL))
            await backend.started(1)
            files = [asyncio.ensure_future(reason_or_none(client.upscale.Upscale(black))) for _ in range(2)]
            await asyncio.wait(files, return_when=asyncio.FIRST_COMPLETED)
            backend.release()
            assert sorted(await asyncio.gather(*files)) == ["", "OVERLOADED"]
            await first

    run(test())


async def reason_or_none(call: Any) -> str:
    """Why a call is refused, empty where it is answered."""
    try:
        await call
    except grpc.aio.AioRpcError:
        return (await refusal(call)).reason
    return ""


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


def order_of_tiles(sizes: list[tuple[int, int]], *, tiles_at_once: int = 1) -> list[tuple[int, int]]:
    """The images that the tiles in the backend belong to, when all requests arrive during the first tile."""
    backend = FakeBackend(window_s=100.0)
    backend.hold()

    async def test() -> None:
        catalogue = Catalogue(backend, default_model="bicubic")
        await catalogue.refresh()
        settings = Settings(**TINY_TILES, max_inflight_tiles=tiles_at_once)
        images = image_workers(settings)
        service = UpscaleService(backend, catalogue, images, settings)
        work = []
        for size in sizes:
            request = UpscaleRequest(Raster(scene(size)), Parameters(model="bicubic"))
            work.append(asyncio.create_task(service.upscale(request)))
            await settle()
        backend.release()
        await asyncio.gather(*work)

    run(test())
    return [call.size for call in backend.calls]


def order_of_answers(work: list[tuple[Any, Any]]) -> list[Any]:
    """Names of calls in the order of their answers; all are sent during the first one's only tile."""
    backend, answered = FakeBackend(window_s=100.0), []
    backend.hold()

    async def answer(name: Any, call: Any) -> None:
        await call
        answered.append(name)

    async def test() -> None:
        limits = {"max_concurrent_requests": 2, "tile_time_s": 0.1, "tile_timeout_s": 1e9}
        async with running(backend, cores_per_tile=16, **limits) as client:
            calls = []
            for name, message in work:
                method = client.upscale.Upscale if isinstance(message, pb.UpscaleRequest) else client.upscale.Compare
                calls.append(asyncio.create_task(answer(name, method(message))))
                await backend.started(1)
            await asyncio.sleep(0.2)  # for the others to arrive
            backend.release()
            await asyncio.gather(*calls)

    run(test())
    return answered


def test_request_is_answered_as_soon_as_its_last_tile_is_done() -> None:
    long, short = request(raw(scene(THREE_WINDOWS))), request(raw(scene(SMALL)))
    assert order_of_answers([("long", long), ("short", short)]) == ["long", "short"]


def test_comparing_leaves_a_place_for_small_images() -> None:
    image = pb.Image(raw=raw(scene((512, 512))))
    compare = pb.CompareRequest(image=image, reference=image)
    small = request(raw(scene(SMALL)))
    work = [("first", small), *((number, compare) for number in range(3)), ("small", small)]
    assert order_of_answers(work).index("small") <= 2


@pytest.mark.parametrize("tiles_at_once", [1, 2])
def test_small_image_waits_for_running_tiles_only(tiles_at_once: int) -> None:
    order = order_of_tiles([LARGE, SMALL], tiles_at_once=tiles_at_once)
    assert (order.index(SMALL) <= 2 * tiles_at_once - 1, len(order)) == (True, LARGE_TILES + 1)


def test_images_of_one_size_go_in_the_order_of_their_arrival() -> None:
    other = (LARGE[0], LARGE[1] + 1)
    assert order_of_tiles([LARGE, other]) == [LARGE] * LARGE_TILES + [other] * LARGE_TILES


def test_large_images_leave_places_for_small_ones() -> None:
    order = order_of_tiles([LARGE] * 9 + [SMALL])
    assert order.index(SMALL) == 1
