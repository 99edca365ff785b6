"""Means and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hndsr_ensemble.evaluation.figures import Figure

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20)


def test_figure_has_the_mean_and_its_standard_error() -> None:
    figure = Figure((1.0, 2.0, 3.0, 6.0))
    assert figure.mean == 3
    assert figure.error == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))


@given(VALUES)
def test_figure_error_is_that_of_the_sample(values: list[float]) -> None:
    expected = np.std(values, ddof=1) / math.sqrt(len(values))
    assert Figure(tuple(values)).error == pytest.approx(expected, abs=1e-9)


def test_figure_error_covers_the_true_mean_about_as_often_as_it_should() -> None:
    samples = np.random.default_rng(0).normal(5, 2, (2000, 30))
    figures = [Figure(tuple(sample.tolist())) for sample in samples]
    assert np.mean([abs(figure.mean - 5) < 2 * figure.error for figure in figures]) == pytest.approx(0.945, abs=0.02)


@given(VALUES)
def test_figure_error_is_the_ordinary_one_where_every_image_is_a_scene(values: list[float]) -> None:
    scenes = tuple(map(str, range(len(values))))
    assert Figure(tuple(values), scenes).error == pytest.approx(Figure(tuple(values)).error, abs=1e-9)


def test_figure_error_counts_images_of_one_scene_as_one_observation() -> None:
    once, crops = Figure((1.0, 2.0, 6.0)), Figure((1.0, 2.0, 6.0) * 4, ("a", "b", "c") * 4)
    assert crops.error == pytest.approx(once.error)
    assert (crops.observations, once.observations) == (3, 3)
    assert Figure(crops.values).error < 0.6 * crops.error


def test_figure_error_covers_the_true_mean_where_scenes_have_several_images() -> None:
    generator, scenes = np.random.default_rng(0), tuple(f"{scene}" for scene in range(30) for _ in range(5))
    means = generator.normal(5, 2, (1000, 30, 1)).repeat(5, axis=2)
    figures = [
        Figure(tuple(sample.tolist()), scenes)
        for sample in (means + generator.normal(0, 0.5, means.shape)).reshape(1000, -1)
    ]
    assert np.mean([abs(figure.mean - 5) < 2 * figure.error for figure in figures]) == pytest.approx(0.945, abs=0.02)


def test_figure_of_one_scene_has_no_error() -> None:
    assert math.isnan(Figure((1.0, 2.0, 3.0), ("a", "a", "a")).error)


def test_figure_keeps_its_scenes_in_parts_and_differences() -> None:
    figure = Figure((1.0, 2.0, math.nan, 4.0), ("a", "a", "b", "c"))
    assert figure.observations == 2
    assert figure.at((0, 3)).scenes == ("a", "c")
    assert figure.minus(Figure((1.0,) * 4)).scenes == figure.scenes


def test_figure_refuses_scenes_of_other_images() -> None:
    with pytest.raises(ValueError, match="2 values cannot be of 1 scenes"):
        Figure((1.0, 2.0), ("a",))


@given(VALUES, st.floats(-100, 100))
def test_figure_minus_a_shifted_one_has_no_error(values: list[float], shift: float) -> None:
    figure = Figure(tuple(values))
    difference = figure.minus(Figure(tuple(value - shift for value in values)))
    assert difference.mean == pytest.approx(shift, abs=1e-9)
    assert difference.error == pytest.approx(0, abs=1e-9)


def test_figure_leaves_out_what_could_not_be_measured() -> None:
    figure = Figure((1.0, math.nan, 3.0))
    assert (figure.mean, figure.error, len(figure.measured)) == (2, pytest.approx(1), 2)


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0,), (1.0, math.inf)])
def test_figure_has_no_error_when_there_are_not_two_numbers(values: tuple[float, ...]) -> None:
    assert math.isnan(Figure(values).error)


def test_figure_of_equal_images_is_infinite() -> None:
    assert Figure((math.inf, 30.0)).mean == math.inf


def test_figure_refuses_to_be_paired_with_other_images() -> None:
    with pytest.raises(ValueError, match="zip"):
        Figure((1.0, 2.0)).minus(Figure((1.0,)))
