"""A gain on the band above the source's Nyquist frequency: the cheapest way to look sharp, and so the control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.fft import dctn, idctn
from scipy.optimize import brentq

from hndsr_ensemble.evaluation.metrics import Rgb, high_frequency_ratio
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError

MAX_GAIN = 32.0
GAIN_TOLERANCE = 1e-3

Band = Float64[np.ndarray, "_height _width 3"]


class GainError(TrainingError):
    """No gain gives the prior the energy that is wanted."""

    def __init__(self, *, wanted: float, least: float, most: float) -> None:
        super().__init__(
            f"no gain up to {MAX_GAIN:g} gives the prior a high-frequency ratio of {wanted:.3f}; it reaches "
            f"{least:.3f} to {most:.3f}. The images for validation may have no detail of their own"
        )


@dataclass(frozen=True, slots=True)
class Split:
    """A picture in two parts whose sum it is."""

    below: Band
    above: Band
    """What the source's grid cannot carry."""

    @classmethod
    def of(cls, picture: Rgb, scale: Scale) -> Split:
        """Split at the source's Nyquist frequency along either axis: 1 / (2 · scale) cycles per target pixel.

        The cosine transform continues the picture by its mirror image, so that no edge wraps around.
        """
        values = picture.astype(np.float64)
        spectrum = dctn(values, axes=(0, 1), norm="ortho")
        rows, columns = (_above_nyquist(length, scale) for length in picture.shape[:2])
        spectrum[~(rows[:, None] | columns)] = 0
        above = np.asarray(idctn(spectrum, axes=(0, 1), norm="ortho"))
        return cls(values - above, above)

    def with_gain(self, gain: float) -> Rgb:
        """The picture with its upper band multiplied, rounded to 8 bits."""
        return np.floor(np.clip(self.below + gain * self.above, 0, 255) + 0.5).astype(np.uint8)


def sharpen(picture: Rgb, scale: Scale, gain: float) -> Rgb:
    """Multiply all that the source's grid cannot carry by `gain`; 1 leaves the picture as it is."""
    return Split.of(picture, scale).with_gain(gain)


def match_gain(priors: Sequence[Rgb], truths: Sequence[Rgb], scale: Scale, *, wanted: float) -> float:
    """The gain that gives priors a mean `metrics.high_frequency_ratio` of `wanted`.

    Args:
        priors: one or more, at the target's resolution.
        truths: of the same size.
        scale: from source to target.
        wanted: mean ratio of another row on the same images.

    Raises:
        GainError: none does.
    """
    pairs = [(Split.of(prior, scale), truth) for prior, truth in zip(priors, truths, strict=True)]

    def excess(gain: float) -> float:
        return mean_ratio([high_frequency_ratio(split.with_gain(gain), truth) for split, truth in pairs]) - wanted

    least, most = excess(0.0), excess(MAX_GAIN)
    if not (math.isfinite(wanted) and least <= 0 <= most):
        raise GainError(wanted=wanted, least=least + wanted, most=most + wanted)
    return float(brentq(excess, 0.0, MAX_GAIN, xtol=GAIN_TOLERANCE))


def mean_ratio(ratios: Sequence[float]) -> float:
    """Mean of high-frequency ratios; those of truths without any detail, which are infinite, are left out."""
    counted = [ratio for ratio in ratios if math.isfinite(ratio)]
    return sum(counted) / len(counted) if counted else math.nan


def _above_nyquist(length: int, scale: Scale) -> np.ndarray:
    """Of each coefficient of the cosine transform, whose k-th has k / (2 · length) cycles per pixel."""
    return np.arange(length) * scale.numerator > length * scale.denominator
