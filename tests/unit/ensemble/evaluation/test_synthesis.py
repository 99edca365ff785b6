"""Improvement, omission, hallucination: the three results that are one of them by definition, and mixtures."""

from __future__ import annotations

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, noisy, scene

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic
from hndsr_ensemble.evaluation.synthesis import _spaces, shares


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return scene(1)


@pytest.fixture(scope="module")
def source(truth: np.ndarray) -> np.ndarray:
    return reduce_bicubic(truth, 4)


@pytest.fixture(scope="module")
def enlarged(truth: np.ndarray, source: np.ndarray) -> np.ndarray:
    return enlarge_bicubic(source, FOUR)


def test_the_truth_is_all_improvement(truth: np.ndarray, source: np.ndarray) -> None:
    assert shares(truth, truth, source, scale=FOUR) == (1, 0, 0)


def test_the_enlarged_source_is_all_omission(truth: np.ndarray, source: np.ndarray, enlarged: np.ndarray) -> None:
    assert shares(enlarged, truth, source, scale=FOUR) == (0, 1, 0)


def test_what_is_far_from_both_is_all_hallucination(truth: np.ndarray, source: np.ndarray) -> None:
    assert shares(255 - truth // 8, truth, source, scale=FOUR).hallucination > 0.99


def test_noise_on_the_truth_is_hallucination_more_and_more(truth: np.ndarray, source: np.ndarray) -> None:
    found = [shares(noisy(truth, sigma), truth, source, scale=FOUR).hallucination for sigma in (2.0, 10.0, 40.0)]
    assert found == sorted(found)
    assert found[0] < 0.3
    assert found[-1] > 0.7


def test_half_the_truth_is_half_improvement(truth: np.ndarray, source: np.ndarray, enlarged: np.ndarray) -> None:
    mixed = enlarged.copy()
    mixed[:, :64] = truth[:, :64]
    found = shares(mixed, truth, source, scale=FOUR)
    assert found.hallucination == 0
    assert 0.2 < found.improvement < 0.8


@pytest.mark.parametrize(
    ("improving", "omitting", "space"),
    [
        (0.0, 1.0, 0),
        (0.3, 0.8, 0),
        (0.5, 0.5, 0),
        (0.8, 0.3, 1),
        (1.0, 0.0, 1),
        (0.8, 0.6, 1),
        (1.0, 1.0, 2),
        (0.5, 1.5, 2),
        (0.1, 1.1, 0),
        (1.1, 0.1, 1),
    ],
)
def test_space_is_the_nearest_by_the_formulas_of_opensr_test(improving: float, omitting: float, space: int) -> None:
    """By hand: for (0.8, 0.6), H = 0.4, so 0.964, 0.819 and 0.825; the tie is close enough to tell the constants."""
    found = _spaces(np.array([improving]), np.array([omitting]))[:, 0]
    beyond = 1 - np.exp(-0.8 * (improving + omitting - 1))
    expected = (improving + omitting * beyond, omitting + improving * beyond, np.exp(-0.4 * improving * omitting))
    assert found == pytest.approx(expected)
    assert found.argmin() == space


def test_shares_add_up_to_one(truth: np.ndarray, source: np.ndarray) -> None:
    assert sum(shares(noisy(truth), truth, source, scale=FOUR)) == pytest.approx(1)


def test_nothing_counts_where_nothing_is_missing_or_added() -> None:
    flat = np.full((64, 64, 3), 80, np.uint8)
    assert np.isnan(shares(flat, flat, reduce_bicubic(flat, 4), scale=FOUR)).all()


def test_what_is_added_to_a_flat_truth_is_hallucination() -> None:
    flat = np.full((64, 64, 3), 80, np.uint8)
    assert shares(noisy(flat), flat, reduce_bicubic(flat, 4), scale=FOUR).hallucination > 0.99


def test_shares_refuse_images_that_differ_in_shape(truth: np.ndarray, source: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be measured"):
        shares(truth[:-1], truth, source, scale=FOUR)
