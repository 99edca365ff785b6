"""What the two ends of a stream send each other, and how strips of rows become tiles and tiles become strips."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from isal.isal_zlib import crc32

from hndsr_ensemble.geometry import Span
from hndsr_ensemble.masks import Mask, pack_mask, unpack_mask
from hndsr_gateway.errors import ChecksumMismatchError, GatewayError, StreamProtocolError, TileMismatchError
from hndsr_gateway.types import ModelDescription, Parameters, Plan, Priority, Raster

BANDS = 3
STRIP_BYTES = 2 * 2**20
"""Pixels of a strip, unless a single row takes more."""

Bytes = bytes | memoryview
"""Bytes of their own, or those of an array, which are not copied before they leave."""

Place = tuple[int, int]
"""A tile of a plan: the index of its row span and of its column span."""


@dataclass(frozen=True, slots=True)
class StreamStart:
    """What is to be upscaled: a source of `size` (height, width); `cores` 0 and `digest` empty leave the plan open."""

    size: tuple[int, int]
    sample_type: str
    parameters: Parameters
    cores: int = 0
    digest: str = ""
    priority: Priority = Priority.BATCH


@dataclass(frozen=True, slots=True)
class Strip:
    """Whole rows of a tile's source or target, from row `y` of the tile on; `mask` empty where all pixels are valid."""

    place: Place
    y: int
    pixels: Bytes
    mask: Bytes
    checksum: int
    last: bool

    def check(self, *, limit_bytes: int) -> None:
        """Refuse a strip that is too large for any tile, or not what was sent.

        Raises:
            TileMismatchError: if it is too large.
            ChecksumMismatchError: if it is not what its checksum says.
        """
        if max(len(self.pixels), len(self.mask)) > limit_bytes:
            raise TileMismatchError(
                f"a strip has {len(self.pixels):,} bytes, the most here is {limit_bytes:,}", field="strip.pixels"
            )
        if self.checksum != checksum(self.place, self.y, self.pixels, self.mask, last=self.last):
            raise ChecksumMismatchError(f"the strip at row {self.y} of tile {_text(self.place)} has another checksum")


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """By which plan a stream is worked on, of how many windows, and how many of its tiles may be here at once."""

    plan: Plan
    estimated_s: float
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class TileFailed:
    """A tile that was not made; it may be sent again where the error names a delay."""

    place: Place
    error: GatewayError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream has come."""

    tiles_done: int = 0
    tiles_waiting: int = 0
    target_px_done: int = 0


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is about to stop; another stream may go on after so many seconds."""

    resume_after_s: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done in one stream."""

    tiles: int
    failed_tiles: int
    cache_hits: int
    empty_windows: int
    computed_windows: int
    out_of_range_samples: int
    elapsed_s: float
    model: ModelDescription


Answer = StreamOpened | Strip | TileFailed | Progress | Draining | Summary


def checksum(place: Place, y: int, pixels: Bytes, mask: Bytes, *, last: bool) -> int:
    """CRC-32 as the contract's `SourceStrip.checksum` says; of a strip in well under a millisecond."""
    return crc32(mask, crc32(pixels, crc32(struct.pack("<4I", *place, y, last))))


def most_strip_bytes(plan: Plan) -> int:
    """The pixels or the mask of a strip of a plan, at most."""
    widest = max(_source_length(span) for span in plan.column_spans)
    return max(STRIP_BYTES, widest * BANDS * np.dtype(plan.sample_type).itemsize)


def target_strips(place: Place, raster: Raster) -> Iterator[Strip]:
    """The strips of a tile's target, from top to bottom."""
    rows, samples = _rows_per_strip(raster.width, raster.pixels.dtype), np.ascontiguousarray(raster.pixels)
    for y in range(0, raster.height, rows):
        pixels = samples[y : y + rows].data.cast("B")
        mask = b"" if raster.mask is None else pack_mask(raster.mask[y : y + rows]).data
        last = y + rows >= raster.height
        yield Strip(place, y, pixels, mask, checksum(place, y, pixels, mask, last=last), last)


def _rows_per_strip(width: int, dtype: np.dtype[np.unsignedinteger]) -> int:
    return max(1, STRIP_BYTES // (width * BANDS * dtype.itemsize))


class TileAssembly:
    """The source of one tile as its strips come in.

    Args:
        plan: that the tile is of.
        first: its first strip.

    Raises:
        TileMismatchError: if the plan has no such tile.
        StreamProtocolError: if it is not the tile's first strip.
    """

    def __init__(self, plan: Plan, first: Strip) -> None:
        self.place = row, column = first.place
        if row >= len(plan.row_spans) or column >= len(plan.column_spans):
            raise TileMismatchError(
                f"there is no tile {row}, {column}, the plan has {len(plan.row_spans)} x {len(plan.column_spans)}"
            )
        if first.y:
            raise StreamProtocolError(f"tile {row}, {column} begins at row {first.y}", field="strip.y_px")
        self.rows, self.columns = plan.row_spans[row], plan.column_spans[column]
        self._dtype = np.dtype(plan.sample_type).newbyteorder("<")
        shape = (_source_length(self.rows), _source_length(self.columns))
        self._pixels = np.empty((*shape, BANDS), self._dtype)
        self._mask: Mask | None = None
        """Made when the first strip with a mask comes."""
        self._filled = 0
        self.began_s = time.monotonic()

    @property
    def strip_count(self) -> int:
        """How many strips it takes, if each is as large as can be."""
        height, width = self._pixels.shape[:2]
        return -(-height // _rows_per_strip(width, self._dtype))

    def add(self, strip: Strip) -> bool:
        """Put a strip where it belongs; whether the tile is whole now.

        Raises:
            StreamProtocolError: if it is not the one that comes next.
            TileMismatchError: if it does not have the size that the plan says.
        """
        if strip.place != self.place or strip.y != self._filled:
            raise StreamProtocolError(
                f"row {strip.y} of tile {_text(strip.place)} comes where row {self._filled} of tile "
                f"{_text(self.place)} is to come"
            )
        height, width = self._pixels.shape[:2]
        rows = self._row_count(len(strip.pixels), width)
        stop = self._filled + rows
        if stop > height or strip.last != (stop == height):
            said = "its last" if strip.last else "not its last"
            raise TileMismatchError(f"tile {_text(self.place)} has {height} rows, row {stop - 1} is said to be {said}")
        area = slice(self._filled, stop)
        self._pixels[area] = np.frombuffer(strip.pixels, self._dtype).reshape(rows, width, BANDS)
        if strip.mask:
            if self._mask is None:
                self._mask = np.ones((height, width), dtype=bool)
            self._mask[area] = _unpacked(strip.mask, rows, width)
        self._filled = stop
        return strip.last

    def finish(self) -> Raster:
        """The whole source."""
        return Raster(self._pixels.astype(self._dtype.newbyteorder("="), copy=False), self._mask)

    def _row_count(self, size_bytes: int, width: int) -> int:
        row_bytes = width * BANDS * self._dtype.itemsize
        rows, rest = divmod(size_bytes, row_bytes)
        if rest or not rows or rows > _rows_per_strip(width, self._dtype):
            raise TileMismatchError(
                f"a strip of tile {_text(self.place)} has {size_bytes:,} bytes; its rows take {row_bytes:,} each, "
                f"of which {_rows_per_strip(width, self._dtype)} are the most in a strip",
                field="strip.pixels",
            )
        return rows


def _source_length(span: Span) -> int:
    return span.source_stop - span.source_start


def _unpacked(packed: Bytes, rows: int, width: int) -> np.ndarray:
    try:
        return unpack_mask(np.frombuffer(packed, np.uint8), height=rows, width=width)
    except ValueError as error:
        raise TileMismatchError(str(error), field="strip.mask") from error


def _text(place: Place) -> str:
    return f"{place[0]}, {place[1]}"
