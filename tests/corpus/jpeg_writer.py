"""JPEG files by Pillow, taken apart into their markers and put together otherwise."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from corpus.case import smooth
from PIL import Image

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOF0, SOF2, DHT, SOS, DQT, DRI, APP0, APP1, APP2, APP14, COM = (
    *(0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD),
    *(0xE0, 0xE1, 0xE2, 0xEE, 0xFE),
)
LONGEST_SEGMENT = 65_533
TOLERANCE = 14
"""Levels that a smooth picture may lose at quality 95, chroma halved."""
PICTURE = smooth()


def jpeg(pixels: np.ndarray = PICTURE, **options: Any) -> bytes:
    """An array as a file, of quality 95 unless the options, as Pillow takes them, say otherwise."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="JPEG", **{"quality": 95, **options})
    return target.getvalue()


def four_bands(pixels: np.ndarray, *, transform: int | None) -> bytes:
    """Four bands as they shall lie in the file, behind an Adobe segment of that transform, or none."""
    height, width, _ = pixels.shape
    target = io.BytesIO()
    image = Image.frombytes("CMYK", (width, height), (255 - pixels).tobytes())  # Pillow inverts what it writes
    image.save(target, format="JPEG", quality=95, subsampling=0)
    parts = [part for part in segments(target.getvalue()) if marker(part) != APP14]
    adobe = [] if transform is None else [segment(APP14, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))]
    return b"".join([*parts[:1], *adobe, *parts[1:]])


def segment(kind: int, content: bytes) -> bytes:
    """A marker with its length and content."""
    return struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content


def marker(part: bytes) -> int:
    """What kind of segment it is."""
    return part[1]


def segments(content: bytes) -> list[bytes]:
    """SOI, every segment, each with the entropy-coded data behind it, and EOI."""
    return list(_segments(content))


def _segments(content: bytes) -> Iterator[bytes]:
    yield SOI
    position = 2
    while content[position + 1] != EOI[1]:
        stop = position + 2 + struct.unpack_from(">H", content, position + 2)[0]
        while not _is_marker(content, stop):
            stop += 1
        yield content[position:stop]
        position = stop
    yield content[position : position + 2]


def _is_marker(content: bytes, position: int) -> bool:
    return content[position] == 0xFF and content[position + 1] not in {0, *range(0xD0, 0xD8)}


def inserted(content: bytes, *extra: bytes) -> bytes:
    """A file with more segments behind its SOI."""
    return content[:2] + b"".join(extra) + content[2:]


def changed(content: bytes, kind: int, change: Callable[[bytes], bytes]) -> bytes:
    """A file whose segments of a kind are others."""
    return b"".join(change(part) if marker(part) == kind else part for part in segments(content))


def with_frame(content: bytes, *, at: int, value: bytes, kind: int = SOF0) -> bytes:
    """A file with other bytes in its frame header, counted from the precision."""
    return changed(content, kind, lambda part: part[: 4 + at] + value + part[4 + at + len(value) :])


def cut_scan(content: bytes, percent: int) -> bytes:
    """A file that ends within the entropy-coded data of its only scan."""
    parts = segments(content)
    scan = next(part for part in parts if marker(part) == SOS)
    start = content.index(scan)
    return content[: start + 20 + (len(scan) - 20) * percent // 100]
