"""PNG files of 8 or 16 bits without an image library, to keep tests free of one.

Source: PNG specification, third edition, clauses 9 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""The colour type of so many bands: grey or RGB, without and with alpha."""
BEYOND = {b"tRNS", b"acTL"}
"""Chunks that make a colour transparent, or a file an animation."""
HEADER_BYTES = 13


def write_png(image: npt.NDArray[Any]) -> bytes:
    """The file of an image (height, width, bands) of uint8 or uint16; the bands are grey or RGB, then alpha."""
    height_px, width_px, bands = image.shape
    header = struct.pack(">IIBBBBB", width_px, height_px, image.itemsize * 8, COLOURS[bands], 0, 0, 0)
    rows = np.ascontiguousarray(image, f">u{image.itemsize}").reshape(height_px, -1).view(np.uint8)
    unfiltered = np.pad(rows, ((0, 0), (1, 0)))
    chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(unfiltered.tobytes())), _chunk(b"IEND", b"")
    return SIGNATURE + b"".join(chunks)


def read_png(content: bytes) -> npt.NDArray[Any] | None:
    """The samples of a file, (height, width, bands); None for palettes, below 8 bits, interlaced, and with `BEYOND`.

    Raises:
        ValueError: It is cut off or damaged.
    """
    chunks = list(_chunks(content))
    names = [name for name, _ in chunks]
    if names[0] != b"IHDR" or len(chunks[0][1]) != HEADER_BYTES:
        raise ValueError("the file does not begin with its header")
    width_px, height_px, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    if colour not in COLOURS.values() or depth not in {8, 16} or interlace or BEYOND & set(names):
        return None
    bands = next(bands for bands, known in COLOURS.items() if known == colour)
    filtered = _inflated(b"".join(part for name, part in chunks if name == b"IDAT"))
    rows = np.frombuffer(filtered, np.uint8).reshape(height_px, 1 + width_px * bands * depth // 8)
    plain = _unfiltered(rows, step=bands * depth // 8).view(f">u{depth // 8}")
    return plain.astype(f"u{depth // 8}").reshape(height_px, width_px, bands)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not content.startswith(SIGNATURE):
        raise ValueError("the file has a broken signature")
    start, name = len(SIGNATURE), b""
    while name != b"IEND":
        length = int.from_bytes(content[start : start + 4], "big")
        stop = start + 12 + length
        if stop > len(content):
            raise ValueError("the file is cut off")
        name, part = content[start + 4 : start + 8], content[start + 8 : stop - 4]
        if content[start:stop] != _chunk(name, part):
            raise ValueError("the file has a wrong checksum")
        yield name, part
        start = stop


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error as error:
        raise ValueError("the file is damaged") from error


def _unfiltered(rows: np.ndarray, *, step: int) -> np.ndarray:
    """The bytes that the rows were before each was filtered as its first byte says."""
    above = np.zeros(rows.shape[1] - 1, np.uint8)
    plain = []
    for row in rows:
        above = _unfiltered_row(int(row[0]), row[1:], above, step)
        plain.append(above)
    return np.stack(plain)


def _unfiltered_row(kind: int, row: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    if kind == 0:
        return row.copy()
    if kind == 2:
        return row + above
    line = np.zeros(len(row) + step, np.int64)
    over = np.concatenate([np.zeros(step, np.int64), above.astype(np.int64)])
    for index in range(step, len(line)):
        guess = _guess(kind, int(line[index - step]), int(over[index]), int(over[index - step]))
        line[index] = (int(row[index - step]) + guess) % 256
    return line[step:].astype(np.uint8)


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) // 2
    paeth = left + up - corner
    return min((left, up, corner), key=lambda value: abs(paeth - value))
