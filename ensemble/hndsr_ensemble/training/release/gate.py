"""The rule by which a candidate is let through: it is worse nowhere, as far as the declared images can tell.

What is compared are differences image by image, so that how hard an image is cancels. A difference counts from two of
its standard errors on. A rule cannot see more than its images show: with few or very unlike images a small loss passes,
which is why every comparison is published with its error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.methods import BICUBIC
from hndsr_ensemble.evaluation.tables import Table
from hndsr_ensemble.training.errors import TrainingError

LEAST_IMAGES: Final = 8
"""Images of a set below which a standard error says next to nothing."""
ERRORS: Final = 2.0
"""Standard errors from which on a loss is one."""
EQUAL_DB: Final = 100.0
"""What a PSNR counts at most, that of equal images included: about one grey level in one sample of a tile."""

CANDIDATE_PRIOR, CANDIDATE_DIFFUSION = "this model, prior", "this model, 4 steps"
CURRENT_PRIOR, CURRENT_DIFFUSION = "weights before, prior", "weights before, 4 steps"

RULE: Final = (
    f"Worse means: the mean of the differences, image by image over one set at one scale, is below zero by more than "
    f"{ERRORS:g} of its standard errors; PSNRs above {EQUAL_DB:g} dB count as that. A release is refused when on any "
    f"set, at any scale, the RGB PSNR of its prior is worse than bicubic's or than that of the weights before it, or "
    f"the consistency of its diffusion in 4 steps is worse than theirs. A set has at least {LEAST_IMAGES} different "
    f"images, none of which was trained on."
)


class SmallSetError(TrainingError):
    """A set has too few images to judge by."""

    def __init__(self, *, name: str, images: int) -> None:
        super().__init__(f"the set {name} has {images} different images to judge by, {LEAST_IMAGES} are needed")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of the candidate against another row's, on one set at one scale."""

    set_name: str
    scale: str
    figure: str
    """What is compared, in words."""
    against: str
    """The other row."""
    ours_db: float
    theirs_db: float
    difference_db: float
    """Mean of the paired differences; the candidate is better where it is positive."""
    error_db: float
    """Its standard error."""
    images: int

    @property
    def is_worse(self) -> bool:
        """Whether the candidate loses beyond chance; also where a figure is no number."""
        return not self.difference_db >= -ERRORS * self.error_db

    def __str__(self) -> str:
        return (
            f"{self.figure} on {self.set_name} at ×{self.scale}: {self.ours_db:.3f} dB against {self.theirs_db:.3f} dB "
            f"of {self.against}, {self.difference_db:+.3f} ± {self.error_db:.3f} dB over {self.images} images"
        )


def judge(tables: Mapping[str, list[Table]]) -> list[Comparison]:
    """Every comparison that the rule asks for.

    Args:
        tables: of each set by its name, one for each scale, with the rows of candidate and current.

    Raises:
        SmallSetError: too few images of a set could be measured.
    """
    return [comparison for name, measured in tables.items() for table in measured for comparison in _of(name, table)]


def _of(set_name: str, table: Table) -> list[Comparison]:
    prior, diffusion = "RGB PSNR of the prior", "consistency of 4 steps"
    pairs = (
        (prior, "psnr", CANDIDATE_PRIOR, BICUBIC),
        (prior, "psnr", CANDIDATE_PRIOR, CURRENT_PRIOR),
        (diffusion, "consistency", CANDIDATE_DIFFUSION, CURRENT_DIFFUSION),
    )
    comparisons = []
    for figure, measure, ours, theirs in pairs:
        mine, others = (_capped(table.row(name).figure(measure)) for name in (ours, theirs))
        difference = mine.minus(others)
        images = len(difference.measured)
        if images < LEAST_IMAGES:
            raise SmallSetError(name=set_name, images=images)
        facts = (mine.mean, others.mean, difference.mean, difference.error, images)
        comparisons.append(Comparison(set_name, str(table.scale), figure, theirs, *facts))
    return comparisons


def _capped(figure: Figure) -> Figure:
    """Without infinities: one pair of equal pictures would outweigh all others, or hide them."""
    return Figure(tuple(value if math.isnan(value) else min(value, EQUAL_DB) for value in figure.values))
