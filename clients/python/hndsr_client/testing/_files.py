"""Image files as the fake reads and writes them."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

import numpy as np

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import Pixels
from hndsr_client.testing._png import read_png, write_png

PILLOW_NAMES = {
    pb.IMAGE_FORMAT_PNG: "PNG",
    pb.IMAGE_FORMAT_JPEG: "JPEG",
    pb.IMAGE_FORMAT_WEBP: "WEBP",
    pb.IMAGE_FORMAT_TIFF: "TIFF",
}


def read_file(content: bytes) -> tuple[Pixels, pb.ImageFormat]:
    """The image of a file, and the file's format.

    Raises:
        ValueError: It cannot be read, or not without Pillow.
    """
    image = read_png(content)
    if image is not None:
        return image, pb.IMAGE_FORMAT_PNG
    pillow = _pillow()
    try:
        opened = pillow.open(io.BytesIO(content))
    except OSError as error:
        raise ValueError("the file is no image") from error
    formats = {name: value for value, name in PILLOW_NAMES.items()}
    return np.asarray(opened.convert("RGB")), formats[opened.format]


def write_file(image: Pixels, image_format: pb.ImageFormat, encoding: pb.EncodingOptions) -> bytes:
    """The file of an image.

    Raises:
        ValueError: It cannot be written, or not without Pillow.
    """
    if image_format == pb.IMAGE_FORMAT_PNG:
        return write_png(image)
    if image.dtype != np.uint8:
        raise ValueError("the fake writes 16-bit files as PNG only")
    options: dict[str, Any] = {"quality": encoding.quality} if encoding.HasField("quality") else {}
    if image_format == pb.IMAGE_FORMAT_WEBP:
        options["lossless"] = encoding.lossless if encoding.HasField("lossless") else not options
    file = io.BytesIO()
    _pillow().fromarray(image).save(file, PILLOW_NAMES[image_format], **options)
    return file.getvalue()


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError as error:
        raise ValueError("without Pillow the fake knows PNG files of 8- and 16-bit RGB only") from error
