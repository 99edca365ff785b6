"""Samples of other kinds to RGB and back, in integers wherever the result is ours to define."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageCms

from hndsr_gateway.images.strips import strips

MAX_ICC_BYTES = 4 * 2**20
ICC_HEADER_BYTES = 128
CmykConversion = Callable[[UInt8[np.ndarray, "h w 4"]], UInt8[np.ndarray, "h w 3"]]


def icc_space(profile: bytes) -> bytes:
    """The colour space that an ICC profile is for, as its signature says; no bytes if it is no profile."""
    return profile[16:20] if len(profile) >= ICC_HEADER_BYTES and profile[36:40] == b"acsp" else b""


def fitting_icc(profile: bytes, *, grey: bool) -> bytes:
    """The profile if it is one for samples of this kind and no larger than 4 MiB, else no bytes."""
    fits = icc_space(profile) == (b"GRAY" if grey else b"RGB ") and len(profile) <= MAX_ICC_BYTES
    return profile if fits else b""


def spread(samples: UInt8[np.ndarray, "..."], *, bits: int) -> UInt8[np.ndarray, "..."]:
    """Samples of 1, 2, 4 or 8 bits over the whole range of 8."""
    return samples if bits == 8 else samples * np.uint8(255 // (2**bits - 1))


def grey_to_rgb(samples: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h w 3"]:
    """Three equal bands."""
    return np.repeat(samples[..., None], 3, axis=2)


def luma(pixels: Shaped[np.ndarray, "h w 3"]) -> Shaped[np.ndarray, "h w"]:
    """`(299·R + 587·G + 114·B + 500) // 1000`, which leaves equal bands as they are.

    Source: ITU-R BT.601, 2.5.1.
    """
    height, width, _ = pixels.shape
    grey = np.empty((height, width), dtype=pixels.dtype)
    for rows in strips(height, width):
        red, green, blue = np.moveaxis(pixels[rows].astype(np.uint32), 2, 0)
        grey[rows] = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return grey


def divide_by_alpha(
    samples: Shaped[np.ndarray, "bands h w"], alpha: Shaped[np.ndarray, "h w"]
) -> Shaped[np.ndarray, "bands h w"]:
    """Samples that were multiplied by alpha as they were before, rounded; 0 where alpha is."""
    limit = np.uint64(np.iinfo(samples.dtype).max)
    weight = alpha.astype(np.uint64)
    divided = (samples.astype(np.uint64) * limit + weight // 2) // np.maximum(weight, 1)
    return np.where(weight > 0, np.minimum(divided, limit), 0).astype(samples.dtype)


def cmyk_to_srgb(profile: bytes) -> CmykConversion:
    """How CMYK samples, 0 without ink, become sRGB: through the file's profile where it is one that lcms takes."""
    transform = _cmyk_transform(profile) if icc_space(profile) == b"CMYK" else None
    return functools.partial(_convert_cmyk, transform=transform)


def _cmyk_transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _convert_cmyk(
    samples: UInt8[np.ndarray, "h w 4"], *, transform: ImageCms.ImageCmsTransform | None
) -> UInt8[np.ndarray, "h w 3"]:
    pixels = np.empty((*samples.shape[:2], 3), dtype=np.uint8)
    for rows in strips(*samples.shape[:2]):
        image = _cmyk_image(samples[rows])
        converted = image.convert("RGB") if transform is None else ImageCms.applyTransform(image, transform)
        pixels[rows] = np.asarray(converted)
    return pixels


def _cmyk_image(samples: UInt8[np.ndarray, "h w 4"]) -> Image.Image:
    height, width, _ = samples.shape
    return Image.frombuffer("CMYK", (width, height), np.ascontiguousarray(samples), "raw", "CMYK", 0, 1)
