"""Numbers of a table with their uncertainty: a value for each image, their mean, and its standard error by scenes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one row: a value for each image in the table's order, NaN where it cannot be measured."""

    values: tuple[float, ...]
    scenes: tuple[str, ...] = ()
    """What each image shows, in the same order: images of one scene are no independent observations. None: all differ.
    """

    def __post_init__(self) -> None:
        if len(self.scenes) not in {0, len(self.values)}:
            raise ValueError(f"{len(self.values)} values cannot be of {len(self.scenes)} scenes")

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
    def observations(self) -> int:
        """How many different scenes could be measured."""
        return len(self._by_scene())

    @property
    def error(self) -> float:
        """Standard error of the mean, from the scatter between scenes; NaN for fewer than two scenes.

        Source: Liang & Zeger 1986, "Longitudinal data analysis using generalized linear models", section 2, for a mean:
        √(K/(K − 1) · Σₖ (Σᵢ (xᵢ − x̄))²)/n over n images i of K scenes k. With one image a scene it is s/√n.
        """
        measured, scenes = self.measured, self._by_scene()
        if len(scenes) < 2 or not all(math.isfinite(value) for value in measured):
            return math.nan
        mean, count = self.mean, len(scenes)
        squares = sum(sum(value - mean for value in values) ** 2 for values in scenes)
        return math.sqrt(count / (count - 1) * squares) / len(measured)

    def minus(self, other: Figure) -> Figure:
        """The paired differences: image by image, so that what makes an image hard cancels.

        Raises:
            ValueError: the figures are of different numbers of images.
        """
        return Figure(tuple(ours - theirs for ours, theirs in zip(self.values, other.values, strict=True)), self.scenes)

    def at(self, places: Sequence[int]) -> Figure:
        """Of some of the images."""
        scenes = tuple(self.scenes[place] for place in places) if self.scenes else ()
        return Figure(tuple(self.values[place] for place in places), scenes)

    def _by_scene(self) -> list[list[float]]:
        """The values that are numbers."""
        scenes = defaultdict[str, list[float]](list)
        for place, value in enumerate(self.values):
            if not math.isnan(value):
                scenes[self.scenes[place] if self.scenes else str(place)].append(value)
        return list(scenes.values())
