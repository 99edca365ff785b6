"""Tiles as strips: what comes in is checked and put together, what goes out is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import BANDS
from hndsr_client._stream.strips import MAX_STRIP_BYTES, checksum
from hndsr_client.testing._failures import Refusal
from hndsr_client.testing._nearest import nearest


class SourceTile:
    """A tile of a plan, as its source comes in."""

    def __init__(self, plan: pb.Plan, dtype: np.dtype[Any], *, row: int, column: int) -> None:
        """Begin it.

        Raises:
            Refusal: The plan has no such tile.
        """
        if row >= len(plan.row_spans) or column >= len(plan.column_spans):
            message = f"the plan has no tile {row}, {column}"
            raise Refusal(message, reason="TILE_MISMATCH", field="strip")
        self.place = row, column
        self._plan, self._dtype = plan, dtype
        self._rows, self._columns = plan.row_spans[row], plan.column_spans[column]
        self._height_px = self._rows.source_stop_px - self._rows.source_start_px
        self._width_px = self._columns.source_stop_px - self._columns.source_start_px
        self._pixels, self._valid = bytearray(), [np.empty(0, np.bool_)]
        self._y_px = 0

    def add(self, strip: pb.SourceStrip) -> None:
        """The next of its strips.

        Raises:
            Refusal: It is another, or of another size than it should be.
        """
        if (strip.row, strip.column) != self.place or strip.y_px != self._y_px:
            message = f"row {strip.y_px} of tile {(strip.row, strip.column)} is not row {self._y_px} of {self.place}"
            raise Refusal(message, reason="STREAM_PROTOCOL", field="message" if self._y_px else "strip.y_px")
        rows = self._checked_rows(strip)
        pixels = rows * self._width_px
        valid = np.unpackbits(np.frombuffer(strip.mask, np.uint8), count=pixels) if strip.mask else np.ones(pixels)
        self._valid.append(valid.astype(np.bool_))
        self._pixels += strip.pixels
        self._y_px += rows

    def enlarged(self) -> Iterator[pb.TargetStrip]:
        """Its target by the nearest neighbour, 0 where it is invalid."""
        shape = self._height_px, self._width_px
        scale = Fraction(self._plan.scale_numerator, self._plan.scale_denominator)
        rows = _shown(self._rows, self._plan.source_height_px, scale)
        columns = _shown(self._columns, self._plan.source_width_px, scale)
        pixels = np.frombuffer(self._pixels, self._dtype).reshape(*shape, BANDS)[rows][:, columns]
        valid = np.concatenate(self._valid).reshape(shape)
        if valid.all():
            return _cut(pixels, None, self.place)
        mask = valid[rows][:, columns]
        return _cut(pixels * mask[..., None], mask, self.place)

    def _checked_rows(self, strip: pb.SourceStrip) -> int:
        row_bytes = self._width_px * BANDS * self._dtype.itemsize
        rows, rest = divmod(len(strip.pixels), row_bytes)
        if rest or not rows or (rows > 1 and len(strip.pixels) > MAX_STRIP_BYTES):
            message = f"{len(strip.pixels)} bytes are not whole rows of {row_bytes} bytes, up to 2 MiB or one"
            raise Refusal(message, reason="TILE_MISMATCH", field="strip.pixels")
        if self._y_px + rows > self._height_px or strip.last != (self._y_px + rows == self._height_px):
            message = f"the tile has {self._height_px} rows, {self._y_px + rows} came, last is {strip.last}"
            raise Refusal(message, reason="TILE_MISMATCH", field="strip")
        if strip.mask and len(strip.mask) != -(-rows * self._width_px // 8):
            message = f"a mask of {len(strip.mask)} bytes is not one bit for each of {rows} x {self._width_px} px"
            raise Refusal(message, reason="TILE_MISMATCH", field="strip.mask")
        return rows


def whole_tiles(
    requests: Iterable[pb.UpscaleStreamRequest], plan: pb.Plan, dtype: np.dtype[Any]
) -> Iterator[SourceTile]:
    """The tiles of a stream, each when its last strip is there.

    Raises:
        Refusal: What came is not what the plan says, or in no order of the contract.
    """
    tile = None
    for request in requests:
        if request.WhichOneof("message") != "strip":
            raise Refusal("after its start a stream has strips", reason="STREAM_PROTOCOL", field="message")
        strip = _intact(request.strip)
        tile = tile or SourceTile(plan, dtype, row=strip.row, column=strip.column)
        tile.add(strip)
        if strip.last:
            yield tile
            tile = None
    if tile is not None:
        raise Refusal(f"the stream ends within tile {tile.place}", reason="STREAM_PROTOCOL", field="message")


def _intact(strip: pb.SourceStrip) -> pb.SourceStrip:
    if strip.checksum != checksum(strip):
        message = f"the strip at row {strip.y_px} of tile {(strip.row, strip.column)} has another checksum"
        raise Refusal(message, reason="CHECKSUM_MISMATCH", field="strip.checksum")
    return strip


def _shown(span: pb.Span, side_px: int, scale: Fraction) -> npt.NDArray[np.int64]:
    """For each target pixel of a tile the source pixel of the tile that it shows."""
    return nearest(span.target_start_px, span.target_stop_px, side_px, scale) - span.source_start_px


def _cut(
    pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, place: tuple[int, int]
) -> Iterator[pb.TargetStrip]:
    height_px, width_px = pixels.shape[:2]
    step = max(1, MAX_STRIP_BYTES // (width_px * BANDS * pixels.itemsize))
    for y_px in range(0, height_px, step):
        rows = slice(y_px, y_px + step)
        strip = pb.TargetStrip(
            row=place[0],
            column=place[1],
            y_px=y_px,
            pixels=pixels[rows].tobytes(),
            mask=b"" if mask is None else np.packbits(mask[rows]).tobytes(),
            last=y_px + step >= height_px,
        )
        strip.checksum = checksum(strip)
        yield strip
