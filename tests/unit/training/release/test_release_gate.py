"""The rule: paired differences beyond two of their standard errors, on every set, and nothing slips through."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.training.release.tabled import CONSISTENCY_DB, HARDNESS_DB, IMAGES, alternating, shifted, table_of

from hndsr_ensemble.evaluation.methods import BICUBIC
from hndsr_ensemble.evaluation.tables import Table
from hndsr_ensemble.training.release.gate import (
    CANDIDATE_DIFFUSION,
    CANDIDATE_PRIOR,
    CURRENT_DIFFUSION,
    CURRENT_PRIOR,
    Comparison,
    SmallSetError,
    judge,
)


def worse(table: Table, *, name: str = "aerial") -> list[Comparison]:
    return [comparison for comparison in judge({name: [table]}) if comparison.is_worse]


def test_gate_passes_equal_weights() -> None:
    assert worse(table_of()) == []


def test_gate_compares_prior_with_both_and_consistency_with_the_weights_before() -> None:
    pairs = [(one.figure, one.against) for one in judge({"aerial": [table_of()]})]
    assert pairs == [
        ("RGB PSNR of the prior", BICUBIC),
        ("RGB PSNR of the prior", CURRENT_PRIOR),
        ("consistency of 4 steps", CURRENT_DIFFUSION),
    ]


def test_gate_finds_a_small_loss_on_every_image_that_the_scatter_between_images_would_hide() -> None:
    table = table_of(psnr={CANDIDATE_PRIOR: shifted(1.5, alternating(-0.05, 0.01))})
    assert np.std(HARDNESS_DB) > 1
    assert [one.against for one in worse(table)] == [CURRENT_PRIOR]


@pytest.mark.parametrize(("errors", "is_worse"), [(1.9, False), (2.1, True)])
def test_gate_counts_a_loss_from_two_standard_errors_on(errors: float, is_worse: bool) -> None:  # noqa: FBT001
    error = np.std(alternating(0, 0.3), ddof=1) / math.sqrt(IMAGES)
    table = table_of(psnr={CANDIDATE_PRIOR: shifted(1.5, alternating(-errors * error, 0.3))})
    assert bool(worse(table)) == is_worse


def test_gate_passes_a_gain() -> None:
    assert worse(table_of(psnr={CANDIDATE_PRIOR: shifted(1.5, alternating(0.2, 0.3))})) == []


def test_gate_finds_a_loss_that_is_the_same_on_every_image() -> None:
    assert worse(table_of(psnr={CANDIDATE_PRIOR: shifted(1.5, [-0.25] * IMAGES)}))


def test_gate_refuses_what_is_worse_than_bicubic_even_if_the_weights_before_were_worse_still() -> None:
    rows = {CANDIDATE_PRIOR: shifted(-0.5, [0.0] * IMAGES), CURRENT_PRIOR: shifted(-1.0, [0.0] * IMAGES)}
    assert [one.against for one in worse(table_of(psnr=rows))] == [BICUBIC]


def test_gate_refuses_a_loss_of_consistency() -> None:
    table = table_of(consistency={CANDIDATE_DIFFUSION: shifted(CONSISTENCY_DB, alternating(-0.5, 0.1))})
    assert [one.figure for one in worse(table)] == ["consistency of 4 steps"]


def test_gate_does_not_look_at_the_diffusions_psnr() -> None:
    assert worse(table_of(psnr={CANDIDATE_DIFFUSION: shifted(-3, [0.0] * IMAGES)})) == []


def test_gate_looks_at_every_set_and_scale() -> None:
    bad = table_of(psnr={CANDIDATE_PRIOR: shifted(1.5, [-1.0] * IMAGES)})
    comparisons = judge({"aerial": [table_of(), table_of()], "drone": [table_of(), bad]})
    assert {one.set_name for one in comparisons if one.is_worse} == {"drone"}
    assert len(comparisons) == 12


def test_comparison_says_which_figure_on_which_set() -> None:
    (found,) = worse(table_of(psnr={CANDIDATE_PRIOR: shifted(1.5, [-0.25] * IMAGES)}), name="drone frames")
    assert str(found).startswith(
        "RGB PSNR of the prior on drone frames at ×4: 28.500 dB against 28.750 dB of weights before"
    )
    assert "-0.250 ± 0.000 dB over 10 images" in str(found)


def test_gate_is_not_blinded_by_one_image_that_bicubic_restores_exactly() -> None:
    bicubic = [math.inf, *HARDNESS_DB[1:]]
    ours = [math.inf, *(value - 1 for value in HARDNESS_DB[1:])]
    found = worse(table_of(psnr={BICUBIC: bicubic, CANDIDATE_PRIOR: ours, CURRENT_PRIOR: ours}))
    assert [one.against for one in found] == [BICUBIC]


def test_gate_does_not_refuse_for_one_flat_image_that_only_bicubic_restores_exactly() -> None:
    bicubic = [math.inf, *HARDNESS_DB[1:]]
    ours = [60.0, *(value + 1.5 for value in HARDNESS_DB[1:])]
    found = worse(table_of(psnr={BICUBIC: bicubic, CANDIDATE_PRIOR: ours, CURRENT_PRIOR: ours}))
    assert found == []


def test_gate_refuses_figures_that_are_no_numbers() -> None:
    facts = {"set_name": "aerial", "scale": "4", "figure": "", "against": "", "ours_db": 1.0, "theirs_db": 1.0}
    assert Comparison(**facts, difference_db=math.nan, error_db=0.1, images=9).is_worse
    assert Comparison(**facts, difference_db=0.1, error_db=math.nan, images=9).is_worse


def test_gate_refuses_to_judge_by_fewer_than_eight_measured_images() -> None:
    values = [*HARDNESS_DB[:7], math.nan, math.nan, math.nan]
    rows = dict.fromkeys((CANDIDATE_PRIOR, CURRENT_PRIOR, BICUBIC), values)
    with pytest.raises(SmallSetError, match="the set aerial has 7 different images"):
        judge({"aerial": [table_of(psnr=rows)]})
