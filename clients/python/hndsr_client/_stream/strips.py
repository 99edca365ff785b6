"""Tiles as strips: the source is cut into them, the target is put together from them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import BANDS
from hndsr_client._stream.tiles import Tiles
from hndsr_client._stream.windows import WIRE_DTYPES, SourceTile
from hndsr_client.errors import AnswerError
from hndsr_client.results import TargetTile

try:
    from isal.isal_zlib import crc32  # the same checksum, several times as fast; installed with the gateway
except ImportError:
    from zlib import crc32

MAX_STRIP_BYTES = 2 * 2**20
"""Of pixels; a row that takes more is a strip of its own."""


def checksum(strip: pb.SourceStrip | pb.TargetStrip) -> int:
    """What a strip's checksum must be."""
    head = struct.pack("<4I", strip.row, strip.column, strip.y_px, strip.last)
    return crc32(strip.mask, crc32(strip.pixels, crc32(head)))


def cut(tile: SourceTile, place: tuple[int, int]) -> Iterator[pb.UpscaleStreamRequest]:
    """The strips of a tile, from top to bottom."""
    height_px, row_bytes = len(tile.pixels), tile.pixels[0].nbytes
    rows = max(1, MAX_STRIP_BYTES // row_bytes)
    mask = None if tile.mask is None or tile.mask.all() else tile.mask
    for y_px in range(0, height_px, rows):
        part = slice(y_px, y_px + rows)
        strip = pb.SourceStrip(
            row=place[0],
            column=place[1],
            y_px=y_px,
            pixels=tile.pixels[part].tobytes(),
            mask=b"" if mask is None else np.packbits(mask[part]).tobytes(),
            last=y_px + rows >= height_px,
        )
        strip.checksum = checksum(strip)
        yield pb.UpscaleStreamRequest(strip=strip)


class Assembly:
    """A target tile of which strips are still to come."""

    def __init__(self, tiles: Tiles, number: int, sample_type: str) -> None:
        self.number = number
        self._place, self._window = tiles.place(number), tiles.target(number)
        self._height_px, self._width_px = (side.stop - side.start for side in self._window)
        self._pixels = np.empty((self._height_px, self._width_px, BANDS), WIRE_DTYPES[sample_type])
        self._mask: npt.NDArray[np.bool_] | None = None
        self._y_px = 0

    def add(self, strip: pb.TargetStrip) -> TargetTile | None:
        """Put the next strip in its place; the whole tile with the last of them.

        Raises:
            AnswerError: It is not the next strip, or not of the size that the plan says.
        """
        row_bytes = self._width_px * BANDS * self._pixels.itemsize
        rows, rest = divmod(len(strip.pixels), row_bytes)
        stop_px = self._y_px + rows
        if strip.y_px != self._y_px or rest or rows == 0 or stop_px > self._height_px:
            raise self._broken(f"{len(strip.pixels)} bytes at row {strip.y_px}")
        if strip.last != (stop_px == self._height_px):
            raise self._broken("another number of rows than the plan says")
        samples = np.frombuffer(strip.pixels, self._pixels.dtype)
        self._pixels[self._y_px : stop_px] = samples.reshape(rows, self._width_px, BANDS)
        if strip.mask:
            self._add_mask(strip.mask, slice(self._y_px, stop_px))
        self._y_px = stop_px
        return self._whole() if strip.last else None

    def _add_mask(self, bits: bytes, part: slice) -> None:
        count = (part.stop - part.start) * self._width_px
        if len(bits) != -(-count // 8):
            raise self._broken(f"a mask of {len(bits)} bytes for {count} pixels")
        if self._mask is None:
            self._mask = np.ones((self._height_px, self._width_px), np.bool_)
        valid = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).view(np.bool_)
        self._mask[part] = valid.reshape(-1, self._width_px)

    def _whole(self) -> TargetTile:
        pixels = self._pixels.astype(self._pixels.dtype.newbyteorder("="), copy=False)
        (row, column), (rows, columns) = self._place, self._window
        return TargetTile(row=row, column=column, rows=rows, columns=columns, pixels=pixels, mask=self._mask)

    def _broken(self, what: str) -> AnswerError:
        row, column = self._place
        return AnswerError(f"the server answered {what} of tile {row}, {column}, which cannot be")
