"""How a `Client` runs the steps of a raster: one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hndsr_client._raster.job import OnRasterProgress, RasterJob
from hndsr_client._raster.order import RasterOrder, order_of
from hndsr_client._raster.planning import Planning
from hndsr_client._raster.results import RasterPlan, RasterResult
from hndsr_client._stream.blocking import TileStream, Way, deliver
from hndsr_client._stream.recovery import Recovery

__all__ = ["order_of", "plan", "upscale"]


def upscale(
    order: RasterOrder, client: Any, way: Way, recovery: Callable[[], Recovery], on_progress: OnRasterProgress | None
) -> RasterResult:
    """Upscale a raster.

    Raises:
        HndsrError: As `Client.upscale_raster` says.
    """
    with RasterJob(order, on_progress or (lambda _: None)) as job:
        arguments = job.plan_arguments
        if arguments is not None:
            client.plan(*job.reading.size_px, **arguments)
        job.measure()
        for make in job.deliveries(recovery):
            delivery = make()
            deliver(delivery, way, job.tell_tiles)
            job.add(delivery)
        job.write()
        return job.result()


def plan(order: RasterOrder, client: Any, way: Way, recovery: Recovery, *, measured: bool) -> RasterPlan:
    """Say what upscaling a raster would take.

    Raises:
        HndsrError: As `Client.plan_raster` says.
    """
    with Planning(order) as planning:
        if not measured:
            return planning.result(client.plan(*planning.reading.size_px, **planning.arguments))
        scene = planning.sample(recovery)
        with TileStream(scene, way) as tiles:
            tile_px = planning.leave_one(scene)
            began_s = time.monotonic()
            next(tiles)
            tile_s = time.monotonic() - began_s
        return planning.result(scene.tiles.plan, tile_s=tile_s, tile_px=tile_px)
