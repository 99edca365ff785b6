"""Image files to pictures."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageCms
from rasterio._err import CPLE_BaseError, CPLE_OutOfMemoryError
from rasterio.errors import RasterioError

from hndsr_gateway.errors import DamagedImageError, ImageTooLargeError
from hndsr_gateway.images import exif, jpeg, png, tiff, tiff_layout, webp
from hndsr_gateway.images.colour import fitting_icc
from hndsr_gateway.images.content import Content
from hndsr_gateway.images.formats import sniff
from hndsr_gateway.images.picture import Attributes, Enlarged, ImageFormat, Picture
from hndsr_gateway.types import Raster

logger = logging.getLogger("hndsr_gateway.images")

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked before Pillow sees the file

FOREIGN = (
    *(OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, RuntimeError),
    *(struct.error, zlib.error, RasterioError, CPLE_BaseError, ImageCms.PyCMSError),
)
"""What the libraries throw at damaged files, and what defects of ours may throw."""
OUT_OF_MEMORY = ("out of memory", "cannot allocate", "no space for")


@dataclass(frozen=True, slots=True)
class Reader:
    """How files of one format are read: their size first."""

    measure: Callable[[bytes], tuple[int, int]]
    read: Callable[[bytes], Content]


def _nothing(_: int) -> None:
    pass


READERS = {
    ImageFormat.PNG: Reader(png.measure, png.read),
    ImageFormat.JPEG: Reader(jpeg.measure, jpeg.read),
    ImageFormat.WEBP: Reader(webp.measure, webp.read),
    ImageFormat.TIFF: Reader(tiff_layout.measure, tiff.read),
}


def decode(
    encoded: bytes,
    *,
    max_px: int,
    enlarged: Enlarged | None = None,
    measured: Callable[[int], None] = _nothing,
) -> Picture:
    """Decode an image file; its size is checked before a pixel is.

    Args:
        encoded: the file.
        max_px: what it may have.
        enlarged: what is to become of it, where that is limited as well.
        measured: told how many pixels it has, before one is decoded.

    Raises:
        EmptyImageError: for no bytes at all.
        UnsupportedFormatError: for a file of a kind that is not read.
        DamagedImageError: for a file that is cut off or contradicts itself.
        ImageTooLargeError: for more pixels, itself or enlarged.
        DecompressionBombError: for a file that takes far more work than its pixels are worth.
        MemoryError: if there is too little for it.
    """
    image_format = sniff(encoded)
    try:
        reader = READERS[image_format]
        measured(_pixels(encoded, reader, max_px, enlarged))
        content = reader.read(encoded)
    except FOREIGN as error:
        if _is_starved(error):
            raise MemoryError from error
        logger.warning("a file is refused as damaged", exc_info=True)
        raise DamagedImageError(f"the {image_format.value} file is damaged") from error
    return _upright(content, image_format)


def _pixels(encoded: bytes, reader: Reader, max_px: int, enlarged: Enlarged | None) -> int:
    height, width = reader.measure(encoded)
    if not height or not width:
        raise DamagedImageError("the image file says that it has no pixel")
    if height * width > max_px:
        raise ImageTooLargeError(which="sent", height=height, width=width, limit_px=max_px)
    if enlarged is not None:
        _check_enlarged(height, width, enlarged)
    return height * width


def _check_enlarged(height: int, width: int, enlarged: Enlarged) -> None:
    rows, columns = enlarged.size(height, width)
    if rows * columns > enlarged.max_px:
        raise ImageTooLargeError(which="target", height=rows, width=columns, limit_px=enlarged.max_px)


def _is_starved(error: BaseException) -> bool:
    """Whether memory ran out, which the libraries say in their own ways."""
    return any(
        isinstance(cause, CPLE_OutOfMemoryError) or any(sign in str(cause).lower() for sign in OUT_OF_MEMORY)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _upright(content: Content, image_format: ImageFormat) -> Picture:
    turn = exif.orientation(content.exif)
    pixels = oriented(content.pixels, turn)
    alpha = None if content.alpha is None else oriented(content.alpha, turn)
    valid = None if content.valid is None else oriented(content.valid, turn)
    attributes = Attributes(
        icc=fitting_icc(content.icc, grey=content.grey),
        exif=exif.kept(content.exif),
        georeference=content.georeference,
    )
    return Picture(Raster(pixels, _mask(alpha, valid)), image_format, content.grey, alpha, attributes)


def _mask(alpha: np.ndarray | None, valid: np.ndarray | None) -> np.ndarray | None:
    """False where either says so, None where nothing is."""
    mask = valid if alpha is None else alpha != 0 if valid is None else valid & (alpha != 0)
    return None if mask is None or mask.all() else mask


def oriented(plane: Shaped[np.ndarray, "..."], orientation: int) -> Shaped[np.ndarray, "..."]:
    """A plane of pixels turned and mirrored as an orientation of 1 to 8 asks.

    Source: EXIF 3.0, 4.6.5.1.6.
    """
    turned = np.swapaxes(plane, 0, 1) if orientation >= 5 else plane
    upside_down, mirrored = orientation in {3, 4, 7, 8}, orientation in {2, 3, 6, 7}
    return np.ascontiguousarray(turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1])
