"""JPEG files: the markers are walked, GDAL checks the compressed stream, Pillow decodes it.

Source: ITU-T T.81, annex B; ICC.1 annex B.4 for profiles, Adobe technical note 5116 for APP14.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hndsr_gateway.errors import DamagedImageError, DecompressionBombError, UnsupportedFormatError
from hndsr_gateway.images import colour, gdal
from hndsr_gateway.images.content import Content
from hndsr_gateway.images.exif import PREFIX
from hndsr_gateway.images.pillow import samples_of
from hndsr_gateway.images.strips import strips

SOI, EOI, SOS, APP0, APP1, APP2, APP14, APP15, COM = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
ALONE = frozenset({0x01, *range(0xD0, 0xD8), EOI})
"""Markers without a segment."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
DECODED_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
"""Sequential and progressive DCT; not lossless, not hierarchical."""
BEHIND_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
MAX_SCANS = 100
"""Every scan costs a pass over all pixels, however few bytes it has; libjpeg writes ten."""
ICC_PREFIX = b"ICC_PROFILE\0"
COLOUR_SEGMENTS = {APP0, APP14}
"""Segments of applications that say what the samples are; all others are kept from the decoders."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and what belongs to it, up to the next marker."""

    marker: int
    content: bytes
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What the pixels are."""

    height: int
    width: int
    bands: int


def _damaged(how: str) -> DamagedImageError:
    return DamagedImageError(f"the JPEG file {how}")


def measure(encoded: bytes) -> tuple[int, int]:
    """Height and width, as the frame says.

    Raises:
        DamagedImageError: if there is no frame.
        UnsupportedFormatError: if it is of a kind that is not read.
    """
    frame = _frame(_segments(encoded))
    return frame.height, frame.width


def read(encoded: bytes) -> Content:
    """The first picture of the file.

    Raises:
        DamagedImageError: if it is cut off or contradicts itself.
        UnsupportedFormatError: if it is of a kind that is not read.
        DecompressionBombError: if it has more scans than any honest file.
    """
    found = list(_segments(encoded))
    frame = _frame(iter(found))
    if sum(segment.marker in FRAMES for segment in found) > 1:
        raise _damaged("has more than one frame")
    if sum(segment.marker == SOS for segment in found) > MAX_SCANS:
        raise DecompressionBombError(what="its pixels", limit=f"{MAX_SCANS} scans")
    lean = b"\xff\xd8" + b"".join(encoded[segment.start : segment.stop] for segment in found if _is_decoded(segment))
    _check_stream(lean)
    samples = _decoded(lean, frame)
    icc = _icc(found)
    if frame.bands == 4:
        adobe = any(segment.marker == APP14 and segment.content.startswith(b"Adobe") for segment in found)
        return Content(colour.cmyk_to_srgb(icc)(samples if adobe else 255 - samples), exif=_exif(found))
    grey = frame.bands == 1
    return Content(colour.grey_to_rgb(samples[..., 0]) if grey else samples, grey=grey, icc=icc, exif=_exif(found))


def _segments(encoded: bytes) -> Iterator[Segment]:
    """All segments behind the first marker, the last one EOI; a scan's compressed data belongs to its segment."""
    position, marker = 2, SOI
    while marker != EOI:
        start, position = position, _skip_fill(encoded, position)
        marker = encoded[position]
        position += 1
        content = b""
        if marker not in ALONE:
            content = _content(encoded, position)
            position += 2 + len(content)
        if marker == SOS:
            position = _behind_scan(encoded, position)
        yield Segment(marker, content, start, position)


def _skip_fill(encoded: bytes, position: int) -> int:
    """Where the code of a marker lies, which any number of FF may precede."""
    start = position
    while position < len(encoded) and encoded[position] == 0xFF:
        position += 1
    if position >= len(encoded):
        raise _damaged("is cut off")
    if position == start or encoded[position] in {0, SOI}:
        raise _damaged(f"has no marker at byte {start}")
    return position


def _content(encoded: bytes, position: int) -> bytes:
    length = int.from_bytes(encoded[position : position + 2], "big")
    if length < 2 or position + length > len(encoded):
        raise _damaged("is cut off")
    return encoded[position + 2 : position + length]


def _behind_scan(encoded: bytes, position: int) -> int:
    found = BEHIND_SCAN.search(encoded, position)
    if found is None:
        raise _damaged("is cut off")
    return found.start()


def _frame(segments: Iterator[Segment]) -> Frame:
    segment = next((segment for segment in segments if segment.marker in FRAMES), None)
    if segment is None:
        raise _damaged("has no frame")
    if len(segment.content) < 6:
        raise _damaged("has a frame that cannot be")
    depth, height, width, bands = struct.unpack_from(">BHHB", segment.content)
    if segment.marker not in DECODED_FRAMES:
        raise UnsupportedFormatError("the JPEG file is lossless or hierarchical")
    if depth != 8:
        raise UnsupportedFormatError(f"the JPEG file has {depth}-bit samples")
    if bands not in {1, 3, 4}:
        raise UnsupportedFormatError(f"the JPEG file has {bands} bands")
    return Frame(height, width, bands)


def _is_decoded(segment: Segment) -> bool:
    other = APP0 <= segment.marker <= APP15 and segment.marker not in COLOUR_SEGMENTS
    return not other and segment.marker != COM


def _check_stream(lean: bytes) -> None:
    """Let libjpeg's warnings be errors, which Pillow does not know how to.

    Raises:
        RasterioError: if it warns.
    """
    with gdal.opened(lean, "JPEG") as dataset, gdal.strictly():
        for rows in strips(dataset.height, dataset.width):
            gdal.read_band_rows(dataset, rows)


def _decoded(lean: bytes, frame: Frame) -> UInt8[np.ndarray, "h w bands"]:
    with Image.open(io.BytesIO(lean), formats=["JPEG"]) as image:
        if image.size != (frame.width, frame.height) or len(image.getbands()) != frame.bands:
            raise _damaged("has pixels of another size than its frame says")
        return samples_of(image)


def _exif(found: list[Segment]) -> bytes:
    return next((one.content for one in found if one.marker == APP1 and one.content.startswith(PREFIX)), b"")


def _icc(found: list[Segment]) -> bytes:
    """The profile if all of its pieces are there, which carry their number and how many they are."""
    pieces = {
        one.content[len(ICC_PREFIX)]: one.content[len(ICC_PREFIX) + 2 :]
        for one in found
        if one.marker == APP2 and one.content.startswith(ICC_PREFIX) and len(one.content) > len(ICC_PREFIX) + 2
    }
    return (
        b"".join(pieces[number] for number in sorted(pieces)) if set(pieces) == set(range(1, len(pieces) + 1)) else b""
    )
