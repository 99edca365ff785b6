"""How sharp an image is, whatever its contrast."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

DIGITS: Final = 6
"""Significant ones that are kept, so that machines agree."""


class Spread:
    """A variance that is summed up piece by piece."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: Float32[np.ndarray, "..."]) -> None:
        """Take values in.

        Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample
        variances", eq. 2.1.
        """
        count, mean = values.size, float(values.mean(dtype=np.float64))
        total, gap = self._count + count, mean - self._mean
        self._squares += float(values.var(dtype=np.float64)) * count + gap**2 * self._count * count / total
        self._mean += gap * count / total
        self._count = total

    @property
    def variance(self) -> float:
        """Of all values so far; 0 of none."""
        return self._squares / self._count if self._count else 0.0


def sharpness(pictures: Iterable[Float32[np.ndarray, "_height _width"]]) -> float:
    """Variance of the Laplacian over the variance of the luminance, of all pieces of an image together.

    0 where the luminance does not vary; white noise has 20. Neither brightness nor contrast changes it.

    Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy: a comparative study", eq. 5, the
    variance of the Laplacian; here over the luminance's own variance.
    """
    edges, levels = Spread(), Spread()
    for picture in pictures:
        edges.add(ndimage.laplace(picture, mode="nearest"))
        levels.add(picture)
    ratio = edges.variance / levels.variance if levels.variance > 0 else 0.0
    return float(f"{ratio:.{DIGITS}g}")
