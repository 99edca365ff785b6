"""What no engine decides about a tile: its windows, their samples and weights, its mask, and what is out of range."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Shaped, UInt16

from hndsr_ensemble.bicubic import interpolate_points
from hndsr_ensemble.blending import window_weights
from hndsr_ensemble.geometry import Axis, Span
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.masks import Mask, fill_invalid
from hndsr_ensemble.tiles import Tile, TileGeometry, TileMismatchError
from hndsr_ensemble.values import full_ranges, normalise, out_of_range
from hndsr_ensemble.windows import WindowBatch

POINTS_AT_ONCE = 65_536

Place = tuple[int, int]
"""A window of an image: its row and column of windows."""
Samples = Shaped[np.ndarray, "s s 3"]
"""A window's source, mirrored and filled, in the tile's sample type."""
OutsidePoints = tuple[int, Int[np.ndarray, "n"], Int[np.ndarray, "n"], Shaped[np.ndarray, "n"]]
"""Band, rows and columns within the tile's target, and samples."""


class TileJob:
    """One tile on its way.

    Args:
        tile: with ranges that were checked.
        manifest: of the window model.

    Raises:
        TileMismatchError: if geometry and pixels do not fit together.
    """

    def __init__(self, tile: Tile, manifest: Manifest) -> None:
        geometry = tile.geometry
        self.tile, self._manifest = tile, manifest
        self.rows = Axis(geometry.height, geometry.scale, manifest.geometry)
        self.columns = Axis(geometry.width, geometry.scale, manifest.geometry)
        self.row_span, self.column_span = self._spans(geometry)
        expected = TileGeometry.of(self.rows, self.columns, self.row_span, self.column_span)
        self._top, bottom, self._left, right = expected.source
        shape = (bottom - self._top, right - self._left)
        if geometry.source != expected.source or tile.pixels.shape[:2] != shape:
            raise TileMismatchError(f"cores {geometry.cores} take source {expected.source}, not {geometry.source}")
        if tile.mask is not None and tile.mask.shape != shape:
            raise TileMismatchError(f"the mask has {tile.mask.shape} pixels, the tile {shape}")
        self._row_picks = {row: _pick(self.rows.source_indices(row) - self._top) for row in self.window_rows}
        self._column_picks = {
            column: _pick(self.columns.source_indices(column) - self._left) for column in self.window_columns
        }
        self._row_weights = {row: window_weights(self.rows, row) for row in self.window_rows}
        self._column_weights = {column: window_weights(self.columns, column) for column in self.window_columns}

    def _spans(self, geometry: TileGeometry) -> tuple[Span, Span]:
        if not self._manifest.supports(geometry.scale):
            raise TileMismatchError(f"scale {geometry.scale} is not supported by {self._manifest.name}")
        if min(geometry.height, geometry.width) < 1:
            raise TileMismatchError(f"an image of {geometry.height} × {geometry.width} pixels has no tiles")
        try:
            return self.rows.span(*geometry.cores[:2]), self.columns.span(*geometry.cores[2:])
        except ValueError as error:
            raise TileMismatchError(str(error)) from error

    @property
    def window_rows(self) -> range:
        """Rows of windows that touch the tile, the seam row above it included."""
        return range(max(0, self.row_span.core_start - 1), self.row_span.core_stop)

    @property
    def window_columns(self) -> range:
        """Columns of windows that touch the tile, the seam column before it included."""
        return range(max(0, self.column_span.core_start - 1), self.column_span.core_stop)

    @property
    def windows(self) -> int:
        """How many windows touch the tile, those without a valid pixel included."""
        return len(self.window_rows) * len(self.window_columns)

    @property
    def target_shape(self) -> tuple[int, int]:
        """Height and width of the tile's target."""
        rows, columns = self.row_span, self.column_span
        return rows.target_stop - rows.target_start, columns.target_stop - columns.target_start

    def places(self) -> Iterator[Place]:
        """All windows that touch the tile, in row-major order."""
        return ((row, column) for row in self.window_rows for column in self.window_columns)

    def corner(self, place: Place) -> Place:
        """First target row and column of a window, in the image."""
        return self.rows.window_start(place[0]), self.columns.window_start(place[1])

    def weights(self, place: Place) -> tuple[UInt16[np.ndarray, "p"], UInt16[np.ndarray, "p"]]:
        """Blending weights of a window along rows and columns."""
        return self._row_weights[place[0]], self._column_weights[place[1]]

    def samples(self, place: Place) -> Samples | None:
        """A window's source; None where it has no valid pixel and is not to be run."""
        rows, columns = self._row_picks[place[0]], self._column_picks[place[1]]
        samples = self.tile.pixels[rows][:, columns]
        if self.tile.mask is None:
            return np.ascontiguousarray(samples)
        valid = self.tile.mask[rows][:, columns]
        return fill_invalid(samples, valid) if valid.any() else None

    def batch(self, place: Place, samples: Samples) -> WindowBatch:
        """A window alone in its batch."""
        position = np.array([self.corner(place)], dtype=np.int64)
        lr = normalise(samples, self.tile.ranges)[None]
        return WindowBatch(lr, position, self.tile.geometry.scale, self.tile.options)

    def key(self, place: Place, samples: Samples, revision: str) -> bytes:
        """Hash of all that decides a window's target samples."""
        tile, scale = self.tile, self.tile.geometry.scale
        corner = self.corner(place)
        origin = tuple(start * scale.denominator % scale.numerator for start in corner)
        drawn: tuple[object, ...] = ()
        if self._manifest.generative and tile.options.draws:
            phase = tuple(start % self._manifest.noise_period_px for start in corner)
            drawn = (tile.options.steps, tile.options.texture, tile.options.seed, phase)
        facts = (revision, str(scale.fraction), samples.dtype.str, origin, drawn)
        digest = hashlib.blake2b(repr(facts).encode(), digest_size=24)
        digest.update(tile.ranges.tobytes())
        digest.update(samples.reshape(-1).data)
        return digest.digest()

    def is_needed_no_more(self, place: Place) -> bool:
        """Whether a window was made for the tiles above, and the tile to the right does not share it."""
        row, column = place
        return row < self.row_span.core_start and column < self.column_span.core_stop - 1

    def is_needed_below(self, place: Place) -> bool:
        """Whether the tiles below this one share a row of windows with it."""
        return self.row_span.core_stop - 1 == place[0] < self.rows.windows - 1

    def is_needed_beside(self, place: Place) -> bool:
        """Whether the tile to the right of this one shares a column of windows with it."""
        return self.column_span.core_stop - 1 == place[1] < self.columns.windows - 1

    def target_mask(self) -> Mask | None:
        """Which target pixels are valid: those whose nearest source pixel is; None where all are."""
        if self.tile.mask is None:
            return None
        mask = self.tile.mask[self._nearest()]
        return None if mask.all() else mask

    def outside(self) -> Iterator[OutsidePoints]:
        """Bicubic values of the target samples whose nearest source sample is valid, but out of its range."""
        source = self.tile.pixels
        if np.array_equal(self.tile.ranges, full_ranges(source.dtype)):
            return
        valid = np.ones(source.shape[:2], dtype=bool) if self.tile.mask is None else self.tile.mask
        outside = out_of_range(source, self.tile.ranges) & valid[..., None]
        if not outside.any():
            return
        affected = outside[self._nearest()]
        for band in range(3):
            points = np.argwhere(affected[..., band])
            for chunk in np.array_split(points, -(-len(points) // POINTS_AT_ONCE) or 1):
                if len(chunk):
                    rows, columns = chunk[:, 0], chunk[:, 1]
                    yield band, rows, columns, self._interpolated(source[..., band], valid, rows, columns)

    def _interpolated(
        self,
        band: Shaped[np.ndarray, "h w"],
        valid: Mask,
        rows: Int[np.ndarray, "n"],
        columns: Int[np.ndarray, "n"],
    ) -> Shaped[np.ndarray, "n"]:
        geometry = self.tile.geometry
        values = interpolate_points(
            band,
            valid,
            rows=rows + self.row_span.target_start,
            columns=columns + self.column_span.target_start,
            top=self._top,
            left=self._left,
            image=(geometry.height, geometry.width),
            scale=geometry.scale,
        )
        return np.floor(np.clip(values, 0, np.iinfo(band.dtype).max) + 0.5).astype(band.dtype)

    def _nearest(self) -> tuple[np.ndarray, ...]:
        rows = np.arange(self.row_span.target_start, self.row_span.target_stop)
        columns = np.arange(self.column_span.target_start, self.column_span.target_stop)
        return np.ix_(self.rows.nearest_source(rows) - self._top, self.columns.nearest_source(columns) - self._left)


def _pick(indices: Int[np.ndarray, "s"]) -> slice | Int[np.ndarray, "s"]:
    """A slice where nothing is mirrored: it copies no pixel."""
    rising = np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices)))
    return slice(int(indices[0]), int(indices[0]) + len(indices)) if rising else indices
