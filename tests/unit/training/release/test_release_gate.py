"""The rule: paired differences beyond chance, on every set, and nothing slips through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t as student
from unit.training.release.tabled import (
    HARDNESS_DB,
    IMAGES,
    USUAL,
    alternating,
    shifted,
    table_of,
)

from hndsr_ensemble.evaluation.methods import BICUBIC
from hndsr_ensemble.evaluation.tables import Table
from hndsr_ensemble.training.release.gate import (
    CANDIDATE_DIFFUSION,
    CANDIDATE_PRIOR,
    CHANCE,
    CURRENT_DIFFUSION,
    CURRENT_PRIOR,
    JUDGED,
    RULE,
    Comparison,
    Judged,
    SmallSetError,
    judge,
)

ERRORS = student.isf(CHANCE / len(JUDGED), IMAGES - 1)
"""Of a release that is judged by one table."""
MARGIN_DB = next(one.margin for one in JUDGED if one.theirs == CURRENT_PRIOR)
MARGINS = {one.measure: one.margin for one in JUDGED}
FIGURES = [(one.measure, one.title) for one in JUDGED if one.theirs == CURRENT_DIFFUSION]


def worse(table: Table, *, name: str = "aerial") -> list[Comparison]:
    return [comparison for comparison in judge({name: [table]}) if comparison.is_worse]


def prior(differences: Sequence[float]) -> Table:
    """A table whose prior differs by so much from that of the weights before."""
    return table_of({"psnr": {CANDIDATE_PRIOR: shifted(1.5, differences)}})


def diffusion(measure: str, differences: Sequence[float]) -> Table:
    """A table whose 4 steps differ by so much from those of the weights before."""
    return table_of({measure: {CANDIDATE_DIFFUSION: shifted(USUAL[measure], differences)}})


def test_gate_passes_equal_weights() -> None:
    assert worse(table_of()) == []


def test_gate_compares_prior_with_both_and_diffusion_with_the_weights_before() -> None:
    pairs = [(one.judged.measure, one.judged.theirs) for one in judge({"aerial": [table_of()]})]
    assert pairs == [
        ("psnr", BICUBIC),
        ("psnr", CURRENT_PRIOR),
        ("consistency", CURRENT_DIFFUSION),
        ("spectrum_distance", CURRENT_DIFFUSION),
        ("patch_distance", CURRENT_DIFFUSION),
    ]


def test_gate_finds_a_small_loss_on_every_image_that_the_scatter_between_images_would_hide() -> None:
    assert np.std(HARDNESS_DB) > 1
    assert [one.judged.theirs for one in worse(prior(alternating(-0.05, 0.01)))] == [CURRENT_PRIOR]


@pytest.mark.parametrize(("errors", "is_worse"), [(0.95 * ERRORS, False), (1.05 * ERRORS, True)])
def test_gate_counts_a_loss_from_as_many_errors_on_as_its_chance_says(errors: float, is_worse: bool) -> None:  # noqa: FBT001
    error = np.std(alternating(0, 0.1), ddof=1) / math.sqrt(IMAGES)
    assert bool(worse(prior(alternating(-errors * error - MARGIN_DB, 0.1)))) == is_worse


@pytest.mark.parametrize(("share", "is_worse"), [(0.95, False), (1.05, True)])
def test_gate_counts_a_loss_from_its_margin_on(share: float, is_worse: bool) -> None:  # noqa: FBT001
    assert bool(worse(prior([-share * MARGIN_DB] * IMAGES))) == is_worse


@pytest.mark.parametrize("judged", JUDGED, ids=lambda one: f"{one.measure} against {one.theirs}")
@pytest.mark.parametrize(("share", "is_worse"), [(0.95, False), (1.05, True)])
def test_gate_refuses_a_large_loss_on_half_of_the_images_however_much_it_scatters(
    judged: Judged,
    share: float,
    is_worse: bool,  # noqa: FBT001
) -> None:
    loss = share * judged.most * (-1 if judged.measure in {"psnr", "consistency"} else 1)
    values = {judged.theirs: [1.0] * IMAGES, judged.ours: [1 + loss] * (IMAGES - 2) + [1 + 90 * loss, 1 - 98 * loss]}
    assert (judged in [one.judged for one in worse(table_of({judged.measure: values}))]) == is_worse


def test_gate_passes_a_gain() -> None:
    assert worse(prior(alternating(0.2, 0.3))) == []


def test_gate_finds_a_loss_that_is_the_same_on_every_image() -> None:
    assert worse(prior([-0.25] * IMAGES))


def test_gate_refuses_what_is_worse_than_bicubic_even_if_the_weights_before_were_worse_still() -> None:
    rows = {CANDIDATE_PRIOR: shifted(-0.5, [0.0] * IMAGES), CURRENT_PRIOR: shifted(-1.0, [0.0] * IMAGES)}
    assert [one.judged.theirs for one in worse(table_of({"psnr": rows}))] == [BICUBIC]


@pytest.mark.parametrize(("measure", "title"), FIGURES)
def test_gate_refuses_a_loss_of_the_diffusion_by_name(measure: str, title: str) -> None:
    loss = 3 * MARGINS[measure] * (-1 if measure == "consistency" else 1)
    (found,) = worse(diffusion(measure, alternating(loss, 0.0001)))
    assert str(found).startswith(f"{title} on aerial at ×4: ")


@pytest.mark.parametrize(("measure", "title"), FIGURES)
def test_gate_passes_a_gain_of_the_diffusion(measure: str, title: str) -> None:
    gain = 0.01 if measure == "consistency" else -0.01
    assert worse(diffusion(measure, alternating(gain, 0.001))) == []


def test_gate_does_not_look_at_the_diffusions_psnr() -> None:
    assert worse(table_of({"psnr": {CANDIDATE_DIFFUSION: shifted(-3, [0.0] * IMAGES)}})) == []


def test_gate_looks_at_every_set_and_scale() -> None:
    comparisons = judge({"aerial": [table_of(), table_of()], "drone": [table_of(), prior([-1.0] * IMAGES)]})
    assert {one.set_name for one in comparisons if one.is_worse} == {"drone"}
    assert len(comparisons) == 4 * len(JUDGED)


def test_gate_refuses_an_equal_candidate_in_one_of_twenty_at_most() -> None:
    draw = np.random.default_rng(3)
    trials = 60
    refused = sum(any(one.is_worse for one in judge({"aerial": [_as_good(draw)]})) for _ in range(trials))
    assert 0 < refused <= CHANCE * trials + 2 * math.sqrt(CHANCE * trials)


def _as_good(draw: np.random.Generator) -> Table:
    """A table in which the candidate is worse by just its margins, and by chance that does not reach the bounds."""
    rows = {"psnr": (CANDIDATE_PRIOR, 1.5), **{name: (CANDIDATE_DIFFUSION, gain) for name, gain in USUAL.items()}}

    def drawn(name: str) -> np.ndarray:
        loss = MARGINS[name] * (-1 if name in {"psnr", "consistency"} else 1)
        return draw.normal(loss, 0.005, IMAGES)

    return table_of({name: {row: shifted(gain, drawn(name))} for name, (row, gain) in rows.items()})


def test_gate_asks_more_of_a_loss_the_more_it_compares() -> None:
    once, often = judge({"aerial": [table_of()]}), judge({name: [table_of()] for name in "abcdefgh"})
    assert once[0].errors == pytest.approx(ERRORS)
    assert often[0].errors == pytest.approx(student.isf(CHANCE / (8 * len(JUDGED)), IMAGES - 1))


def test_gate_counts_images_of_one_scene_as_one_observation() -> None:
    pairs = [str(image // 2) for image in range(IMAGES)]
    with pytest.raises(SmallSetError, match="different images of 5 scenes"):
        judge({"aerial": [table_of(scenes=pairs)]})


def test_comparison_says_which_figure_on_which_set() -> None:
    (found,) = worse(prior([-0.25] * IMAGES), name="drone frames")
    assert str(found).startswith(
        "RGB PSNR of the prior on drone frames at ×4: 28.500 dB against 28.750 dB of weights before, prior, ahead by "
        "-0.250 ± 0.000 dB over 10 images of 10 scenes"
    )


def test_rule_says_its_chance_and_every_bound() -> None:
    assert "a chance of 5% at most" in RULE
    assert all(f"{one.most:g}{one.unit} in the {one.title}" in RULE for one in JUDGED)
    assert all(f"{one.margin:g}{one.unit} in the {one.title}" in RULE for one in JUDGED)


def test_gate_is_not_blinded_by_one_image_that_bicubic_restores_exactly() -> None:
    bicubic = [math.inf, *HARDNESS_DB[1:]]
    ours = [math.inf, *(value - 1 for value in HARDNESS_DB[1:])]
    found = worse(table_of({"psnr": {BICUBIC: bicubic, CANDIDATE_PRIOR: ours, CURRENT_PRIOR: ours}}))
    assert [one.judged.theirs for one in found] == [BICUBIC]


def test_gate_does_not_refuse_for_one_flat_image_that_only_bicubic_restores_exactly() -> None:
    bicubic = [math.inf, *HARDNESS_DB[1:]]
    ours = [60.0, *(value + 1.5 for value in HARDNESS_DB[1:])]
    found = worse(table_of({"psnr": {BICUBIC: bicubic, CANDIDATE_PRIOR: ours, CURRENT_PRIOR: ours}}))
    assert found == []


def test_gate_refuses_figures_that_are_no_numbers() -> None:
    facts = {"set_name": "aerial", "scale": "4", "judged": JUDGED[0], "ours": 1.0, "theirs": 1.0, "images": 9}
    facts |= {"scenes": 9, "errors": 3.0, "difference": 0.1, "error": 0.1, "median": 0.1}
    assert not Comparison(**facts).is_worse
    assert all(Comparison(**facts | {name: math.nan}).is_worse for name in ("difference", "error", "median"))


def test_gate_refuses_to_judge_by_fewer_than_eight_measured_scenes() -> None:
    values = [*HARDNESS_DB[:7], math.nan, math.nan, math.nan]
    rows = dict.fromkeys((CANDIDATE_PRIOR, CURRENT_PRIOR, BICUBIC), values)
    with pytest.raises(SmallSetError, match="the set aerial has different images of 7 scenes"):
        judge({"aerial": [table_of({"psnr": rows})]})
