"""WebP files by Pillow, taken apart into their chunks and put together otherwise.

Source: RFC 9649.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

HEAD_BYTES = 12
ANIMATION, XMP, EXIF, ALPHA, ICC = 0x02, 0x04, 0x08, 0x10, 0x20
"""Flags of VP8X."""


def webp(pixels: np.ndarray, **options: Any) -> bytes:
    """An array of 3 or 4 bands as a lossless file, unless the options, as Pillow takes them, say otherwise."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="WEBP", **{"lossless": True, **options})
    return target.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk, padded to an even length."""
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    """A file of these chunks."""
    content = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def chunks(content: bytes) -> list[bytes]:
    """Everything behind the head, with its padding."""
    found, position = [], HEAD_BYTES
    while position < len(content):
        length = struct.unpack_from("<I", content, position + 4)[0]
        found.append(content[position : position + 8 + length + length % 2])
        position += len(found[-1])
    return found


def body(part: bytes) -> bytes:
    """What a chunk holds."""
    return part[8 : 8 + struct.unpack_from("<I", part, 4)[0]]


def extended(size: tuple[int, int], flags: int = 0) -> bytes:
    """VP8X of a canvas of this height and width."""
    sides = (size[1] - 1).to_bytes(3, "little") + (size[0] - 1).to_bytes(3, "little")
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def changed(content: bytes, kind: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A file whose chunks of a kind hold something else."""
    return riff(*(chunk(kind, change(body(part))) if part.startswith(kind) else part for part in chunks(content)))
