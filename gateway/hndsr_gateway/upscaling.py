"""A whole raster through the backend, tile by tile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np

from hndsr_ensemble.geometry import Span
from hndsr_ensemble.masks import Mask
from hndsr_ensemble.tiles import TileStats
from hndsr_ensemble.values import Ranges
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import RevisionChangedError, UnavailableError
from hndsr_gateway.fair_gate import Route, Ticket
from hndsr_gateway.images.picture import Enlarged
from hndsr_gateway.planning import (
    check_answer_size,
    check_unary_size,
    checked_options,
    checked_ranges,
    checked_scale,
    make_plan,
)
from hndsr_gateway.scheduling import Work
from hndsr_gateway.settings import Settings
from hndsr_gateway.tiles import TileMaker, TileQueue, observed_tile
from hndsr_gateway.types import ModelDescription, Parameters, Plan, Raster, TileRequest, TileResponse, Upscaled

PlannedTile = tuple[Span, Span, TileRequest]

SHORT_WINDOWS = 4
"""A target of up to 2 x 2 windows is short work, whatever runs it."""


@dataclass(frozen=True, slots=True)
class RasterJob:
    """A raster that can be upscaled as its caller asks."""

    source: Raster
    plan: Plan
    model: ModelDescription
    ranges: Ranges
    parameters: Parameters

    @property
    def work_s(self) -> float:
        """Device time with no window cached, in seconds."""
        return self.model.work_s(self.plan)

    @property
    def is_long(self) -> bool:
        """Whether it is more than a thumbnail."""
        return self.plan.windows > SHORT_WINDOWS

    def tiles(self) -> Iterator[PlannedTile]:
        """All tiles in row-major order, each with its spans."""
        maker = TileMaker(self.plan, self.model, self.ranges)
        for rows, columns in self.plan.tiles():
            area = np.s_[rows.source_start : rows.source_stop, columns.source_start : columns.source_stop]
            mask = None if self.source.mask is None else self.source.mask[area]
            yield rows, columns, maker.request(rows, columns, Raster(self.source.pixels[area], mask))


class RasterUpscaler:
    """Plans rasters and runs their tiles; tiles of concurrent calls take turns.

    Args:
        queue: runs the tiles.
        catalogue: knows the models.
        settings: limits, and how many tiles may be in the backend at once.
    """

    def __init__(self, queue: TileQueue, catalogue: Catalogue, settings: Settings) -> None:
        self._queue, self._catalogue, self._settings = queue, catalogue, settings

    def enlarged(self, parameters: Parameters) -> Enlarged:
        """What is to become of an image that is not read yet.

        Raises:
            GatewayError: if there is no such model or scale.
        """
        model = self._catalogue.find(parameters.model)
        scale = checked_scale(parameters.scale or model.manifest.default_scale, model)
        return Enlarged(scale.numerator, scale.denominator, self._settings.max_target_px)

    def prepare(self, source: Raster, parameters: Parameters, *, bands: int = 3, tile_time_s: float) -> RasterJob:
        """Check all that can be refused before any work.

        Args:
            source: to be upscaled.
            parameters: what its caller asks for.
            bands: of the answer, alpha included.
            tile_time_s: device time that its tiles are sized to.

        Raises:
            GatewayError: if the request cannot be served.
        """
        size, dtype = (source.height, source.width), source.pixels.dtype
        model = self._catalogue.find(parameters.model, parameters.required_revision)
        plan = make_plan(size, parameters, model, self._settings, sample_type=dtype.name, tile_time_s=tile_time_s)
        check_unary_size(plan.target, which="target", limit_px=self._settings.max_target_px)
        ranges = checked_ranges(parameters.value_ranges, dtype)
        check_answer_size(plan.target, dtype, bands=bands, limit_bytes=self._settings.max_message_bytes)
        return RasterJob(source, plan, model, ranges, parameters)

    def least_work(self, parameters: Parameters) -> Work:
        """What an image takes that is not read yet, if it is a small one.

        Raises:
            GatewayError: if there is no such model, or its options are out of range.
        """
        model = self._catalogue.find(parameters.model)
        window_s = model.window_time_s(checked_options(parameters.options, model))
        return Work(window_s, model.name, self._queue.places(model.name, model.revision))

    def work(self, job: RasterJob, *, beside_s: float = 0.0) -> Work:
        """What a job takes, and so many seconds for what is done with it beside."""
        plan = job.plan
        places, own = self._queue.places(plan.model, plan.revision), self._tiles_at_once(plan)
        return Work(job.work_s + beside_s, plan.model, places, own)

    def _tiles_at_once(self, plan: Plan) -> int:
        return min(self._settings.tiles_at_once, plan.tile_count)

    async def run(self, job: RasterJob, ticket: Ticket) -> Upscaled:
        """Run all tiles of a job; the tiles of several jobs take turns as `FairGate` says.

        Raises:
            GatewayError: if a tile fails; nothing of the job goes on then.
        """
        try:
            target, stats = await self._run(job, ticket)
        except RevisionChangedError as error:
            await self._catalogue.refresh()
            if job.parameters.required_revision:
                raise
            raise UnavailableError from error
        return Upscaled(target, job.plan, job.model, stats)

    async def _run(self, job: RasterJob, ticket: Ticket) -> tuple[Raster, TileStats]:
        canvas, route = _Canvas(job), self._queue.route(job.plan)
        tiles = job.tiles()
        count = self._tiles_at_once(job.plan)
        workers = [asyncio.create_task(self._work(job, tiles, canvas, ticket, route)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return canvas.finish()

    async def _work(
        self, job: RasterJob, tiles: Iterator[PlannedTile], canvas: _Canvas, ticket: Ticket, route: Route
    ) -> None:
        turn = self._queue.place(ticket, cost_s=job.work_s / job.plan.tile_count, route=route)
        async with contextlib.AsyncExitStack() as held:
            for number, (rows, columns, request) in enumerate(tiles):
                with observed_tile(request):
                    if number:
                        await turn.give_way()
                    else:
                        await held.enter_async_context(turn)
                    canvas.place(rows, columns, await self._queue.run(request, turn))


class _Canvas:
    """The target as its tiles come in."""

    def __init__(self, job: RasterJob) -> None:
        self._pixels = np.empty((*job.plan.target, 3), dtype=job.source.pixels.dtype)
        self._mask: Mask | None = None
        self._stats = np.zeros(len(astuple(TileStats())), dtype=np.int64)

    def place(self, rows: Span, columns: Span, tile: TileResponse) -> None:
        """Put one tile where it belongs; the only one is the target itself."""
        area = np.s_[rows.target_start : rows.target_stop, columns.target_start : columns.target_stop]
        if tile.raster.pixels.shape == self._pixels.shape:
            self._pixels = tile.raster.pixels
        else:
            self._pixels[area] = tile.raster.pixels
        if tile.raster.mask is not None:
            if self._mask is None:
                self._mask = np.ones(self._pixels.shape[:2], dtype=bool)
            self._mask[area] = tile.raster.mask
        self._stats += astuple(tile.stats)

    def finish(self) -> tuple[Raster, TileStats]:
        """The whole target and the sum of its tiles' statistics."""
        return Raster(self._pixels, self._mask), TileStats(*(int(value) for value in self._stats))
