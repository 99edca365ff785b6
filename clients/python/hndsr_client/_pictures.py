"""Pictures for people: pixels of anything that holds an image, made visible."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._core.pixels import Mask, Pixels
from hndsr_client.errors import ArgumentError, LocalFileError
from hndsr_client.results import Upscaled

try:
    from PIL import Image, ImageOps, UnidentifiedImageError
except ImportError as error:
    raise ImportError(
        "pictures need Pillow, which is not installed; install it with: pip install 'hndsr-client[notebook]'"
    ) from error

AnyImage = npt.NDArray[Any] | Upscaled | bytes | str | os.PathLike[str]
"""An array (height, width, 3) of uint8 or uint16, what `upscale` answers, an image file's content, or its path."""


_WIDE_MODES = {"I": "integers of 32 bits, or with a sign", "F": "floats"}
"""Pillow's modes that it narrows to 8 bits by clipping."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image's samples, (height, width, 3), and which of its pixels are valid, None for all."""

    pixels: Pixels
    mask: Mask | None

    @property
    def valid(self) -> Pixels:
        """The samples of the valid pixels, (any, 3)."""
        return self.pixels.reshape(-1, 3) if self.mask is None else self.pixels[self.mask]


def picture_of(image: AnyImage, mask: Mask | None = None) -> Picture:
    """The picture of an image; the mask takes the place of its own.

    Raises:
        ArgumentError: The image or its mask is of another kind, type or shape, or no image file.
        LocalFileError: The file cannot be read.
    """
    if isinstance(image, Upscaled):
        pixels, own = image.image, image.mask
    elif isinstance(image, (bytes, str, os.PathLike)):
        pixels, own = _read(image)
    else:
        pixels, own = image, None
    return _checked(pixels, own if mask is None else mask)


def value_range(pixels: Pixels) -> tuple[int, int]:
    """The samples to be shown as black and white: 0 and 255 of 8 bits, the 2nd and 98th percentile of 16."""
    if pixels.dtype == np.uint8:
        return 0, 255
    if pixels.size == 0:
        return 0, 65_535
    low, high = np.percentile(pixels, (2, 98))
    return int(low), max(int(high), int(low) + 1)


def shown(picture: Picture, *, samples: tuple[int, int], max_side_px: int) -> Image.Image:
    """The picture in 8 bits, transparent where it is invalid, reduced to sides of at most so many pixels.

    Args:
        picture: What to show.
        samples: Those that become black and white.
        max_side_px: The longest side that is left as it is.
    """
    bands = _stretched(picture.pixels, *samples)
    if picture.mask is not None:
        bands = np.dstack([bands, np.where(picture.mask, np.uint8(255), np.uint8(0))])
    image = Image.fromarray(bands)
    image.thumbnail((max_side_px, max_side_px), Image.Resampling.BOX, reducing_gap=None)
    return image


def data_uri(image: Image.Image) -> str:
    """The image as a PNG file in an address, which needs no file beside a page."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _stretched(pixels: Pixels, low: int, high: int) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    levels = np.rint((pixels.astype(np.float32) - low) * np.float32(255 / (high - low)))
    return np.clip(levels, 0, 255).astype(np.uint8)


def _checked(image: Any, mask: Mask | None) -> Picture:
    if not isinstance(image, np.ndarray):
        raise ArgumentError(f"the image is {type(image).__name__}, accepted are an array, Upscaled, bytes and a path")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ArgumentError(f"the image's shape is {image.shape}, accepted is (height, width, 3)")
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        raise ArgumentError(f"the image's dtype is {image.dtype}, accepted are uint8 and uint16")
    if mask is not None:
        _check_mask(mask, image.shape[:2])
    return Picture(image.astype(image.dtype.newbyteorder("="), copy=False), mask)


def _check_mask(mask: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(mask, np.ndarray):
        raise ArgumentError(f"the mask is {type(mask).__name__}, accepted is an array of bool of {shape}")
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise ArgumentError(f"the mask is {mask.dtype} of shape {mask.shape}, accepted is bool of {shape}")


def _read(source: bytes | str | os.PathLike[str]) -> tuple[npt.NDArray[Any], Mask | None]:
    name = "the image" if isinstance(source, bytes) else os.fspath(source)
    try:
        return _decode(source if isinstance(source, bytes) else Path(source).read_bytes())
    except _RefusedFileError as error:
        raise ArgumentError(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ArgumentError(f"{name}: more pixels than Pillow reads safely; pass a part of them as an array") from error
    except (UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise ArgumentError(f"{name}: no image file that Pillow reads; pass its pixels as an array") from error
    except OSError as error:
        raise LocalFileError(path=name, problem=(error.strerror or str(error)).lower()) from error


def _decode(content: bytes) -> tuple[npt.NDArray[Any], Mask | None]:
    """Samples and mask of an image file."""
    bands = _bands(content)
    if bands.ndim == 2:
        return np.dstack([bands] * 3), None
    return bands[..., :3], bands[..., 3] > 0 if bands.shape[2] == 4 else None


def _bands(content: bytes) -> npt.NDArray[Any]:
    """The samples, turned upright as a gateway turns them."""
    image = Image.open(io.BytesIO(content))
    sixteen = image.mode.startswith("I;16")
    if image.mode in _WIDE_MODES:
        raise _RefusedFileError(
            f"its samples are {_WIDE_MODES[image.mode]}; scale them to 8 or 16 bits and pass them as an array"
        )
    if not sixteen and any(";16" in _raw_mode(tile.args) for tile in image.tile):
        raise _RefusedFileError("it has colours of 16 bits, of which Pillow reads 8; pass its pixels as an array")
    upright = ImageOps.exif_transpose(image)
    if sixteen:
        return np.asarray(upright).astype(np.uint16)
    return np.asarray(upright.convert("RGBA" if image.has_transparency_data else "RGB"))


def _raw_mode(arguments: Any) -> str:
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


class _RefusedFileError(Exception):
    """A file that Pillow reads, but not as it is."""
