"""PNG files of 8- or 16-bit RGB without an image library, to keep tests free of one.

Source: PNG specification, third edition, clauses 9 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from hndsr_client._core.pixels import Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB = 2


def write_png(image: Pixels) -> bytes:
    """The file of an image (height, width, 3) of uint8 or uint16."""
    height_px, width_px = image.shape[:2]
    header = struct.pack(">IIBBBBB", width_px, height_px, image.itemsize * 8, RGB, 0, 0, 0)
    rows = image.astype(f">u{image.itemsize}").reshape(height_px, -1).view(np.uint8)
    unfiltered = np.pad(rows, ((0, 0), (1, 0)))
    chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(unfiltered.tobytes())), _chunk(b"IEND", b"")
    return SIGNATURE + b"".join(chunks)


def read_png(content: bytes) -> Pixels | None:
    """The image of a file; None where it is no PNG file of 8- or 16-bit RGB that is not interlaced.

    Raises:
        ValueError: It is cut off or damaged.
    """
    if not content.startswith(SIGNATURE):
        return None
    chunks = list(_chunks(content))
    width_px, height_px, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    if colour != RGB or depth not in {8, 16} or interlace:
        return None
    filtered = _inflated(b"".join(part for name, part in chunks if name == b"IDAT"))
    rows = np.frombuffer(filtered, np.uint8).reshape(height_px, -1)
    return (
        _unfiltered(rows, step=3 * depth // 8)
        .view(f">u{depth // 8}")
        .astype(f"u{depth // 8}")
        .reshape(height_px, width_px, 3)
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        if start + 12 > len(content):
            raise ValueError("the file is cut off")
        length, name = struct.unpack(">I4s", content[start : start + 8])
        yield name, content[start + 8 : start + 8 + length]
        start += 12 + length


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
