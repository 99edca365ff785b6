"""Whether a result is near the truth in brightness, and whether it still is its own source when it is reduced again."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.metrics import BORDER_PX, Mean, Rgb, inner_parts, psnr, psnr_of
from hndsr_ensemble.scale import Scale

Luma = Float64[np.ndarray, "_height _width"]

LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255
LUMA_BLACK = 16.0


def luma(image: Rgb) -> Luma:
    """Y of Y′CbCr in studio range, 16 to 235, not rounded.

    Source: ITU-R BT.601-7, section 2.5, as MATLAB's `rgb2ycbcr` computes it for doubles: 16 + (65.481 R + 128.553 G +
    24.966 B) / 255 for samples of 0…255.
    """
    return image @ LUMA_WEIGHTS + LUMA_BLACK


def psnr_y(image: Rgb, truth: Rgb, *, border_px: int = BORDER_PX) -> float:
    """Peak signal-to-noise ratio of `luma` in dB, as the literature on super-resolution reports it.

    The data range is 255, although `luma` spans 219: that is the literature's habit, and worth 1.3 dB.

    Raises:
        ValueError: shapes differ, or nothing is left inside the border.
    """
    inner, reference = inner_parts(image, truth, border_px)
    squared = (luma(inner) - luma(reference)) ** 2
    return psnr_of(Mean(float(squared.sum()), squared.size), data_range=255.0)


def consistency(image: Rgb, source: Rgb, scale: Scale, *, border_px: int = BORDER_PX) -> float:
    """PSNR in dB between the reduced result and the source it was made from: it should say nothing else than that.

    The result is reduced as the truth was. The border is `border_px` of the target, in whole source pixels. A truth
    whose source was cut off at no edge is infinitely consistent; noise that the reduction averages out is cheap, false
    detail that survives it is not.

    Raises:
        ValueError: nothing is left inside the border.
    """
    again = reduce_bicubic(image, scale.numerator, scale.denominator)
    height, width = (min(ours, its) for ours, its in zip(again.shape[:2], source.shape[:2], strict=True))
    return psnr(again[:height, :width], source[:height, :width], border_px=math.ceil(border_px / float(scale)))
