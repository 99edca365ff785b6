"""A whole raster through the backend, tile by tile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np

from hndsr_ensemble.geometry import Axis, Span
from hndsr_ensemble.tiling import TileGeometry, TileStats
from hndsr_ensemble.values import Ranges
from hndsr_gateway.backend import TileBackend
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import RevisionChangedError, UnavailableError
from hndsr_gateway.images.picture import Enlarged
from hndsr_gateway.planning import check_answer_size, check_unary_size, checked_ranges, checked_scale, make_plan
from hndsr_gateway.scheduling import FairGate, Ticket
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, Parameters, Plan, Raster, TileRequest, TileResponse, Upscaled

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
        return self.plan.windows * self.model.window_time_s(self.plan.options)

    @property
    def is_long(self) -> bool:
        """Whether it is more than a thumbnail."""
        return self.plan.windows > SHORT_WINDOWS


class RasterUpscaler:
    """Plans rasters and runs their tiles; tiles of concurrent calls take turns.

    Args:
        backend: runs the tiles.
        catalogue: knows the models.
        settings: limits, and how many tiles may be in the backend at once.
    """

    def __init__(self, backend: TileBackend, catalogue: Catalogue, settings: Settings) -> None:
        self._backend, self._catalogue, self._settings = backend, catalogue, settings
        self._slots = FairGate(settings.max_inflight_tiles)

    def enlarged(self, parameters: Parameters) -> Enlarged:
        """What is to become of an image that is not read yet.

        Raises:
            GatewayError: if there is no such model or scale.
        """
        model = self._catalogue.find(parameters.model)
        scale = checked_scale(parameters.scale or model.manifest.default_scale, model)
        return Enlarged(scale.numerator, scale.denominator, self._settings.max_target_px)

    def prepare(self, source: Raster, parameters: Parameters, *, bands: int = 3) -> RasterJob:
        """Check all that can be refused before any work.

        Args:
            source: to be upscaled.
            parameters: what its caller asks for.
            bands: of the answer, alpha included.

        Raises:
            GatewayError: if the request cannot be served.
        """
        size, dtype = (source.height, source.width), source.pixels.dtype
        model = self._catalogue.find(parameters.model)
        plan = make_plan(size, parameters, model, self._settings, sample_type=dtype.name)
        check_unary_size(plan.target, which="target", limit_px=self._settings.max_target_px)
        ranges = checked_ranges(parameters.value_ranges, dtype)
        check_answer_size(plan.target, dtype, bands=bands, limit_bytes=self._settings.max_message_bytes)
        return RasterJob(source, plan, model, ranges, parameters)

    async def run(self, job: RasterJob, ticket: Ticket) -> Upscaled:
        """Run all tiles of a job; the tiles of several jobs take turns as `FairGate` says.

        Raises:
            GatewayError: if a tile fails; nothing of the job goes on then.
        """
        try:
            target, stats = await self._run(_Work(job), ticket)
        except RevisionChangedError as error:
            await self._catalogue.refresh()
            if job.parameters.required_revision:
                raise
            raise UnavailableError from error
        return Upscaled(target, job.plan, job.model, stats)

    async def _run(self, work: _Work, ticket: Ticket) -> tuple[Raster, TileStats]:
        canvas = _Canvas(work.job)
        tiles = work.job.plan.tiles()
        count = min(self._settings.max_inflight_tiles, work.job.plan.tile_count)
        workers = [asyncio.create_task(self._work(work, tiles, canvas, ticket)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return canvas.finish()

    async def _work(self, work: _Work, tiles: Iterator[tuple[Span, Span]], canvas: _Canvas, ticket: Ticket) -> None:
        async with self._slots.place(ticket, cost_s=work.job.work_s / work.job.plan.tile_count) as turn:
            for number, (rows, columns) in enumerate(tiles):
                if number:
                    await turn.give_way()
                canvas.place(rows, columns, await self._backend.upscale(work.tile(rows, columns)))


class _Work:
    """One job on its way through the backend."""

    def __init__(self, job: RasterJob) -> None:
        self.job = job
        self._axes = [Axis(length, job.plan.scale, job.model.manifest.geometry) for length in job.plan.source]

    def tile(self, rows: Span, columns: Span) -> TileRequest:
        """The request for the tile where two spans cross."""
        job = self.job
        area = np.s_[rows.source_start : rows.source_stop, columns.source_start : columns.source_stop]
        mask = None if job.source.mask is None else job.source.mask[area]
        geometry = TileGeometry.of(self._axes[0], self._axes[1], rows, columns)
        raster = Raster(job.source.pixels[area], None if mask is None or mask.all() else mask)
        return TileRequest(job.model.name, job.model.revision, raster, geometry, job.ranges, job.plan.options)


class _Canvas:
    """The target as its tiles come in."""

    def __init__(self, job: RasterJob) -> None:
        self._pixels = np.empty((*job.plan.target, 3), dtype=job.source.pixels.dtype)
        self._mask = np.ones(job.plan.target, dtype=bool)
        self._stats = np.zeros(len(astuple(TileStats())), dtype=np.int64)

    def place(self, rows: Span, columns: Span, tile: TileResponse) -> None:
        """Put one tile where it belongs."""
        area = np.s_[rows.target_start : rows.target_stop, columns.target_start : columns.target_stop]
        self._pixels[area] = tile.raster.pixels
        if tile.raster.mask is not None:
            self._mask[area] = tile.raster.mask
        self._stats += astuple(tile.stats)

    def finish(self) -> tuple[Raster, TileStats]:
        """The whole target and the sum of its tiles' statistics."""
        mask = None if self._mask.all() else self._mask
        return Raster(self._pixels, mask), TileStats(*(int(value) for value in self._stats))
