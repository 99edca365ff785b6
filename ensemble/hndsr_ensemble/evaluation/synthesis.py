"""What became of the detail that the source lacks: improved, omitted, or hallucinated.

Source: opensr-test: Aybar, Montero, Donike, Kalaitzis & Gómez-Chova 2024, "A comprehensive benchmark for optical remote
sensing image super-resolution", IEEE Geoscience and Remote Sensing Letters 21, the correctness measures; its code,
release 1.0 (`correctness.py`, `main.py`). Taken over from it:

- Distances per pixel, the mean absolute difference over the bands: d_ref of the enlarged source from the truth, d_im of
  the result from the truth, d_om of the result from the enlarged source; the latter two are divided by d_ref.
- Its distances to the centres of the three spaces, with its constants (λ 0.8 for improvement and omission, 0.4 for
  hallucination), where H = d_im + d_om − 1: improvement d_im + d_om·(1 − exp(−0.8·H)), omission
  d_om + d_im·(1 − exp(−0.8·H)), hallucination exp(−0.4·d_im·d_om).
- Pixels that count: those where one of the three distances exceeds the 75th percentile of d_ref ("auto75").
- Each counting pixel belongs to the nearest space; the figures are shares of the counting pixels ("percent").

Simplified or different: there is no harmonisation (neither histogram matching nor registration; sources are made from
truths here, so there is nothing to match, and a result that shifts colours or places is to pay for it). The source is
enlarged by this project's baseline, the bicubic row, not bilinearly: the row bicubic is all omission by definition.
d_ref is at least half a grey level, so that a pixel which the source already has right divides by no zero. The border
is that of all measures here, not 16 px. Figures are therefore comparable within this project only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic
from hndsr_ensemble.evaluation.metrics import BORDER_PX, Rgb, inner_parts
from hndsr_ensemble.scale import Scale

STRICTNESS, HALLUCINATION_STRICTNESS = 0.8, 0.4
"""The constants λ."""
COUNTING_QUANTILE = 0.75
LEAST_REFERENCE = 0.5
"""In grey levels."""

Distances = Float64[np.ndarray, "_height _width"]


class Shares(NamedTuple):
    """Shares of the pixels that count; they add up to 1."""

    improvement: float
    omission: float
    hallucination: float


NOTHING_COUNTS = Shares(math.nan, math.nan, math.nan)


def shares(image: Rgb, truth: Rgb, source: Rgb, *, scale: Scale, border_px: int = BORDER_PX) -> Shares:
    """Improved, omitted and hallucinated pixels; NaN where none counts: nothing was missing, and nothing was added.

    Args:
        image: the result.
        truth: what it should be.
        source: what it was made from.
        scale: from source to truth.
        border_px: cut from every side.

    Raises:
        ValueError: shapes differ, or nothing is left inside the border.
    """
    inner, reference = inner_parts(image, truth, border_px)
    enlarged, _ = inner_parts(enlarge_bicubic(source, scale), truth, border_px)
    ours, wanted, given = (picture.astype(np.float64) for picture in (inner, reference, enlarged))
    reference, improving, omitting = _distance(given, wanted), _distance(ours, wanted), _distance(ours, given)
    threshold = np.quantile(reference, COUNTING_QUANTILE, method="inverted_cdf")
    counting = (reference > threshold) | (improving > threshold) | (omitting > threshold)
    if not counting.any():
        return NOTHING_COUNTS
    least = np.maximum(reference[counting], LEAST_REFERENCE)
    nearest = _spaces(improving[counting] / least, omitting[counting] / least).argmin(axis=0)
    return Shares(*(float((nearest == space).mean()) for space in range(3)))


def _distance(
    picture: Float64[np.ndarray, "_height _width 3"], other: Float64[np.ndarray, "_height _width 3"]
) -> Distances:
    return np.abs(picture - other).mean(axis=-1)


def _spaces(improving: Float64[np.ndarray, "n"], omitting: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "3 n"]:
    """Distances to the centres of improvement, omission and hallucination."""
    beyond = 1 - np.exp(-STRICTNESS * (improving + omitting - 1))
    return np.stack(
        [
            improving + omitting * beyond,
            omitting + improving * beyond,
            np.exp(-HALLUCINATION_STRICTNESS * improving * omitting),
        ]
    )
