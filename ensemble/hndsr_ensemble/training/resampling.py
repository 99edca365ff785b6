"""Antialiased bicubic reduction as matrix products, to the bit what Pillow makes of 8-bit images.

Pillow works row by row first, then column by column, with integer weights of `PRECISION_BITS` after the point, and
rounds to 8 bits after each. Products of such weights with bytes, and their sums, stay below 2³², so that float64 holds
them exactly, in whatever order a device adds them up.

Source: Pillow, src/libImaging/Resample.c: `precompute_coeffs`, `normalize_coeffs_8bpc` and
`ImagingResampleHorizontal_8bpc`; Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 4 with
a = -1/2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

PRECISION_BITS = 32 - 8 - 2
SUPPORT = 2.0
"""Radius of the kernel in target pixels."""


def reduce_bicubic_batch(images: UInt8[Tensor, "n 3 h w"], size_px: int) -> UInt8[Tensor, "n 3 {size_px} {size_px}"]:
    """Reduce images to `size_px` a side: the same bytes as Pillow's `resize((size_px, size_px), BICUBIC)`."""
    height, width = images.shape[-2:]
    rows, columns = (_weights_on(side, size_px, images.device) for side in (height, width))
    across = images if width == size_px else _rounded(images.double() @ columns.T)
    return across if height == size_px else _rounded(rows @ across.double())


def _rounded(sums: Float64[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
    # What Pillow does with a shift to the right, which rounds towards minus infinity.
    half, unit = 1 << (PRECISION_BITS - 1), 1 << PRECISION_BITS
    return ((sums + half) / unit).floor().clamp(0, 255).to(torch.uint8)


@lru_cache(maxsize=1024)
def _weights_on(source_px: int, target_px: int, device: torch.device) -> Float64[Tensor, "target source"]:
    return torch.from_numpy(bicubic_weights(source_px, target_px)).to(device)


def bicubic_weights(source_px: int, target_px: int) -> Float64[np.ndarray, "{target_px} {source_px}"]:
    """Pillow's integer weights of every source pixel in every target pixel along one axis.

    Computed number by number in the order of the original, since other orders round differently.
    """
    scale = source_px / target_px
    stretch = max(scale, 1.0)
    weights = np.zeros((target_px, source_px))
    for target, row in enumerate(weights):
        centre = (target + 0.5) * scale
        first = max(int(centre - SUPPORT * stretch + 0.5), 0)
        last = min(int(centre + SUPPORT * stretch + 0.5), source_px)
        taps = [_cubic((source - centre + 0.5) * (1.0 / stretch)) for source in range(first, last)]
        total = 0.0
        for tap in taps:
            total += tap
        row[first:last] = [_fixed_point(tap / total) for tap in taps]
    return weights


def _fixed_point(weight: float) -> int:
    return int(math.copysign(0.5, weight) + weight * (1 << PRECISION_BITS))


def _cubic(x: float) -> float:
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0
