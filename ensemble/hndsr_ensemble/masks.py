"""Invalid pixels: how they travel, and how they are kept from bleeding."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

Mask = Bool[np.ndarray, "h w"]
"""True where a pixel is valid, for all bands."""


def pack_mask(mask: Mask) -> UInt8[np.ndarray, "bytes"]:
    """One bit a pixel, row-major over the whole raster, most significant bit first."""
    return np.packbits(mask, axis=None)


def unpack_mask(packed: UInt8[np.ndarray, "bytes"], *, height: int, width: int) -> Mask:
    """The inverse of `pack_mask`.

    Raises:
        ValueError: if the number of bytes does not fit the raster.
    """
    expected = -(-height * width // 8)
    if packed.size != expected:
        raise ValueError(f"a mask of {height} × {width} pixels takes {expected} bytes, not {packed.size}")
    return np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)


def fill_invalid(samples: Shaped[np.ndarray, "h w 3"], mask: Mask) -> Shaped[np.ndarray, "h w 3"]:
    """Give invalid pixels the rounded mean of the valid ones, per band: `(2·sum + count) // (2·count)`.

    Args:
        samples: unsigned integers.
        mask: with at least one valid pixel.
    """
    valid = samples[mask].astype(np.int64)
    mean = (2 * valid.sum(axis=0) + len(valid)) // (2 * len(valid))
    return np.where(mask[..., None], samples, mean.astype(samples.dtype))
