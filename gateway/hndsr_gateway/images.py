"""Image files to rasters and back."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from hndsr_gateway.errors import EmptyImageError, ImageTooLargeError, UnsupportedFormatError
from hndsr_gateway.types import Raster

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked before Pillow sees the file

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">8s4x4sIIBB")
"""Signature, length of the first chunk, its type, width, height, bit depth, colour type. PNG specification, 11.2.2."""
COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
RGB = 2


def decode_png(encoded: bytes, *, max_px: int) -> Raster:
    """Decode a PNG file of 8-bit RGB; its size is checked before a pixel is.

    Raises:
        EmptyImageError: for no bytes at all.
        UnsupportedFormatError: for anything but a whole PNG of 8-bit RGB.
        ImageTooLargeError: for more than `max_px` pixels.
    """
    if not encoded:
        raise EmptyImageError
    height, width = _check_header(encoded)
    if height * width > max_px:
        raise ImageTooLargeError(which="source", height=height, width=width, limit_px=max_px)
    try:
        with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
            image.verify()
        with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
            _check_content(image, size=(width, height))
            return Raster(np.asarray(image))
    except (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError) as error:
        raise UnsupportedFormatError(found="the PNG file is damaged") from error


def _check_header(encoded: bytes) -> tuple[int, int]:
    if not encoded.startswith(PNG_SIGNATURE):
        raise UnsupportedFormatError(found="the file is no PNG")
    if len(encoded) < HEADER.size:
        raise UnsupportedFormatError(found="the PNG file is damaged")
    _, kind, width, height, depth, colour = HEADER.unpack_from(encoded)
    if kind != b"IHDR" or not width or not height:
        raise UnsupportedFormatError(found="the PNG file is damaged")
    if (depth, colour) != (8, RGB):
        raise UnsupportedFormatError(found=f"the PNG file has {depth}-bit {COLOUR_TYPES.get(colour, 'unknown')} pixels")
    return height, width


def _check_content(image: Image.Image, *, size: tuple[int, int]) -> None:
    if image.size != size or image.mode != "RGB":  # a second header says something else
        raise UnsupportedFormatError(found="the PNG file is damaged")
    if getattr(image, "n_frames", 1) > 1:
        raise UnsupportedFormatError(found="the PNG file is animated")
    if "transparency" in image.info:
        raise UnsupportedFormatError(found="the PNG file has a transparent colour")


def encode_png(raster: Raster) -> bytes:
    """Encode 8-bit RGB; a mask is not kept."""
    target = io.BytesIO()
    Image.fromarray(raster.pixels).save(target, format="PNG", compress_level=1)
    return target.getvalue()
