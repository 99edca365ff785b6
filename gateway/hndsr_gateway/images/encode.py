"""Pictures to image files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image
from rasterio.io import MemoryFile

from hndsr_gateway.errors import OptionOutOfRangeError, OutputUnsupportedError
from hndsr_gateway.images import gdal, png
from hndsr_gateway.images.colour import fitting_icc
from hndsr_gateway.images.exif import PREFIX
from hndsr_gateway.images.picture import Encoding, ImageFormat, Picture
from hndsr_gateway.images.strips import strips
from hndsr_gateway.images.tiff_writing import write_tiff

QUALITY = 95
BEST_QUALITY = 100
PNG_LEVEL = 3
"""Of 1 to 9; 10 % smaller than 1 in a third more time, and a third of the time that 6 takes."""
WEBP_LOSSLESS_EFFORT = {"method": 0, "quality": 20}
"""Files a quarter larger than by the default effort, in a tenth of its time."""
LOSSY = (ImageFormat.JPEG, ImageFormat.WEBP)
"""Formats that may have a quality; they hold 8-bit samples only."""
MAX_SIDE_PX = {ImageFormat.JPEG: 65_500, ImageFormat.WEBP: 16_383}


def check_encoding(encoding: Encoding, *, dtype: np.dtype, masked: bool, size: tuple[int, int]) -> None:
    """Refuse what a format cannot hold before any work is spent on it.

    Args:
        encoding: what is asked for.
        dtype: of the samples.
        masked: whether the picture has a mask or alpha.
        size: height and width in pixels.

    Raises:
        OutputUnsupportedError: if the format does not hold such a picture, or has no such option.
        OptionOutOfRangeError: if the quality is none.
    """
    name = encoding.format.value
    _check_options(encoding)
    if encoding.format in LOSSY and dtype != np.uint8:
        raise OutputUnsupportedError(f"{name} files hold 8-bit samples, these have {8 * dtype.itemsize} bits")
    if encoding.format is ImageFormat.JPEG and masked:
        raise OutputUnsupportedError("JPEG files hold no alpha, and some pixels are transparent or invalid")
    limit = MAX_SIDE_PX.get(encoding.format)
    if limit is not None and max(size) > limit:
        raise OutputUnsupportedError(f"{name} files have sides of up to {limit:,} px, this one has {max(size):,} px")


def _check_options(encoding: Encoding) -> None:
    name, quality, lossless = encoding.format.value, encoding.quality, encoding.lossless
    if quality is not None and encoding.format not in LOSSY:
        raise OutputUnsupportedError(f"{name} files are lossless and have no quality", field="encoding.quality")
    if quality is not None and not 1 <= quality <= BEST_QUALITY:
        raise OptionOutOfRangeError(
            option="quality", value=quality, least=1, limit=BEST_QUALITY, path="encoding.quality"
        )
    if lossless is False and encoding.format not in LOSSY:
        raise OutputUnsupportedError(f"{name} files are always lossless here", field="encoding.lossless")
    if lossless and encoding.format is ImageFormat.JPEG:
        raise OutputUnsupportedError("JPEG files are never lossless", field="encoding.lossless")
    if lossless and quality is not None:
        raise OutputUnsupportedError(f"a lossless {name} file has no quality", field="encoding.lossless")


def encode(picture: Picture, encoding: Encoding) -> bytes:
    """Encode a picture that `check_encoding` lets pass; the same one always becomes the same bytes."""
    planes = _planes(picture, encoding.format)
    if encoding.format is ImageFormat.PNG:
        return _encode_png(planes, picture)
    if encoding.format is ImageFormat.JPEG:
        return _encode_jpeg(planes, picture, encoding)
    if encoding.format is ImageFormat.WEBP:
        return _encode_webp(planes, picture, encoding)
    return write_tiff(planes, picture)


def _alpha(picture: Picture) -> Shaped[np.ndarray, "h w"] | None:
    """The plane that says what is transparent or invalid, None where nothing can be."""
    alpha, mask, sample = picture.alpha, picture.raster.mask, picture.raster.pixels.dtype.type
    if mask is None:
        return alpha
    return np.where(mask, sample(np.iinfo(sample).max) if alpha is None else alpha, sample(0))


def _planes(picture: Picture, image_format: ImageFormat) -> Shaped[np.ndarray, "h w bands"]:
    """Samples as files have them: one or three bands of colour, then alpha."""
    pixels = picture.raster.pixels
    colours = pixels[..., :1] if picture.grey and image_format is not ImageFormat.WEBP else pixels
    alpha = None if image_format is ImageFormat.JPEG and picture.opaque else _alpha(picture)
    return np.ascontiguousarray(colours) if alpha is None else np.concatenate([colours, alpha[..., None]], axis=2)


def _saved(planes: Shaped[np.ndarray, "h w bands"], **options: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(planes[..., 0] if planes.shape[2] == 1 else planes).save(target, **options)
    return target.getvalue()


def _encode_png(planes: Shaped[np.ndarray, "h w bands"], picture: Picture) -> bytes:
    written = (
        _saved(planes, format="PNG", compress_level=PNG_LEVEL) if planes.dtype == np.uint8 else _encode_png_16(planes)
    )
    attributes = picture.attributes
    return png.with_attributes(written, icc=attributes.icc, exif=attributes.exif.removeprefix(PREFIX))


def _encode_png_16(planes: Shaped[np.ndarray, "h w bands"]) -> bytes:
    height, width, bands = planes.shape
    profile = {"driver": "PNG", "height": height, "width": width, "count": bands, "dtype": "uint16"}
    with MemoryFile() as target:
        with gdal.created(target, **profile, zlevel=PNG_LEVEL) as dataset:
            for rows in strips(height, width):
                gdal.write_rows(dataset, rows, planes[rows])
        return bytes(target.getbuffer())


def _encode_jpeg(planes: Shaped[np.ndarray, "h w bands"], picture: Picture, encoding: Encoding) -> bytes:
    return _saved(
        planes,
        format="JPEG",
        quality=encoding.quality or QUALITY,
        subsampling=0,
        icc_profile=picture.attributes.icc,
        exif=picture.attributes.exif,
    )


def _encode_webp(planes: Shaped[np.ndarray, "h w bands"], picture: Picture, encoding: Encoding) -> bytes:
    lossless = encoding.quality is None and encoding.lossless is not False
    effort = WEBP_LOSSLESS_EFFORT if lossless else {"quality": encoding.quality or QUALITY}
    return _saved(
        planes,
        format="WEBP",
        lossless=lossless,
        exact=True,
        icc_profile=fitting_icc(picture.attributes.icc, grey=False),
        exif=picture.attributes.exif,
        **effort,
    )
