"""The rule by which a candidate is let through: it is worse nowhere, as far as the declared images can tell.

What is compared are differences image by image, so that how hard an image is cancels. So many figures are compared that
some would lose by chance alone; each is therefore held to a chance of a loss that, over all of them together, refuses
an equally good candidate in one of twenty releases at most. What the scatter between scenes then hides is bounded: a
loss of some size on half of the images refuses whatever the error of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from scipy.special import stdtrit

from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.measures import HIGH, MEASURES
from hndsr_ensemble.evaluation.methods import BICUBIC
from hndsr_ensemble.evaluation.tables import Table
from hndsr_ensemble.training.errors import TrainingError

LEAST_SCENES: Final = 8
"""Scenes of a set below which a standard error says next to nothing."""
CHANCE: Final = 0.05
"""Of refusing a candidate that is as good as the weights before it, over all comparisons together, at most."""
EQUAL_DB: Final = 100.0
"""What a PSNR counts at most, that of equal images included: about one grey level in one sample of a tile."""

CANDIDATE_PRIOR, CANDIDATE_DIFFUSION = "this model, prior", "this model, 4 steps"
CURRENT_PRIOR, CURRENT_DIFFUSION = "weights before, prior", "weights before, 4 steps"
BEST: Final = {entry.name: entry.best for entry in MEASURES}


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure that a candidate must not lose in."""

    title: str
    measure: str
    """Of `measures.MEASURES`, by its name."""
    unit: str
    """After a number, with a space before it."""
    ours: str
    theirs: str
    """The candidate's row, and the one it is compared with."""
    margin: float
    """A mean loss of less than this is none: another arithmetic, or another seed of the noise, costs as much."""
    most: float
    """A median loss of more than this refuses, whatever the error of the mean; one odd image does not move it."""


JUDGED: Final = (
    Judged("RGB PSNR of the prior", "psnr", " dB", CANDIDATE_PRIOR, BICUBIC, 0.02, 0.2),
    Judged("RGB PSNR of the prior", "psnr", " dB", CANDIDATE_PRIOR, CURRENT_PRIOR, 0.02, 0.2),
    Judged("consistency of 4 steps", "consistency", " dB", CANDIDATE_DIFFUSION, CURRENT_DIFFUSION, 0.05, 0.5),
    Judged("spectrum distance of 4 steps", "spectrum_distance", "", CANDIDATE_DIFFUSION, CURRENT_DIFFUSION, 0.005, 0.1),
    Judged("patch distance of 4 steps", "patch_distance", "", CANDIDATE_DIFFUSION, CURRENT_DIFFUSION, 0.001, 0.01),
)
"""On every set at every scale.

What draws nothing has the prior's spectrum, and loses there; in consistency and patches it gains. What draws noise
loses consistency and patches. What sharpens gains spectrum, and pays in consistency at larger scales.
"""

RULE: Final = (
    "A release is refused when on any set, at any scale, the RGB PSNR of its prior is worse than bicubic's or than "
    "that of the weights before it, or its diffusion in 4 steps is worse than theirs in consistency with the source, "
    "in the distance of its spectrum from the truth's, or in that of its patches. Worse means: the mean of the "
    "differences, image by image over one set at one scale, is a loss of so many of its standard errors that over all "
    f"comparisons together a candidate as good as the weights before is refused with a chance of {CHANCE:.0%} at most "
    "(Bonferroni, with Student's t over the set's scenes) beyond a margin of "
    + ", ".join(dict.fromkeys(f"{one.margin:g}{one.unit} in the {one.title}" for one in JUDGED))
    + "; or else their median is a loss of more than "
    + ", ".join(dict.fromkeys(f"{one.most:g}{one.unit} in the {one.title}" for one in JUDGED))
    + f". PSNRs above {EQUAL_DB:g} dB count as that. A set shows at least {LEAST_SCENES} scenes, in different images, "
    "none of which the weights are known to have seen."
)


class SmallSetError(TrainingError):
    """A set shows too few scenes to judge by."""

    def __init__(self, *, name: str, scenes: int) -> None:
        super().__init__(
            f"the set {name} has different images of {scenes} scenes to judge by, {LEAST_SCENES} are needed"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of the candidate against another row's, on one set at one scale."""

    set_name: str
    scale: str
    judged: Judged
    ours: float
    theirs: float
    difference: float
    """Mean of the paired differences, in the measure's unit; the candidate is better where it is positive."""
    error: float
    """Its standard error."""
    median: float
    """Of the paired differences."""
    images: int
    scenes: int
    errors: float
    """How many standard errors a loss must exceed beyond its margin to be one."""

    @property
    def least(self) -> float:
        """The mean difference that is still let through."""
        return -self.judged.margin - self.errors * self.error

    @property
    def is_worse(self) -> bool:
        """Whether the candidate loses beyond chance, or much on half of the images; also where one is no number."""
        return not (self.difference >= self.least and self.median >= -self.judged.most)

    def __str__(self) -> str:
        unit = self.judged.unit
        return (
            f"{self.judged.title} on {self.set_name} at ×{self.scale}: {self.ours:.3f}{unit} against "
            f"{self.theirs:.3f}{unit} of {self.judged.theirs}, ahead by {self.difference:+.3f} ± "
            f"{self.error:.3f}{unit} over {self.images} images of {self.scenes} scenes, median "
            f"{self.median:+.3f}{unit}; {self.least:.3f} and {-self.judged.most:g}{unit} would pass"
        )


def judge(tables: Mapping[str, Sequence[Table]]) -> list[Comparison]:
    """Every comparison that the rule asks for.

    Args:
        tables: of each set by its name, one for each scale, with the rows of candidate and current.

    Raises:
        SmallSetError: too few scenes of a set could be measured.
    """
    places = [(name, table) for name, measured in tables.items() for table in measured]
    chance = CHANCE / max(1, len(places) * len(JUDGED))
    return [_compared(name, table, judged, chance) for name, table in places for judged in JUDGED]


def _compared(set_name: str, table: Table, judged: Judged, chance: float) -> Comparison:
    ours, theirs = (_capped(table.row(name).figure(judged.measure)) for name in (judged.ours, judged.theirs))
    difference = ours.minus(theirs) if BEST[judged.measure] == HIGH else theirs.minus(ours)
    scenes = difference.observations
    if scenes < LEAST_SCENES:
        raise SmallSetError(name=set_name, scenes=scenes)
    return Comparison(
        set_name,
        str(table.scale),
        judged,
        ours=ours.mean,
        theirs=theirs.mean,
        difference=difference.mean,
        error=difference.error,
        median=median(difference.measured),
        images=len(difference.measured),
        scenes=scenes,
        errors=float(stdtrit(scenes - 1, 1 - chance)),
    )


def _capped(figure: Figure) -> Figure:
    """Without infinities: one pair of equal pictures would outweigh all others, or hide them."""
    values = (value if math.isnan(value) else min(value, EQUAL_DB) for value in figure.values)
    return Figure(tuple(values), figure.scenes)
