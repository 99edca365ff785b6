"""What a tile is, before and after, and who can make one of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Shaped

from hndsr_ensemble.geometry import Axis, Span
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.masks import Mask
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.values import Ranges


class TileMismatchError(ValueError):
    """A tile whose pixels are not the source rectangle that its geometry asks for."""


class CancelledTileError(Exception):
    """The caller went away; nothing more was run."""


class NotFiniteError(ArithmeticError):
    """The model answered with something that is no number; nothing of it was kept."""


class OutOfDeviceMemoryError(MemoryError):
    """The device has too little memory for the windows of one pass; fewer at once may fit."""


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

    pixels: Any
    """Samples of shape (height, width, 3): an array, or a tensor on the GPU that made them."""
    mask: Mask | None
    stats: TileStats


@runtime_checkable
class TileRunner(Protocol):
    """Upscales tiles of one window model."""

    def run(self, tile: Tile, *, cancelled: Callable[[], bool]) -> UpscaledTile:
        """Upscale one tile.

        Args:
            tile: with ranges that were checked.
            cancelled: asked before each batch of windows.

        Raises:
            TileMismatchError: if geometry and pixels do not fit together.
            CancelledTileError: if `cancelled` said so.
            NotFiniteError: if the model yields no numbers.
            OutOfDeviceMemoryError: if a GPU cannot hold a pass.
        """
