"""Streams of several callers: what they spend, and whose tiles come first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import numpy as np
import pytest
from fakes import FakeBackend
from in_process import run, scene, settle

from hndsr_gateway.caller import Caller, called_by
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import BeyondQuotaError, OverloadedError, QuotaExceededError, TileBeyondQuotaError
from hndsr_gateway.server import image_workers
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.settings import Settings
from hndsr_gateway.strips import Answer, Draining, StreamOpened, StreamStart, Strip, Summary, target_strips
from hndsr_gateway.types import Parameters, Plan, Priority, Raster

SIZE, OTHER = (400, 10), (400, 11)
"""Sizes of images of seven windows below each other, each a tile of its own."""
TARGET_PX = 1600 * 40
TILE_PX = 224 * 40
"""Of all tiles but the last."""


class Account:
    """An allowance of so many target pixels, and what was spent of it."""

    def __init__(self, left: int = 10**9) -> None:
        self.left = left
        self.spent: list[int] = []
        self.refused = asyncio.Event()

    async def spend_target_px(self, count: int) -> None:
        """Spend, if there is as much left."""
        if count > self.left:
            self.refused.set()
            raise QuotaExceededError(subject="a", quota="target pixels", left=self.left, retry_delay_s=1.0)
        self.left -= count
        self.spent.append(count)


class Call:
    """A stream of a whole image, and all that it was answered."""

    def __init__(
        self, service: UpscaleService, caller: Caller, size: tuple[int, int], priority: Priority = Priority.BATCH
    ) -> None:
        self._service, self._caller, self._priority = service, caller, priority
        self._pixels = scene(size)
        self._plan: asyncio.Future[Plan] = asyncio.get_running_loop().create_future()
        self.answers: list[Answer] = []

    async def run(self) -> None:
        """Send everything, and take the answers."""
        with called_by(self._caller):
            await self._service.stream(self._start(), self._strips(), self._take)

    async def opened(self) -> None:
        """Wait until it knows its plan."""
        await asyncio.shield(self._plan)

    def _start(self) -> Coroutine[Any, Any, StreamStart]:
        async def start() -> StreamStart:
            size = (self._pixels.shape[0], self._pixels.shape[1])
            return StreamStart(size, "uint8", Parameters(model="bicubic"), cores=1, priority=self._priority)

        return start()

    async def _strips(self) -> AsyncIterator[Strip]:
        plan = await self._plan
        for row, rows in enumerate(plan.row_spans):
            tile = np.ascontiguousarray(self._pixels[rows.source_start : rows.source_stop])
            for strip in target_strips((row, 0), Raster(tile)):
                yield strip

    async def _take(self, answer: Answer) -> None:
        self.answers.append(answer)
        if isinstance(answer, StreamOpened):
            self._plan.set_result(answer.plan)


async def service_of(backend: FakeBackend, **settings: Any) -> UpscaleService:
    """A service of its own."""
    catalogue = Catalogue(backend, default_model="bicubic")
    await catalogue.refresh()
    chosen = Settings(**settings)
    return UpscaleService(backend, catalogue, image_workers(chosen), chosen)


def test_stream_spends_the_pixels_of_each_tile() -> None:
    account = Account()

    async def test() -> None:
        call = Call(await service_of(FakeBackend()), Caller(id="a", allowance=account), SIZE)
        await call.run()

    run(test())
    assert (len(account.spent), sum(account.spent)) == (7, TARGET_PX)


def test_stream_ends_when_its_caller_has_no_pixels_left() -> None:
    backend = FakeBackend()

    async def test() -> None:
        call = Call(await service_of(backend), Caller(id="a", allowance=Account(left=2 * TARGET_PX // 7)), SIZE)
        with pytest.raises(QuotaExceededError):
            await call.run()

    run(test())
    assert len(backend.calls) < 7


def test_stream_sends_the_tiles_that_are_paid_for_before_it_ends() -> None:
    backend, account = FakeBackend(), Account(left=3 * TILE_PX // 2)
    backend.hold()

    async def test() -> None:
        call = Call(await service_of(backend, stream_tiles=4), Caller(id="a", allowance=account), SIZE)
        ended = asyncio.create_task(call.run())
        await account.refused.wait()
        await settle()
        backend.release()
        with pytest.raises(QuotaExceededError):
            await ended
        assert [strip.place for strip in call.answers if isinstance(strip, Strip) and strip.last] == [(0, 0)]

    run(test())


class TooSmall:
    """An allowance that no tile fits into."""

    async def spend_target_px(self, count: int) -> None:
        """Refuse it for good."""
        raise BeyondQuotaError(target_px=count, limit_px=5000)


def test_stream_of_tiles_that_no_hour_is_enough_for_says_how_to_have_smaller_ones() -> None:
    async def test() -> None:
        call = Call(await service_of(FakeBackend()), Caller(id="a", allowance=TooSmall()), SIZE)
        with pytest.raises(TileBeyondQuotaError, match=r"a tile has 8,960 px, .* 5,000 px per hour; .*cores_per_tile"):
            await call.run()

    run(test())


def order_of_tiles(*calls: tuple[str, tuple[int, int], Priority]) -> list[tuple[int, int]]:
    """The images that the tiles in the backend belong to; all streams come in one after another during the first."""
    backend = FakeBackend(window_s=1.0, delay_s=0.01)
    backend.hold()

    async def test() -> None:
        service = await service_of(backend, stream_tiles=4)
        tasks = []
        for caller, size, priority in calls:
            call = Call(service, Caller(id=caller), size, priority)
            tasks.append(asyncio.create_task(call.run()))
            await call.opened()
            await settle()
        await backend.started(1)
        backend.release()
        await asyncio.gather(*tasks)

    run(test())
    return [call.size for call in backend.calls]


def test_callers_share_whatever_the_number_of_their_streams() -> None:
    order = order_of_tiles(*[("a", SIZE, Priority.BATCH)] * 4, ("b", OTHER, Priority.BATCH))
    assert order[1:13].count(OTHER) >= 5


def test_interactive_stream_comes_before_batch() -> None:
    order = order_of_tiles(("a", SIZE, Priority.BATCH), ("a", OTHER, Priority.INTERACTIVE))
    assert order[1:8].count(OTHER) >= 6


def test_stream_of_who_has_most_goes_on_later_when_another_finds_no_room() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        service = await service_of(backend, max_streams=2)
        calls = [Call(service, Caller(id="a"), SIZE) for _ in range(2)]
        tasks = [asyncio.create_task(call.run()) for call in calls]
        await backend.started(1)
        for call in calls:
            await call.opened()
        with pytest.raises(OverloadedError):
            await Call(service, Caller(id="b"), OTHER).run()
        backend.release()
        await asyncio.gather(*tasks)
        left = [any(isinstance(answer, Draining) for answer in call.answers) for call in calls]
        assert sorted(left) == [False, True]
        assert all(isinstance(call.answers[-1], Summary) for call in calls)
        await Call(service, Caller(id="b"), OTHER).run()

    run(test())
