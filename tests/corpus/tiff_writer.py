"""TIFF files entry by entry: strips and tiles, both byte orders, BigTIFF, and lies where a test wants them.

Source: TIFF 6.0; BigTIFF as libtiff specifies it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

BYTE, ASCII, SHORT, LONG, RATIONAL, DOUBLE, IFD, LONG8 = 1, 2, 3, 4, 5, 12, 13, 16
CODES = {BYTE: "B", ASCII: "c", SHORT: "H", LONG: "I", RATIONAL: "II", DOUBLE: "d", IFD: "I", LONG8: "Q", 7: "B"}
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
DESCRIPTION, STRIP_OFFSETS, ORIENTATION, BANDS, STRIP_ROWS, STRIP_BYTES, PLANAR = 270, 273, 274, 277, 278, 279, 284
PREDICTOR, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 317, 320, 322, 323, 324, 325
SUB_IFDS, EXTRA, SAMPLE_FORMAT, XMP, ICC, EXIF_IFD = 330, 338, 339, 700, 34675, 34665
GDAL_METADATA, GDAL_NODATA = 42112, 42113
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, SEPARATED, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
UNCOMPRESSED, LZW, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA, ZSTANDARD = 1, 5, 8, 32773, 32946, 34925, 50000
ASSOCIATED, UNASSOCIATED = 1, 2

Entry = tuple[int, Sequence[float] | bytes]
"""Type and values; bytes are written as they are."""


@dataclass(frozen=True, slots=True)
class Page:
    """One directory: entries by tag, its strips or tiles, and entries written instead of the true ones."""

    entries: dict[int, Entry]
    blocks: list[bytes] = field(default_factory=list)
    tiled: bool = False
    lies: dict[int, Entry | None] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    """Numbers of values that are claimed instead of the true ones."""


def tiff(*pages: Page, order: str = "<", big: bool = False, next_ifd: int | None = None) -> bytes:
    """Header, and for each page its blocks, the values that fit no entry, and its directory.

    Args:
        pages: in their order.
        order: `<` for II, `>` for MM.
        big: BigTIFF.
        next_ifd: what the last directory says instead of 0.
    """
    writer = _Writer(order, big=big)
    for page in pages:
        writer.add(page)
    return writer.finished(next_ifd or 0)


class _Writer:
    def __init__(self, order: str, *, big: bool) -> None:
        self._order, self._big = order, big
        self._offset, self._inline = ("Q", 8) if big else ("I", 4)
        mark = b"II" if order == "<" else b"MM"
        self._content = bytearray(mark + (self._pack("HHHQ", 43, 8, 0, 0) if big else self._pack("HI", 42, 0)))
        self._link = 8 if big else 4

    def _pack(self, codes: str, *values: float) -> bytes:
        return struct.pack(self._order + codes, *values)

    def add(self, page: Page) -> None:
        offsets = [self._append(block) for block in page.blocks]
        entries = {**page.entries, **self._places(page, offsets), **page.lies}
        kept = {tag: entry for tag, entry in sorted(entries.items()) if entry is not None}
        written = [self._entry(tag, entry, page.counts.get(tag)) for tag, entry in kept.items()]
        start = self._append(self._pack("Q" if self._big else "H", len(written)) + b"".join(written))
        self._point(start)
        self._link = len(self._content)
        self._content += self._pack(self._offset, 0)

    def finished(self, next_ifd: int) -> bytes:
        self._point(next_ifd)
        return bytes(self._content)

    def _append(self, block: bytes) -> int:
        self._content += b"\0" * (len(self._content) % 2)
        self._content += block
        return len(self._content) - len(block)

    def _point(self, place: int) -> None:
        """Let the last link, of which the header's is the first, say where the next directory is."""
        packed = self._pack(self._offset, place)
        self._content[self._link : self._link + len(packed)] = packed

    def _places(self, page: Page, offsets: list[int]) -> dict[int, Entry]:
        if not page.blocks:
            return {}
        where, how_many = (TILE_OFFSETS, TILE_BYTES) if page.tiled else (STRIP_OFFSETS, STRIP_BYTES)
        kind = LONG8 if self._big else LONG
        return {where: (kind, offsets), how_many: (kind, [len(block) for block in page.blocks])}

    def _entry(self, tag: int, entry: Entry, claimed: int | None) -> bytes:
        kind, values = entry
        packed = values if isinstance(values, bytes) else self._pack(CODES[kind] * len(values), *values)
        count = len(packed) // struct.calcsize("<" + CODES.get(kind, "B")) if claimed is None else claimed
        fits = len(packed) <= self._inline
        place = packed.ljust(self._inline, b"\0") if fits else self._pack(self._offset, self._append(packed))
        return self._pack("HH" + self._offset, tag, kind, count) + place


def stored(samples: np.ndarray, order: str = "<") -> bytes:
    """Samples of 8 or 16 bits, or of any other type, as they lie in a file."""
    return samples.astype(samples.dtype.newbyteorder(order)).tobytes()


def packed(samples: np.ndarray, depth: int) -> bytes:
    """Rows of one band in so few bits, each row padded to whole bytes."""
    bits = np.unpackbits(samples[..., None].astype(np.uint8), axis=-1)[..., -depth:]
    return np.packbits(bits.reshape(len(samples), -1), axis=1).tobytes()


def packbits(content: bytes) -> bytes:
    """Literal runs alone."""
    parts = (content[start : start + 128] for start in range(0, len(content), 128))
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


COMPRESSORS: dict[int, Callable[[bytes], bytes]] = {
    UNCOMPRESSED: bytes,
    DEFLATE: zlib.compress,
    OLD_DEFLATE: zlib.compress,
    PACKBITS: packbits,
}


def page(
    samples: np.ndarray,
    *,
    order: str = "<",
    compression: int = UNCOMPRESSED,
    planar: int = 1,
    rows: int = 0,
    tile: int = 0,
    depth: int = 0,
    entries: dict[int, Entry] | None = None,
    lies: dict[int, Entry | None] | None = None,
    counts: dict[int, int] | None = None,
) -> Page:
    """A page of (height, width, bands), in strips of some or all `rows` or tiles of a side; `entries` are added."""
    depth, rows = depth or samples.dtype.itemsize * 8, rows or len(samples)
    planes = [samples] if planar == 1 else [samples[..., [band]] for band in range(samples.shape[2])]
    parts = [part for plane in planes for part in (_tiles(plane, tile) if tile else _strips(plane, rows))]
    raw = [packed(part[..., 0], depth) if depth < 8 else stored(part, order) for part in parts]
    said = _said(samples.shape, depth) | {COMPRESSION: (SHORT, [compression]), PLANAR: (SHORT, [planar])}
    said |= {TILE_WIDTH: (SHORT, [tile]), TILE_HEIGHT: (SHORT, [tile])} if tile else {STRIP_ROWS: (LONG, [rows])}
    blocks = [COMPRESSORS[compression](block) for block in raw]
    return Page({**said, **(entries or {})}, blocks, bool(tile), lies or {}, counts or {})


def _said(shape: tuple[int, ...], depth: int) -> dict[int, Entry]:
    """What a directory says of samples; the last one of two or four bands is alpha."""
    height, width, bands = shape
    said: dict[int, Entry] = {
        WIDTH: (LONG, [width]),
        HEIGHT: (LONG, [height]),
        BITS: (SHORT, [depth] * bands),
        PHOTOMETRIC: (SHORT, [RGB if bands >= 3 else BLACK_IS_ZERO]),
        BANDS: (SHORT, [bands]),
    }
    return {**said, EXTRA: (SHORT, [UNASSOCIATED])} if bands in {2, 4} else said


def _strips(plane: np.ndarray, rows: int) -> list[np.ndarray]:
    return [plane[start : start + rows] for start in range(0, len(plane), rows)]


def _tiles(plane: np.ndarray, side: int) -> list[np.ndarray]:
    below, right = -plane.shape[0] % side, -plane.shape[1] % side
    whole = np.pad(plane, ((0, below), (0, right), (0, 0)))
    starts = [(row, column) for row in range(0, len(whole), side) for column in range(0, whole.shape[1], side)]
    return [whole[row : row + side, column : column + side] for row, column in starts]
