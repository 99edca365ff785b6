"""Image files as the fake reads and writes them."""

from __future__ import annotations

import io
import struct
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.testing._failures import BeyondFakeError, Refusal
from hndsr_client.testing._png import read_png, write_png

PILLOW_NAMES = {
    pb.IMAGE_FORMAT_PNG: "PNG",
    pb.IMAGE_FORMAT_JPEG: "JPEG",
    pb.IMAGE_FORMAT_WEBP: "WEBP",
    pb.IMAGE_FORMAT_TIFF: "TIFF",
}
SIGNS = (
    (0, b"\x89PNG", pb.IMAGE_FORMAT_PNG),
    (0, b"\xff\xd8\xff", pb.IMAGE_FORMAT_JPEG),
    (8, b"WEBP", pb.IMAGE_FORMAT_WEBP),
    (0, b"II*\0", pb.IMAGE_FORMAT_TIFF),
    (0, b"MM\0*", pb.IMAGE_FORMAT_TIFF),
    (0, b"II+\0", pb.IMAGE_FORMAT_TIFF),
    (0, b"MM\0+", pb.IMAGE_FORMAT_TIFF),
)
"""Offset, first bytes, format."""
ANIMATED = (pb.IMAGE_FORMAT_PNG, pb.IMAGE_FORMAT_WEBP)
GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I", "F")
"""Pillow's names of samples of 32 bits."""
DAMAGE = (ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)
"""What Pillow throws at damaged files."""
QUALITY = 95


def read_file(content: bytes, *, field: str = "encoded") -> tuple[npt.NDArray[Any], pb.ImageFormat]:
    """The samples of a file, (height, width, bands), and its format; the bands are grey or RGB, then alpha.

    Args:
        content: The file.
        field: What is at fault in the request if it cannot be read.

    Raises:
        Refusal: It is of another format, or damaged.
        BeyondFakeError: It cannot be read by this fake alone.
    """
    image_format = _format(content, field)
    try:
        samples = read_png(content) if image_format == pb.IMAGE_FORMAT_PNG else None
        return _read_by_pillow(content, image_format, field) if samples is None else samples, image_format
    except Refusal:
        raise
    except DAMAGE as error:
        raise Refusal("the image file is damaged", reason="IMAGE_DAMAGED", field=field) from error


def write_file(samples: npt.NDArray[Any], image_format: pb.ImageFormat, encoding: pb.EncodingOptions) -> bytes:
    """The file of samples as `read_file` returns them.

    Raises:
        BeyondFakeError: It cannot be written by this fake alone.
    """
    if image_format == pb.IMAGE_FORMAT_PNG:
        return write_png(samples)
    bands = samples.shape[2]
    if samples.dtype != np.uint8 and bands > 1:
        raise BeyondFakeError("the fake writes colours of 16 bits as PNG only")
    file = io.BytesIO()
    image = _pillow("Image").fromarray(samples[..., 0] if bands == 1 else samples)
    image.save(file, PILLOW_NAMES[image_format], **_options(image_format, encoding))
    return file.getvalue()


def _options(image_format: pb.ImageFormat, encoding: pb.EncodingOptions) -> dict[str, Any]:
    quality = encoding.quality if encoding.HasField("quality") else QUALITY
    if image_format == pb.IMAGE_FORMAT_JPEG:
        return {"quality": quality, "subsampling": 0}
    if image_format == pb.IMAGE_FORMAT_WEBP:
        lossless = encoding.lossless if encoding.HasField("lossless") else not encoding.HasField("quality")
        return {"quality": quality, "lossless": lossless, "exact": True}
    return {}


def _format(content: bytes, field: str) -> pb.ImageFormat:
    for offset, sign, image_format in SIGNS:
        if content.startswith(sign, offset):
            return image_format
    raise Refusal("the file is no PNG, JPEG, WebP or TIFF", reason="UNSUPPORTED_FORMAT", field=field)


def _read_by_pillow(content: bytes, image_format: pb.ImageFormat, field: str) -> npt.NDArray[Any]:
    pillow = _pillow("Image")
    try:
        opened = pillow.open(io.BytesIO(content), formats=[PILLOW_NAMES[image_format]])
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise Refusal(error, reason="IMAGE_TOO_LARGE", field=field) from error
    if opened.mode in WIDE_MODES or (image_format in ANIMATED and opened.is_animated):
        message = "the image file has several frames, or samples that are not of 8 or 16 bits"
        raise Refusal(message, reason="UNSUPPORTED_FORMAT", field=field)
    return _samples(opened)


def _samples(opened: Any) -> npt.NDArray[Any]:
    sixteen = opened.mode.startswith("I;16")
    if not sixteen and any(";16" in str(tile.args) for tile in opened.tile):
        raise BeyondFakeError("the fake reads colours of 16 bits from PNG only")
    upright = _pillow("ImageOps").exif_transpose(opened)
    if not sixteen:
        mode = "L" if opened.mode in GREY_MODES else "RGB"
        upright = upright.convert(mode + ("A" if opened.has_transparency_data else ""))
    samples = np.asarray(upright, np.uint16 if sixteen else np.uint8)
    return samples[..., None] if samples.ndim == 2 else samples


def _pillow(module: str) -> Any:
    try:
        return import_module(f"PIL.{module}")
    except ImportError as error:
        raise BeyondFakeError("without Pillow the fake knows PNG files of 8- and 16-bit grey and RGB only") from error
