"""Tables with given figures, without a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields

from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.methods import BICUBIC
from hndsr_ensemble.evaluation.tables import Row, Table
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.release.gate import (
    CANDIDATE_DIFFUSION,
    CANDIDATE_PRIOR,
    CURRENT_DIFFUSION,
    CURRENT_PRIOR,
)

IMAGES = 10
HARDNESS_DB = tuple(25 + 0.5 * image for image in range(IMAGES))
"""What any method gets on an image, for how hard it is: far more apart than methods are."""
GAINS_DB = {BICUBIC: 0.0, CANDIDATE_PRIOR: 1.5, CURRENT_PRIOR: 1.5, CANDIDATE_DIFFUSION: 1.0, CURRENT_DIFFUSION: 1.0}
CONSISTENCY_DB = 15.0
SPECTRUM, PATCHES = 0.8, 0.1
"""Distances of every row on the easiest image; on the others they rise with the hardness."""
USUAL = {"consistency": CONSISTENCY_DB, "spectrum_distance": SPECTRUM - 25, "patch_distance": PATCHES - 25}
Given = Mapping[str, Mapping[str, Sequence[float]]]
"""Values by measure and row."""


def alternating(mean: float, scatter: float, *, count: int = IMAGES) -> list[float]:
    """Numbers of a given mean, up and down by `scatter` in turn."""
    return [mean + (scatter if place % 2 else -scatter) for place in range(count)]


def table_of(given: Given | None = None, *, scenes: Sequence[str] = ()) -> Table:
    """A table of all rows that the gate reads, alike but for the values that are given."""
    rows = tuple(_row(name, given or {}, tuple(scenes)) for name in GAINS_DB)
    images = tuple(f"{image}.png" for image in range(IMAGES))
    return Table(Scale(4, 1), images, ("other",) * IMAGES, rows)


def shifted(gain: float, differences: Sequence[float]) -> list[float]:
    """Values of a row that differs from one with `gain` by so much, image by image."""
    return [hardness + gain + difference for hardness, difference in zip(HARDNESS_DB, differences, strict=True)]


def _row(name: str, given: Given, scenes: tuple[str, ...]) -> Row:
    usual = {"psnr": GAINS_DB[name], **USUAL}
    values = {entry.name: [math.nan] * IMAGES for entry in fields(Row) if entry.name != "name"}
    values |= {measure: shifted(gain, [0.0] * IMAGES) for measure, gain in usual.items()}
    values |= {measure: rows[name] for measure, rows in given.items() if name in rows}
    return Row(name, **{measure: Figure(tuple(numbers), scenes) for measure, numbers in values.items()})
