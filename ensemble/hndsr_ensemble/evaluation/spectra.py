"""How much energy a result has in each octave of frequency, next to the truth."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from hndsr_ensemble.evaluation.metrics import BORDER_PX, Rgb, inner_parts

OCTAVES_PX = ((2, 4), (4, 8), (8, 16), (16, 32))
"""Wavelengths from … up to … pixels, finest first; the diagonal's waves, shorter than 2 px, count with the finest."""
ROUNDING = 1 / 12
"""Variance of what rounding to whole grey levels leaves."""


def octave_ratios(image: Rgb, truth: Rgb, *, border_px: int = BORDER_PX) -> tuple[float, ...]:
    """Energy of `image` over that of `truth` in each of `OCTAVES_PX`; 1 is as much.

    The energy is the power spectrum, summed over the bands, at the octave's radial frequencies, of the image without
    its mean under a Hann window, as in `metrics.high_frequency_ratio`. What is below the energy that rounding to 8 bits
    leaves counts as that: a ratio is always a positive number. NaN where the image is too small for the octave.

    Raises:
        ValueError: shapes differ, or nothing is left inside the border.
    """
    inner, reference = inner_parts(image, truth, border_px)
    found, wanted = _octave_energies(inner), _octave_energies(reference)
    return tuple(ours / its if its else math.nan for ours, its in zip(found, wanted, strict=True))


def spectrum_distance(ratios: tuple[float, ...]) -> float:
    """Mean over the octaves of |log₂ ratio|: too little and too much are alike, and 0 is the truth's spectrum."""
    measured = [abs(math.log2(ratio)) for ratio in ratios if not math.isnan(ratio)]
    return sum(measured) / len(measured) if measured else math.nan


def _octave_energies(image: Rgb) -> tuple[float, ...]:
    values = image.astype(np.float64)
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    values = (values - values.mean(axis=(0, 1))) * window[..., None]
    power = (np.abs(np.fft.fft2(values, axes=(0, 1))) ** 2).sum(axis=-1)
    frequency = _frequencies(image.shape[0], image.shape[1])
    energies = []
    for shortest, longest in OCTAVES_PX:
        # Up to the corner of the plane in the finest octave: those waves are finer still.
        highest = math.inf if shortest == 2 else 1 / shortest
        within = (frequency > 1 / longest) & (frequency <= highest)
        rounding = float((window**2).sum()) * image.shape[2] * ROUNDING * int(within.sum())
        energies.append(max(float(power[within].sum()), rounding))
    return tuple(energies)


def _frequencies(height: int, width: int) -> Float64[np.ndarray, "{height} {width}"]:
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
