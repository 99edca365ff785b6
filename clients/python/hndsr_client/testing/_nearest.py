"""Enlarging by the nearest neighbour, and measuring what came of it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb

MIN_SSIM_PX = 11


def target_px(side_px: int, scale: Fraction) -> int:
    """The target's side, rounded half up."""
    return max(1, int(side_px * scale + Fraction(1, 2)))


def enlarge(image: npt.NDArray[Any], scale: Fraction) -> npt.NDArray[Any]:
    """Each target pixel is the source pixel that its centre lies in."""
    rows, columns = (
        np.minimum(side - 1, (2 * np.arange(target_px(side, scale)) + 1) * scale.denominator // (2 * scale.numerator))
        for side in image.shape[:2]
    )
    return image[rows][:, columns]


def measure(image: npt.NDArray[Any], reference: npt.NDArray[Any]) -> pb.Quality:
    """PSNR as it is, and SSIM with the whole image as its one window.

    Raises:
        ValueError: The images differ in size or sample type.
    """
    if image.shape != reference.shape or image.dtype != reference.dtype:
        raise ValueError(
            f"the image is {image.dtype} of {image.shape}, its reference {reference.dtype} of {reference.shape}"
        )
    peak = float(np.iinfo(image.dtype).max)
    error = float(np.mean((image.astype(float) - reference.astype(float)) ** 2))
    quality = pb.Quality(psnr_db=10 * math.log10(peak**2 / error) if error else math.inf)
    if min(image.shape[:2]) >= MIN_SSIM_PX:
        quality.ssim = _similarity(image.astype(float), reference.astype(float), peak)
    return quality


def _similarity(one: npt.NDArray[Any], other: npt.NDArray[Any], peak: float) -> float:
    """Source: Wang et al. 2004, eq. 13."""
    first, second = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    covariance = float(np.mean((one - one.mean()) * (other - other.mean())))
    structure = (2 * covariance + second) / (one.var() + other.var() + second)
    return float((2 * one.mean() * other.mean() + first) / (one.mean() ** 2 + other.mean() ** 2 + first) * structure)
