"""WebP files: the chunks are walked, Pillow's libwebp decodes.

Source: WebP container specification; RFC 6386, section 9.1, and RFC 9649, section 3.4, for sizes.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from hndsr_gateway.errors import DamagedImageError, UnsupportedFormatError
from hndsr_gateway.images.content import Content
from hndsr_gateway.images.exif import PREFIX
from hndsr_gateway.images.pillow import samples_of

ANIMATED = 0x02
LOSSY_START = b"\x9d\x01\x2a"
LOSSLESS_START = 0x2F
SIDE_BITS = 14
NOTHING = memoryview(b"")


def _damaged(how: str) -> DamagedImageError:
    return DamagedImageError(f"the WebP file {how}")


def measure(encoded: bytes) -> tuple[int, int]:
    """Height and width, as the header of the pixels says.

    Raises:
        DamagedImageError: if it is cut off or contradicts itself.
        UnsupportedFormatError: if it is animated.
    """
    found = _chunks(encoded)
    extended = found.get(b"VP8X", NOTHING)
    if extended and extended[0] & ANIMATED:
        raise UnsupportedFormatError("the WebP file is animated")
    size = _lossy_size(found[b"VP8 "]) if b"VP8 " in found else _lossless_size(found.get(b"VP8L", NOTHING))
    if extended and size != _canvas_size(extended):
        raise _damaged("says two different sizes")
    return size


def read(encoded: bytes) -> Content:
    """The whole file.

    Raises:
        DamagedImageError: if it is cut off or contradicts itself.
    """
    found = _chunks(encoded)
    with Image.open(io.BytesIO(encoded[: _stop(encoded)]), formats=["WEBP"]) as image:
        if image.size != measure(encoded)[::-1]:
            raise _damaged("says two different sizes")
        samples = samples_of(image)
    alpha = np.ascontiguousarray(samples[..., 3]) if samples.shape[2] == 4 else None
    return Content(
        np.ascontiguousarray(samples[..., :3]),
        alpha=alpha,
        icc=bytes(found.get(b"ICCP", NOTHING)),
        exif=bytes(found.get(b"EXIF", NOTHING)).removeprefix(PREFIX),
    )


def _stop(encoded: bytes) -> int:
    """Where the file ends by its own word."""
    stop = 8 + int.from_bytes(encoded[4:8], "little")
    if stop > len(encoded):
        raise _damaged("is cut off")
    return stop


def _chunks(encoded: bytes) -> dict[bytes, memoryview]:
    """The first chunk of each kind."""
    content, position, found = memoryview(encoded)[: _stop(encoded)], 12, dict[bytes, memoryview]()
    while position < len(content):
        kind = bytes(content[position : position + 4])
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        if position + 8 + length > len(content):
            raise _damaged("is cut off")
        found.setdefault(kind, content[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    if not found.keys() & {b"VP8 ", b"VP8L"} and b"ANMF" not in found:
        raise _damaged("has no pixels")
    return found


def _lossy_size(content: memoryview) -> tuple[int, int]:
    if len(content) < 10 or content[3:6] != LOSSY_START:
        raise _damaged("has no frame")
    width, height = struct.unpack_from("<HH", content, 6)
    limit = 2**SIDE_BITS
    return height % limit, width % limit


def _lossless_size(content: memoryview) -> tuple[int, int]:
    if len(content) < 5 or content[0] != LOSSLESS_START:
        raise _damaged("has no frame")
    packed, limit = int.from_bytes(content[1:5], "little"), 2**SIDE_BITS
    return (packed >> SIDE_BITS) % limit + 1, packed % limit + 1


def _canvas_size(content: memoryview) -> tuple[int, int]:
    if len(content) < 10:
        raise _damaged("has no canvas")
    return int.from_bytes(content[7:10], "little") + 1, int.from_bytes(content[4:7], "little") + 1
