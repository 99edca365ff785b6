"""A gain on the band above the source's Nyquist frequency: the cheapest way to look sharp, and so the control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.fft import dctn, idctn
from scipy.optimize import brentq

from hndsr_ensemble.evaluation.metrics import BORDER_PX, ROUNDING, Rgb, inner_parts
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError

MAX_GAIN = 32.0
GAIN_TOLERANCE = 1e-3

Band = Float64[np.ndarray, "_height _width 3"]


class GainError(TrainingError):
    """No gain gives the prior the energy that is wanted."""

    def __init__(self, *, wanted: float, least: float, most: float) -> None:
        super().__init__(
            f"no gain up to {MAX_GAIN:g} gives the prior {wanted:.3f} of the truth's energy above the source's Nyquist "
            f"frequency; it reaches {least:.3f} to {most:.3f}. Images for validation may have no detail of their own"
        )


class Fit(NamedTuple):
    """A gain, and what it was fixed by: energies of the band that it acts on, over the truth's, on all images."""

    gain: float
    reached: float
    """Of the prior with this gain."""
    wanted: float
    """Of the row that it is to be like."""


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
        spectrum[~_above_nyquist(picture, scale)] = 0
        above = np.asarray(idctn(spectrum, axes=(0, 1), norm="ortho"))
        return cls(values - above, above)

    def with_gain(self, gain: float) -> Rgb:
        """The picture with its upper band multiplied, rounded to 8 bits."""
        return np.floor(np.clip(self.below + gain * self.above, 0, 255) + 0.5).astype(np.uint8)


def sharpen(picture: Rgb, scale: Scale, gain: float) -> Rgb:
    """Multiply all that the source's grid cannot carry by `gain`; 1 leaves the picture as it is."""
    return Split.of(picture, scale).with_gain(gain)


def match_gain(priors: Sequence[Rgb], scale: Scale, *, wanted: float, truth: float) -> Fit:
    """The gain that gives priors together as much energy in the band that it acts on as is wanted.

    Energies are added up over all images before they are compared, so that a row which draws on water or sand asks for
    no more sharpening than what it draws there weighs.

    Args:
        priors: one or more, at the target's resolution.
        scale: from source to target.
        wanted: `energy_beyond` of another row, of all these images.
        truth: the truth's.

    Raises:
        GainError: none does.
    """
    splits = [Split.of(prior, scale) for prior in priors]

    def reached(gain: float) -> float:
        energy = sum(energy_beyond(split.with_gain(gain), scale) for split in splits)
        return energy / truth if truth else math.nan

    ratio = wanted / truth if truth else math.nan
    least, most = reached(0.0), reached(MAX_GAIN)
    if not least <= ratio <= most:
        raise GainError(wanted=ratio, least=least, most=most)
    gain = float(brentq(lambda gain: reached(gain) - ratio, 0.0, MAX_GAIN, xtol=GAIN_TOLERANCE))
    return Fit(gain, reached(gain), ratio)


def energy_beyond(picture: Rgb, scale: Scale, *, border_px: int = BORDER_PX) -> float:
    """Energy of exactly what `sharpen` multiplies: all that the source's grid cannot carry.

    Raises:
        ValueError: nothing is left inside the border.
    """
    inner, _ = inner_parts(picture, picture, border_px)
    # A flat picture has none, to the last bit.
    spectrum = dctn(inner - inner.mean(axis=(0, 1)), axes=(0, 1), norm="ortho")
    return float((spectrum[_above_nyquist(inner, scale)] ** 2).sum())


def beyond_source(image: Rgb, truth: Rgb, scale: Scale, *, border_px: int = BORDER_PX) -> float:
    """`energy_beyond` of `image` over that of `truth`; NaN for a truth with no more than rounding leaves.

    Raises:
        ValueError: shapes differ, or nothing is left inside the border.
    """
    inner, reference = inner_parts(image, truth, border_px)
    wanted = energy_beyond(reference, scale, border_px=0)
    rounding = ROUNDING * reference.shape[2] * int(_above_nyquist(reference, scale).sum())
    return energy_beyond(inner, scale, border_px=0) / wanted if wanted > rounding else math.nan


def _above_nyquist(picture: Rgb, scale: Scale) -> Bool[np.ndarray, "_height _width"]:
    """Of each wave of the cosine transform, whose k-th along an axis has k / (2 · length) cycles per pixel."""
    rows, columns = (np.arange(length) * scale.numerator > length * scale.denominator for length in picture.shape[:2])
    return rows[:, None] | columns
