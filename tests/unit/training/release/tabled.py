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


def alternating(mean: float, scatter: float, *, count: int = IMAGES) -> list[float]:
    """Numbers of a given mean, up and down by `scatter` in turn."""
    return [mean + (scatter if place % 2 else -scatter) for place in range(count)]


def table_of(
    *, psnr: Mapping[str, Sequence[float]] | None = None, consistency: Mapping[str, Sequence[float]] | None = None
) -> Table:
    """A table of all rows that the gate reads, alike but for the values by row that are given."""
    given = {"psnr": dict(psnr or {}), "consistency": dict(consistency or {})}
    rows = []
    for name, gain in GAINS_DB.items():
        usual = {
            "psnr": [value + gain for value in HARDNESS_DB],
            "consistency": [value + CONSISTENCY_DB for value in HARDNESS_DB],
        }
        count = len(given["psnr"].get(name, HARDNESS_DB))
        figures = {
            entry.name: tuple(given.get(entry.name, {}).get(name, usual.get(entry.name, [math.nan] * count)))
            for entry in fields(Row)
            if entry.name != "name"
        }
        rows.append(Row(name, **{measure: Figure(values) for measure, values in figures.items()}))
    images = tuple(f"{image}.png" for image in range(IMAGES))
    return Table(Scale(4, 1), images, ("other",) * IMAGES, tuple(rows))


def shifted(gain: float, differences: Sequence[float]) -> list[float]:
    """Values of a row that differs from one with `gain` by so much, image by image."""
    return [hardness + gain + difference for hardness, difference in zip(HARDNESS_DB, differences, strict=True)]
