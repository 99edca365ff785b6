"""What the gateway does, without any transport: plan, and upscale a whole raster tile by tile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np

from hndsr_ensemble.geometry import Axis, Span
from hndsr_ensemble.tiling import TileGeometry, TileStats
from hndsr_ensemble.values import Ranges
from hndsr_gateway.backend import TileBackend
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import OverloadedError, RevisionChangedError, UnavailableError
from hndsr_gateway.planning import check_answer_size, check_unary_size, checked_ranges, make_plan
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, Parameters, Plan, Raster, TileRequest, TileResponse, Upscaled


class UpscaleService:
    """Upscales rasters through a backend that runs single tiles.

    Args:
        backend: runs the tiles.
        catalogue: knows the models.
        settings: limits, and how many tiles may be in the backend at once.
    """

    def __init__(self, backend: TileBackend, catalogue: Catalogue, settings: Settings) -> None:
        self._backend, self._settings = backend, settings
        self.catalogue = catalogue
        self._slots = asyncio.Semaphore(settings.max_inflight_tiles)
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @contextlib.contextmanager
    def admission(self) -> Iterator[None]:
        """Hold one of the places for requests that are worked on at once.

        Raises:
            OverloadedError: if all are taken.
            UnavailableError: if the server is about to stop.
        """
        if self._draining:
            raise UnavailableError
        if self._active >= self._settings.max_concurrent_requests:
            raise OverloadedError(limit=self._settings.max_concurrent_requests)
        self._active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def drain(self, grace_s: float) -> None:
        """Admit nothing more, and wait up to `grace_s` for what is being worked on."""
        self._draining = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)

    def plan(
        self, size: tuple[int, int], parameters: Parameters, *, sample_type: str = "", cores: int = 0
    ) -> tuple[Plan, float]:
        """Plan an image of `size` (height, width); also the device time that it would take, in seconds.

        Safe to call from another thread: large plans take a while.

        Raises:
            GatewayError: as `make_plan`.
        """
        model = self.catalogue.find(parameters.model)
        plan = make_plan(size, parameters, model, self._settings, sample_type=sample_type, cores=cores)
        return plan, plan.windows * model.window_time_s(plan.options)

    async def upscale(self, source: Raster, parameters: Parameters) -> Upscaled:
        """Upscale a raster that fits in memory; tiles of concurrent calls take turns.

        Raises:
            GatewayError: if the request cannot be served; nothing of it goes on then.
        """
        size = (source.height, source.width)
        check_unary_size(size, which="source", limit_px=self._settings.max_source_px)
        model = self.catalogue.find(parameters.model)
        plan = make_plan(size, parameters, model, self._settings, sample_type=source.pixels.dtype.name)
        check_unary_size(plan.target, which="target", limit_px=self._settings.max_target_px)
        ranges = checked_ranges(parameters.value_ranges, source.pixels.dtype)
        check_answer_size(plan.target, source.pixels.dtype, limit_bytes=self._settings.max_message_bytes)
        try:
            target, stats = await self._run(_Job(source, plan, model, ranges))
        except RevisionChangedError as error:
            await self.catalogue.refresh()
            if parameters.required_revision:
                raise
            raise UnavailableError from error
        return Upscaled(target, plan, model, stats)

    async def _run(self, job: _Job) -> tuple[Raster, TileStats]:
        canvas = _Canvas(job)
        tiles = job.plan.tiles()
        count = min(self._settings.max_inflight_tiles, job.plan.tile_count)
        workers = [asyncio.create_task(self._work(job, tiles, canvas)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return canvas.finish()

    async def _work(self, job: _Job, tiles: Iterator[tuple[Span, Span]], canvas: _Canvas) -> None:
        for rows, columns in tiles:
            async with self._slots:
                response = await self._backend.upscale(job.tile(rows, columns))
            canvas.place(rows, columns, response)


class _Job:
    """One image on its way through the backend."""

    def __init__(self, source: Raster, plan: Plan, model: ModelDescription, ranges: Ranges) -> None:
        self.source, self.plan, self._model, self._ranges = source, plan, model, ranges
        self._axes = [Axis(length, plan.scale, model.manifest.geometry) for length in plan.source]

    def tile(self, rows: Span, columns: Span) -> TileRequest:
        """The request for the tile where two spans cross."""
        area = np.s_[rows.source_start : rows.source_stop, columns.source_start : columns.source_stop]
        mask = None if self.source.mask is None else self.source.mask[area]
        geometry = TileGeometry.of(self._axes[0], self._axes[1], rows, columns)
        raster = Raster(self.source.pixels[area], None if mask is None or mask.all() else mask)
        return TileRequest(self._model.name, self._model.revision, raster, geometry, self._ranges, self.plan.options)


class _Canvas:
    """The target as its tiles come in."""

    def __init__(self, job: _Job) -> None:
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
