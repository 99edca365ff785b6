"""Tiles on the CPU: cut into windows, run, blended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from hndsr_ensemble.blending import Canvas
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.tile_job import Place, TileJob
from hndsr_ensemble.tiles import CancelledTileError, NotFiniteError, Tile, TileStats, UpscaledTile
from hndsr_ensemble.values import quantise
from hndsr_ensemble.windows import WindowBatch, WindowFunction


@dataclass(slots=True)
class _Pending:
    key: bytes
    batch: WindowBatch
    places: list[Place] = field(default_factory=list)


class Tiler:
    """Runs tiles through one window model.

    Args:
        manifest: of the window model.
        revision: of the window model as it runs here; part of every cache key.
        run: the model, for batches of up to `batch` windows.
        batch: windows that are run at once.
        cache: of windows already run, which may be shared between tilers.
    """

    def __init__(
        self, manifest: Manifest, *, revision: str, run: WindowFunction, batch: int, cache: WindowCache
    ) -> None:
        self._manifest, self._revision, self._run, self._batch, self._cache = manifest, revision, run, batch, cache

    def run(self, tile: Tile, *, cancelled: Callable[[], bool]) -> UpscaledTile:
        """Upscale one tile, as `TileRunner.run`."""
        job = TileJob(tile, self._manifest)
        canvas = _canvas(job)
        hits, empty, pending = 0, 0, dict[bytes, _Pending]()
        for place in job.places():
            samples = job.samples(place)
            if samples is None:
                empty += 1
                continue
            key = job.key(place, samples, self._revision)
            window = self._cache.get(key, for_good=job.is_needed_no_more(place))
            hits += window is not None or key in pending
            if window is not None:
                _paint(job, canvas, place, window)
                continue
            if key not in pending:
                pending[key] = _Pending(key, job.batch(place, samples))
            pending[key].places.append(place)
            if len(pending) == self._batch:
                self._flush(job, canvas, pending, cancelled)
        self._flush(job, canvas, pending, cancelled)
        return _finish(job, canvas, hits=hits, empty=empty)

    def _flush(
        self, job: TileJob, canvas: Canvas, pending: dict[bytes, _Pending], cancelled: Callable[[], bool]
    ) -> None:
        if not pending:
            return
        if cancelled():
            raise CancelledTileError
        waiting = list(pending.values())
        pending.clear()
        results = self._run(_stack([item.batch for item in waiting]))
        if not np.isfinite(results).all():
            raise NotFiniteError
        for item, result in zip(waiting, results, strict=True):
            window = quantise(result, job.tile.ranges, job.tile.pixels.dtype)
            self._cache.put(item.key, window, lasting=any(job.is_needed_below(place) for place in item.places))
            for place in item.places:
                _paint(job, canvas, place, window)


def _canvas(job: TileJob) -> Canvas:
    height, width = job.target_shape
    return Canvas(top=job.row_span.target_start, left=job.column_span.target_start, height=height, width=width)


def _paint(job: TileJob, canvas: Canvas, place: Place, window: np.ndarray) -> None:
    """Blend one window into the tile."""
    (top, left), (rows, columns) = job.corner(place), job.weights(place)
    canvas.add(window, top=top, left=left, row_weights=rows, column_weights=columns)


def _finish(job: TileJob, canvas: Canvas, *, hits: int, empty: int) -> UpscaledTile:
    """Interpolate what is out of range, blank what is invalid, and count."""
    pixels, outside = canvas.finish(job.tile.pixels.dtype), 0
    for band, rows, columns, values in job.outside():
        pixels[rows, columns, band] = values
        outside += len(values)
    mask = job.target_mask()
    if mask is not None:
        pixels[~mask] = 0
    return UpscaledTile(pixels, mask, TileStats(job.windows, hits, empty, outside))


def _stack(batches: list[WindowBatch]) -> WindowBatch:
    """Windows of one image side by side."""
    lr = np.concatenate([batch.lr for batch in batches])
    return replace(batches[0], lr=lr, positions=np.concatenate([batch.positions for batch in batches]))
