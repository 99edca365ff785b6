"""Numbers of a table with their uncertainty: a value for each image, their mean, and the standard error of the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one row: a value for each image in the table's order, NaN where it cannot be measured."""

    values: tuple[float, ...]

    @property
    def measured(self) -> tuple[float, ...]:
        """The values that are numbers; PSNR of equal images is infinite."""
        return tuple(value for value in self.values if not math.isnan(value))

    @property
    def mean(self) -> float:
        """Over the images that could be measured; NaN if there is none."""
        measured = self.measured
        return sum(measured) / len(measured) if measured else math.nan

    @property
    def error(self) -> float:
        """Standard error of the mean, from the scatter between images; NaN for fewer than two images.

        Source: s/√n with the sample's standard deviation s (divisor n − 1).
        """
        measured = self.measured
        if len(measured) < 2 or not all(math.isfinite(value) for value in measured):
            return math.nan
        mean, count = self.mean, len(measured)
        return math.sqrt(sum((value - mean) ** 2 for value in measured) / (count - 1) / count)

    def minus(self, other: Figure) -> Figure:
        """The paired differences: image by image, so that what makes an image hard cancels.

        Raises:
            ValueError: the figures are of different numbers of images.
        """
        return Figure(tuple(ours - theirs for ours, theirs in zip(self.values, other.values, strict=True)))

    def at(self, places: Sequence[int]) -> Figure:
        """Of some of the images."""
        return Figure(tuple(self.values[place] for place in places))
