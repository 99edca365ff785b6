"""How much energy a result has in each octave of frequency, next to the truth."""

from __future__ import annotations

import math

from hndsr_ensemble.evaluation.metrics import BORDER_PX, ROUNDING, Rgb, inner_parts, power_spectrum

OCTAVES_PX = ((2, 4), (4, 8), (8, 16), (16, 32))
"""Wavelengths from … up to … pixels, finest first; the diagonal's waves, shorter than 2 px, count with the finest."""


def octave_ratios(image: Rgb, truth: Rgb, *, border_px: int = BORDER_PX) -> tuple[float, ...]:
    """Energy of `image` over that of `truth` in each of `OCTAVES_PX`; 1 is as much.

    The energy is that of `metrics.power_spectrum` at the octave's radial frequencies. What is below the energy that
    rounding to 8 bits leaves counts as that: a ratio is always a positive number. NaN where the image is too small for
    the octave.

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
    power, frequency, white = power_spectrum(image)
    energies = []
    for shortest, longest in OCTAVES_PX:
        # Up to the corner of the plane in the finest octave: those waves are finer still.
        highest = math.inf if shortest == 2 else 1 / shortest
        within = (frequency > 1 / longest) & (frequency <= highest)
        rounding = white * image.shape[2] * ROUNDING * int(within.sum())
        energies.append(max(float(power[within].sum()), rounding))
    return tuple(energies)
