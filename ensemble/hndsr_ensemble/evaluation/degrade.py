"""How source images are made from truths, and the baseline that every result is compared with.

Source of the reduction: Pillow's BICUBIC is Keys' kernel with a = -1/2, stretched by the reduction so that it
antialiases (Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 4; Pillow,
src/libImaging/Resample.c). It works row by row first, then column by column, and rounds to 8 bits after each.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hndsr_ensemble.bicubic import TAPS, enlarge
from hndsr_ensemble.geometry import mirror
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.values import full_ranges, normalise, quantise

RgbImage = UInt8[np.ndarray, "height width 3"]

RANGES = full_ranges(np.dtype(np.uint8))


def reduce_bicubic(hr: RgbImage, numerator: int, denominator: int = 1) -> UInt8[np.ndarray, "lr_height lr_width 3"]:
    """Reduce by exactly `numerator / denominator`, antialiased.

    The result has floor(side * denominator / numerator) pixels a side, each as large as the next, so that enlarging by
    the same scale lands on the grid of `hr`. What is left at the far edges makes no pixel, but the filter reaches it.

    Args:
        hr: the truth.
        numerator: of the scale, HR pixels per LR pixel.
        denominator: of the scale; the scale is 1 or more.

    Raises:
        ValueError: the scale is below 1, or `hr` is smaller than one LR pixel.
    """
    scale = Fraction(numerator, denominator)
    if scale < 1:
        raise ValueError(f"the scale {scale} is below 1; images are reduced, not enlarged")
    height, width = (int(side / scale) for side in hr.shape[:2])
    if not height or not width:
        raise ValueError(f"an image of {hr.shape[1]} x {hr.shape[0]} px cannot be reduced by {float(scale):g}")
    box = (0, 0, float(width * scale), float(height * scale))
    return np.asarray(Image.fromarray(hr).resize((width, height), Image.Resampling.BICUBIC, box=box))


def target_px(length_px: int, scale: Scale) -> int:
    """Target pixels along one axis, as `geometry.Axis` has them for every model."""
    return max(1, (2 * length_px * scale.numerator + scale.denominator) // (2 * scale.denominator))


def enlarge_bicubic(lr: RgbImage, scale: Scale) -> UInt8[np.ndarray, "target_height target_width 3"]:
    """Enlarge on the exact grid: what the served model `bicubic` makes, and the row "bicubic" of every table.

    At whole scales it is Pillow's, but for what that rounds and clips between rows and columns, and for two source
    pixels along the edges, where Pillow leaves out what is beyond, and this mirrors it.
    """
    height, width = (target_px(length, scale) for length in lr.shape[:2])
    beyond = [mirror(np.arange(-TAPS, length + TAPS), length) for length in lr.shape[:2]]
    source = normalise(lr[np.ix_(*beyond)], RANGES)
    enlarged = enlarge(source, rows=np.arange(height), columns=np.arange(width), top=-TAPS, left=-TAPS, scale=scale)
    return quantise(enlarged.astype(np.float32), RANGES, lr.dtype)
