"""PNG files chunk by chunk: every kind of sample, every filter, Adam7, and lies where a test wants them."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
BANDS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
NAMES = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey-alpha", RGB_ALPHA: "rgb-alpha"}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
NONE, SUB, UP, AVERAGE, PAETH = range(5)
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and the steps between rows and columns, of each pass."""
IEND_LENGTH = 12


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


IEND = chunk(b"IEND")


def header(
    size: tuple[int, int], depth: int = 8, colour: int = RGB, *, interlace: int = 0, methods: tuple[int, int] = (0, 0)
) -> bytes:
    """IHDR; `methods` are those of compression and filtering."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], depth, colour, *methods, interlace))


def palette(depth: int) -> np.ndarray:
    """Distinct colours, as many as indices of so many bits."""
    index = np.arange(2**depth)
    return np.stack([255 - index, index * 7 % 256, index * 91 % 256], axis=-1).astype(np.uint8)


def scanlines(samples: np.ndarray, depth: int, filters: Sequence[int] = (NONE,)) -> bytes:
    """Rows of (height, width, bands) as they are compressed, their filters in turn."""
    pixel_bytes = max(1, depth * samples.shape[2] // 8)
    result, above = bytearray(), b""
    for row, kind in zip(samples, itertools.cycle(filters), strict=False):
        packed = _packed(row.reshape(-1), depth)
        above = above or bytes(len(packed))
        result += bytes([kind]) + _filtered(packed, above, kind, pixel_bytes)
        above = packed
    return bytes(result)


def interlaced(samples: np.ndarray, depth: int, filters: Sequence[int] = (NONE,)) -> bytes:
    """The seven passes of Adam7, empty ones left out."""
    passes = (samples[row::rows, column::columns] for row, column, rows, columns in ADAM7)
    return b"".join(scanlines(part, depth, filters) for part in passes if part.size)


def _packed(row: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, -depth:]
    return np.packbits(bits).tobytes()


def _filtered(row: bytes, above: bytes, kind: int, pixel_bytes: int) -> bytes:
    padded, upper = bytes(pixel_bytes) + row, bytes(pixel_bytes) + above
    neighbours = zip(row, padded, above, upper, strict=False)  # x, left, up, upper left
    return bytes((x - _prediction(kind, left, up, corner)) % 256 for x, left, up, corner in neighbours)


def _prediction(kind: int, left: int, up: int, corner: int) -> int:
    if kind == PAETH:
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return {NONE: 0, SUB: left, UP: up, AVERAGE: (left + up) // 2}[kind]


def pieces(
    samples: np.ndarray,
    depth: int = 8,
    colour: int = RGB,
    *,
    interlace: int = 0,
    filters: Sequence[int] = (NONE,),
    extra: bytes = b"",
) -> list[bytes]:
    """Signature, IHDR, PLTE and `extra` chunks, IDAT, IEND."""
    rows = (interlaced if interlace else scanlines)(samples, depth, filters)
    table = [chunk(b"PLTE", palette(depth).tobytes())] if colour == PALETTE else []
    front = [SIGNATURE, header(samples.shape[:2], depth, colour, interlace=interlace), *table]
    return [*front, *([extra] if extra else []), chunk(b"IDAT", zlib.compress(rows)), IEND]


def png(samples: np.ndarray, depth: int = 8, colour: int = RGB, **how: Any) -> bytes:
    """A whole file; `how` as `pieces` takes it."""
    return b"".join(pieces(samples, depth, colour, **how))


def assembled(*chunks: bytes) -> bytes:
    """A file of these chunks."""
    return SIGNATURE + b"".join(chunks)


def split_idat(rows: bytes, length: int) -> bytes:
    """Compressed rows in IDAT chunks of so many bytes."""
    stream = zlib.compress(rows)
    return b"".join(chunk(b"IDAT", stream[start : start + length]) for start in range(0, len(stream), length))


def with_wrong_checksum(content: bytes) -> bytes:
    """A chunk whose last byte is another."""
    return content[:-1] + bytes([content[-1] ^ 1])


def kinds() -> Iterator[tuple[int, int]]:
    """Every colour type with each of its depths."""
    return ((colour, depth) for colour, depths in DEPTHS.items() for depth in depths)
