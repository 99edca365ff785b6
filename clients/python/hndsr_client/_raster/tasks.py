"""How an `AsyncClient` runs the steps of a raster: those that take files in threads, and told of in the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from hndsr_client._raster.job import OnRasterProgress, RasterJob
from hndsr_client._raster.order import RasterOrder, order_of
from hndsr_client._raster.planning import Planning
from hndsr_client._raster.results import RasterPlan, RasterProgress, RasterResult
from hndsr_client._stream.recovery import Recovery
from hndsr_client._stream.tasks import AsyncTileStream, AsyncWay, delivered, made_in_thread
from hndsr_client._tasks import to_the_end

__all__ = ["order_of", "plan", "upscale"]


class _LeftError(BaseException):
    """The task that a step is for was cancelled."""


class _Teller:
    """Calls the caller's function in the loop, whatever thread tells.

    Attributes:
        left: Set when nobody waits for the step any more, which then ends at the next word of its progress.
    """

    def __init__(self, on_progress: OnRasterProgress | None) -> None:
        self.left = threading.Event()
        self._on_progress = on_progress
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def __call__(self, progress: RasterProgress) -> None:
        if self.left.is_set():
            raise _LeftError
        if self._on_progress is None:
            return
        if threading.get_ident() == self._thread:
            self._on_progress(progress)
        else:
            asyncio.run_coroutine_threadsafe(self._told(progress), self._loop).result()

    async def _told(self, progress: RasterProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)


async def upscale(
    order: RasterOrder,
    client: Any,
    way: AsyncWay,
    recovery: Callable[[], Recovery],
    on_progress: OnRasterProgress | None,
) -> RasterResult:
    """Upscale a raster.

    Raises:
        HndsrError: As `AsyncClient.upscale_raster` says.
    """
    tell = _Teller(on_progress)
    with await made_in_thread(lambda: RasterJob(order, tell)) as job:
        arguments = job.plan_arguments
        if arguments is not None:
            await client.plan(*job.reading.size_px, **arguments)
        await _step(job.measure, tell)
        for make in job.deliveries(recovery):
            job.add(await delivered(make, way, job.tell_tiles))
        await _step(job.write, tell)
        return await to_the_end(lambda _: job.result(), None)


async def plan(order: RasterOrder, client: Any, way: AsyncWay, recovery: Recovery, *, measured: bool) -> RasterPlan:
    """Say what upscaling a raster would take.

    Raises:
        HndsrError: As `AsyncClient.plan_raster` says.
    """
    with await made_in_thread(lambda: Planning(order)) as planning:
        if not measured:
            answer = await client.plan(*planning.reading.size_px, **planning.arguments)
            return await to_the_end(lambda _: planning.result(answer), None)
        scene = await to_the_end(planning.sample, recovery)
        async with AsyncTileStream(lambda: scene, way) as tiles:
            tile_px = await to_the_end(planning.leave_one, scene)
            began_s = time.monotonic()
            await anext(tiles)
            tile_s = time.monotonic() - began_s
        return await to_the_end(lambda _: planning.result(tiles.plan, tile_s=tile_s, tile_px=tile_px), None)


async def _step(step: Callable[[], None], tell: _Teller) -> None:
    await to_the_end(lambda _: step(), None, on_cancel=tell.left.set)
