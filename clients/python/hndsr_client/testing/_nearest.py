"""Enlarging by the nearest neighbour, and measuring what came of it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb

BORDER_PX = 4
"""Pixels cut from every side before measuring."""
MIN_SSIM_PX = 11


def target_px(side_px: int, scale: Fraction) -> int:
    """The target's side, rounded half up."""
    return max(1, int(side_px * scale + Fraction(1, 2)))


def nearest(start_px: int, stop_px: int, side_px: int, scale: Fraction) -> npt.NDArray[np.int64]:
    """The source pixels that the centres of a side's target pixels lie in."""
    centres = 2 * np.arange(start_px, stop_px, dtype=np.int64) + 1
    return np.minimum(side_px - 1, centres * scale.denominator // (2 * scale.numerator))


def enlarge(image: npt.NDArray[Any], scale: Fraction) -> npt.NDArray[Any]:
    """Each target pixel is the source pixel that its centre lies in."""
    rows, columns = (nearest(0, target_px(side, scale), side, scale) for side in image.shape[:2])
    return image[rows][:, columns]


def measure(image: npt.NDArray[Any], reference: npt.NDArray[Any], *, data_range: float = 0.0) -> pb.Quality:
    """PSNR inside the border, whatever is valid there, and SSIM with all of it as the one window.

    Args:
        image: To be measured.
        reference: The truth.
        data_range: The span of values that both are measured against, 0 for all of the sample type.

    Raises:
        ValueError: The images differ in size or sample type, or are all border.
    """
    if image.shape != reference.shape or image.dtype != reference.dtype:
        raise ValueError(
            f"the image is {image.dtype} of {image.shape}, its reference {reference.dtype} of {reference.shape}"
        )
    one, other = (each[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX].astype(float) for each in (image, reference))
    if one.size == 0:
        raise ValueError(f"images of {image.shape} leave nothing inside a border of {BORDER_PX} px")
    peak = data_range or float(np.iinfo(image.dtype).max)
    error = float(np.mean((one - other) ** 2))
    quality = pb.Quality(psnr_db=10 * math.log10(peak**2 / error) if error else math.inf, data_range=peak)
    if min(one.shape[:2]) >= MIN_SSIM_PX:
        quality.ssim = _similarity(one, other, peak)
    return quality


def _similarity(one: npt.NDArray[Any], other: npt.NDArray[Any], peak: float) -> float:
    """Source: Wang et al. 2004, eq. 13."""
    first, second = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    covariance = float(np.mean((one - one.mean()) * (other - other.mean())))
    structure = (2 * covariance + second) / (one.var() + other.var() + second)
    return float((2 * one.mean() * other.mean() + first) / (one.mean() ** 2 + other.mean() ** 2 + first) * structure)
