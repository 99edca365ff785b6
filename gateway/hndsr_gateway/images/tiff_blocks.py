"""The strips and tiles of TIFF files: whether all of them are there.

Source: TIFF 6.0, sections 3 and 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64

from hndsr_gateway.images.ifd import Directory, Structure, StructureError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, BANDS, PLANAR = 256, 257, 258, 259, 262, 277, 284
STRIP_OFFSETS, STRIP_ROWS, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
UNCOMPRESSED, YCBCR, SEPARATE = 1, 6, 2
TILE_STEP_PX = 16
LARGEST_TILE_PX = 4096**2
"""A tile may be larger than its picture, but no file needs one of more pixels than both."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How a picture is cut into blocks."""

    height: int
    width: int
    rows: int
    columns: int
    planes: int
    tiled: bool

    @property
    def blocks(self) -> int:
        """Blocks of one plane."""
        return -(-self.height // self.rows) * -(-self.width // self.columns)


def check_blocks(structure: Structure, directory: Directory) -> None:
    """Whether every block lies within the file; those of no bytes at 0 are missing on purpose.

    Raises:
        StructureError: if not.
    """
    grid = _grid(structure, directory)
    tags = (TILE_OFFSETS, TILE_BYTES) if grid.tiled else (STRIP_OFFSETS, STRIP_BYTES)
    offsets, sizes = (np.array(structure.integers(directory.entries.get(tag)), dtype=np.uint64) for tag in tags)
    if len(offsets) != len(sizes) or len(sizes) < grid.blocks * grid.planes:
        raise StructureError("it has less pixels than it says")
    if np.any((sizes == 0) != (offsets == 0)):
        raise StructureError("it has pixels of no bytes")
    structure.check(0, max(int(np.max(sizes)), int(np.max(offsets))))
    structure.check(0, int(np.max(offsets + sizes)))
    if structure.number(directory, COMPRESSION, default=UNCOMPRESSED) == UNCOMPRESSED:
        _check_uncompressed(structure, directory, grid, sizes)


def _grid(structure: Structure, directory: Directory) -> Grid:
    def number(tag: int, default: int | None = None) -> int:
        return structure.number(directory, tag, default=default)

    height, width, tiled = number(HEIGHT), number(WIDTH), TILE_WIDTH in directory.entries
    if not height or not width:
        raise StructureError("it has no pixel")
    rows, columns = (number(TILE_HEIGHT), number(TILE_WIDTH)) if tiled else (number(STRIP_ROWS, height), width)
    if not rows or not columns or (tiled and (rows % TILE_STEP_PX or columns % TILE_STEP_PX)):
        raise StructureError("it has blocks of a size that cannot be")
    if tiled and rows * columns > max(LARGEST_TILE_PX, 2 * height * width):
        raise StructureError("it has tiles far larger than itself")
    planes = number(BANDS, 1) if number(PLANAR, 1) == SEPARATE else 1
    return Grid(height, width, rows if tiled else min(rows, height), columns, planes, tiled)


def _check_uncompressed(
    structure: Structure, directory: Directory, grid: Grid, sizes: UInt64[np.ndarray, "blocks"]
) -> None:
    """Whether blocks have the bytes that their pixels take; libtiff would read on behind them."""
    if structure.number(directory, PHOTOMETRIC, default=0) == YCBCR:  # subsampled in ways of its own
        return
    bits = structure.number(directory, BITS, default=1)
    samples = 1 if grid.planes > 1 else structure.number(directory, BANDS, default=1)
    row_bytes = -(-grid.columns * bits * samples // 8)
    rows = np.full(grid.blocks, grid.rows, dtype=np.uint64)
    if not grid.tiled:
        rows[-1] = grid.height - grid.rows * (grid.blocks - 1)
    needed = np.tile(rows, grid.planes) * np.uint64(row_bytes)
    present = sizes[: grid.blocks * grid.planes]
    if np.any((present < needed) & (present > 0)):
        raise StructureError("it has less pixels than it says")
