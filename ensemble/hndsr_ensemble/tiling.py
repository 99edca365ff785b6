"""One tile from its own request alone: cut into windows, run, blended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int64, Shaped

from hndsr_ensemble.bicubic import interpolate_points
from hndsr_ensemble.blending import Canvas, window_weights
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.geometry import Axis, Span
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.masks import Mask, fill_invalid
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.values import Ranges, normalise, out_of_range, quantise
from hndsr_ensemble.windows import WindowBatch, WindowFunction

POINTS_AT_ONCE = 65_536


class TileMismatchError(ValueError):
    """A tile whose pixels are not the source rectangle that its geometry asks for."""


class CancelledTileError(Exception):
    """The caller went away; nothing more was run."""


class NotFiniteError(ArithmeticError):
    """The model answered with something that is no number; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """Where a tile lies: the image's source size, the scale, the source rectangle that was sent, and its cores."""

    height: int
    width: int
    scale: Scale
    source: tuple[int, int, int, int]
    cores: tuple[int, int, int, int]

    def pack(self) -> Int64[np.ndarray, "12"]:
        """As the tensor GEOMETRY: height, width, numerator, denominator, then both rectangles.

        A rectangle is first row, row behind the last, first column, column behind the last.
        """
        scale = (self.scale.numerator, self.scale.denominator)
        return np.array([self.height, self.width, *scale, *self.source, *self.cores], dtype=np.int64)

    @classmethod
    def unpack(cls, tensor: Int64[np.ndarray, "12"]) -> TileGeometry:
        """The inverse of `pack`."""
        height, width, numerator, denominator, *rest = (int(value) for value in tensor)
        reduced = Scale.parse(f"{numerator}/{denominator}")
        return cls(height, width, reduced, (rest[0], rest[1], rest[2], rest[3]), (rest[4], rest[5], rest[6], rest[7]))

    @classmethod
    def of(cls, rows: Axis, columns: Axis, row_span: Span, column_span: Span) -> TileGeometry:
        """The tile where two spans of a plan cross."""
        return cls(
            rows.length,
            columns.length,
            rows.scale,
            (row_span.source_start, row_span.source_stop, column_span.source_start, column_span.source_stop),
            (row_span.core_start, row_span.core_stop, column_span.core_start, column_span.core_stop),
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile's source: `pixels` are the samples of its source rectangle, `mask` None where all are valid."""

    pixels: Shaped[np.ndarray, "h w 3"]
    geometry: TileGeometry
    ranges: Ranges
    options: Options
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class TileStats:
    """What a tile took. `out_of_range` counts target samples of its own cores, so tiles add up to the image."""

    windows: int = 0
    cache_hits: int = 0
    empty_windows: int = 0
    out_of_range: int = 0


@dataclass(frozen=True, slots=True)
class UpscaledTile:
    """A tile's target; `mask` None where all pixels are valid."""

    pixels: Shaped[np.ndarray, "h w 3"]
    mask: Mask | None
    stats: TileStats


@dataclass(slots=True)
class _Pending:
    key: bytes
    batch: WindowBatch
    places: list[tuple[int, int]] = field(default_factory=list)


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
        """Upscale one tile.

        Args:
            tile: with ranges that were checked.
            cancelled: asked before each batch of windows.

        Raises:
            TileMismatchError: if geometry and pixels do not fit together.
            CancelledTileError: if `cancelled` said so.
            NotFiniteError: if the model yields no numbers.
        """
        job = _TileJob(tile, self._manifest)
        canvas = job.canvas()
        hits, pending = 0, dict[bytes, _Pending]()
        for place, batch in job.windows():
            key = self._key(batch, tile)
            window = self._cache.get(key, for_good=job.is_needed_no_more(place))
            hits += window is not None or key in pending
            if window is not None:
                job.paint(canvas, place, window)
                continue
            pending.setdefault(key, _Pending(key, batch)).places.append(place)
            if len(pending) == self._batch:
                self._flush(job, canvas, pending, cancelled)
        self._flush(job, canvas, pending, cancelled)
        return job.finish(canvas, hits)

    def _flush(
        self, job: _TileJob, canvas: Canvas, pending: dict[bytes, _Pending], cancelled: Callable[[], bool]
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
            self._cache.put(item.key, window, lasting=any(job.is_needed_below(row) for row, _ in item.places))
            for place in item.places:
                job.paint(canvas, place, window)

    def _key(self, batch: WindowBatch, tile: Tile) -> bytes:
        """Hash of all that decides a window's samples."""
        facts = (self._revision, str(batch.scale.fraction), tile.pixels.dtype.str, batch.origins.tobytes())
        drawn: tuple[object, ...] = ()
        if self._manifest.generative and batch.options.draws:
            phase = batch.positions % self._manifest.noise_period_px
            drawn = (batch.options.steps, batch.options.texture, batch.options.seed, phase.tobytes())
        digest = hashlib.blake2b(repr((facts, drawn)).encode(), digest_size=24)
        digest.update(tile.ranges.tobytes())
        digest.update(batch.lr.tobytes())
        return digest.digest()


class _TileJob:
    """The geometry of one tile: its windows, weights, masks and out-of-range samples."""

    def __init__(self, tile: Tile, manifest: Manifest) -> None:
        geometry = tile.geometry
        self.tile, self._manifest = tile, manifest
        self._rows = Axis(geometry.height, geometry.scale, manifest.geometry)
        self._columns = Axis(geometry.width, geometry.scale, manifest.geometry)
        self._row_span, self._column_span = self._spans(geometry)
        expected = TileGeometry.of(self._rows, self._columns, self._row_span, self._column_span)
        self._top, bottom, self._left, right = expected.source
        shape = (bottom - self._top, right - self._left)
        if geometry.source != expected.source or tile.pixels.shape[:2] != shape:
            raise TileMismatchError(f"cores {geometry.cores} take source {expected.source}, not {geometry.source}")
        if tile.mask is not None and tile.mask.shape != shape:
            raise TileMismatchError(f"the mask has {tile.mask.shape} pixels, the tile {shape}")
        self._empty = self._count = 0

    def _spans(self, geometry: TileGeometry) -> tuple[Span, Span]:
        if not self._manifest.supports(geometry.scale):
            raise TileMismatchError(f"scale {geometry.scale} is not supported by {self._manifest.name}")
        if min(geometry.height, geometry.width) < 1:
            raise TileMismatchError(f"an image of {geometry.height} × {geometry.width} pixels has no tiles")
        try:
            return self._rows.span(*geometry.cores[:2]), self._columns.span(*geometry.cores[2:])
        except ValueError as error:
            raise TileMismatchError(str(error)) from error

    def canvas(self) -> Canvas:
        rows, columns = self._row_span, self._column_span
        return Canvas(
            top=rows.target_start,
            left=columns.target_start,
            height=rows.target_stop - rows.target_start,
            width=columns.target_stop - columns.target_start,
        )

    def windows(self) -> Iterator[tuple[tuple[int, int], WindowBatch]]:
        """Every window with a valid pixel that touches the tile, in row-major order, alone in its batch."""
        for row in range(max(0, self._row_span.core_start - 1), self._row_span.core_stop):
            for column in range(max(0, self._column_span.core_start - 1), self._column_span.core_stop):
                self._count += 1
                batch = self._window(row, column)
                if batch is None:
                    self._empty += 1
                else:
                    yield (row, column), batch

    def _window(self, row: int, column: int) -> WindowBatch | None:
        rows = self._rows.source_indices(row) - self._top
        columns = self._columns.source_indices(column) - self._left
        grid = np.ix_(rows, columns)
        samples = self.tile.pixels[grid]
        if self.tile.mask is not None:
            valid = self.tile.mask[grid]
            if not valid.any():
                return None
            samples = fill_invalid(samples, valid)
        corner = (self._rows.window_start(row), self._columns.window_start(column))
        lr, position = normalise(samples, self.tile.ranges)[None], np.array([corner], dtype=np.int64)
        return WindowBatch(lr, position, self.tile.geometry.scale, self.tile.options)

    def is_needed_no_more(self, place: tuple[int, int]) -> bool:
        """Whether a window was made for the tiles above, and the tile to the right does not share it."""
        row, column = place
        return row < self._row_span.core_start and column < self._column_span.core_stop - 1

    def is_needed_below(self, row: int) -> bool:
        """Whether the tiles below this one share a row of windows with it."""
        return self._row_span.core_stop - 1 == row < self._rows.windows - 1

    def paint(self, canvas: Canvas, place: tuple[int, int], window: Shaped[np.ndarray, "p p 3"]) -> None:
        """Blend one window into the tile."""
        row, column = place
        canvas.add(
            window,
            top=self._rows.window_start(row),
            left=self._columns.window_start(column),
            row_weights=window_weights(self._rows, row),
            column_weights=window_weights(self._columns, column),
        )

    def finish(self, canvas: Canvas, hits: int) -> UpscaledTile:
        """Interpolate what is out of range, blank what is invalid, and count."""
        pixels = canvas.finish(self.tile.pixels.dtype)
        rows = np.arange(self._row_span.target_start, self._row_span.target_stop)
        columns = np.arange(self._column_span.target_start, self._column_span.target_stop)
        nearest = np.ix_(
            self._rows.nearest_source(rows) - self._top, self._columns.nearest_source(columns) - self._left
        )
        mask = None if self.tile.mask is None else self.tile.mask[nearest]
        outside = self._interpolate_outside(pixels, rows, columns, nearest)
        if mask is not None:
            pixels[~mask] = 0
            mask = None if mask.all() else mask
        return UpscaledTile(pixels, mask, TileStats(self._count, hits, self._empty, outside))

    def _interpolate_outside(
        self,
        pixels: Shaped[np.ndarray, "h w 3"],
        rows: Int64[np.ndarray, "h"],
        columns: Int64[np.ndarray, "w"],
        nearest: tuple[np.ndarray, ...],
    ) -> int:
        """Give target samples whose nearest source sample is out of range the bicubic value; returns how many."""
        source, geometry = self.tile.pixels, self.tile.geometry
        valid = np.ones(source.shape[:2], dtype=bool) if self.tile.mask is None else self.tile.mask
        outside = out_of_range(source, self.tile.ranges) & valid[..., None]
        if not outside.any():
            return 0
        affected = outside[nearest]
        limit = np.iinfo(pixels.dtype).max
        for band in range(3):
            points = np.argwhere(affected[..., band])
            for chunk in np.array_split(points, -(-len(points) // POINTS_AT_ONCE) or 1):
                values = interpolate_points(
                    source[..., band],
                    valid,
                    rows=rows[chunk[:, 0]],
                    columns=columns[chunk[:, 1]],
                    top=self._top,
                    left=self._left,
                    image=(geometry.height, geometry.width),
                    scale=geometry.scale,
                )
                pixels[chunk[:, 0], chunk[:, 1], band] = np.floor(np.clip(values, 0, limit) + 0.5)
        return int(affected.sum())


def _stack(batches: list[WindowBatch]) -> WindowBatch:
    """Windows of one image side by side."""
    lr = np.concatenate([batch.lr for batch in batches])
    return replace(batches[0], lr=lr, positions=np.concatenate([batch.positions for batch in batches]))
