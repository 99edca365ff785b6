"""Energy per octave."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import blurred, noisy, scene

from hndsr_ensemble.evaluation.metrics import high_frequency_ratio
from hndsr_ensemble.evaluation.spectra import OCTAVES_PX, octave_ratios, spectrum_distance


def wave(period_px: float, amplitude: float = 40, side: int = 136) -> np.ndarray:
    values = 128 + amplitude * np.sin(2 * np.pi / period_px * np.arange(side))
    return np.broadcast_to(values[:, None, None], (side, side, 3)).round().astype(np.uint8)


def test_spectrum_of_the_truth_is_the_truth() -> None:
    assert octave_ratios(scene(1), scene(1)) == (1,) * len(OCTAVES_PX)
    assert spectrum_distance(octave_ratios(scene(1), scene(1))) == 0


def test_half_the_contrast_is_two_octaves_of_energy_away() -> None:
    truth = np.random.default_rng(0).integers(0, 128, (72, 72, 3), dtype=np.uint8) * 2
    ratios = octave_ratios(truth // 2, truth)
    assert ratios == pytest.approx((0.25,) * 4)
    assert spectrum_distance(ratios) == pytest.approx(2)


@pytest.mark.parametrize(("octave", "period_px"), list(enumerate([3, 6, 12, 24])))
def test_a_wave_is_in_its_octave(octave: int, period_px: float) -> None:
    grey = np.full((136, 136, 3), 128, np.uint8)
    ratios = octave_ratios(wave(period_px), noisy(grey, 1.0))
    assert max(range(4), key=lambda place: ratios[place]) == octave


def test_the_finest_octave_is_that_of_the_high_frequency_ratio() -> None:
    ours = octave_ratios(blurred(scene(1), 0.7), scene(1))[0]
    assert ours == pytest.approx(high_frequency_ratio(blurred(scene(1), 0.7), scene(1)))


def test_too_much_is_as_far_as_too_little() -> None:
    assert spectrum_distance((2.0, 0.5, 1.0, 1.0)) == spectrum_distance((0.5, 0.5, 1.0, 1.0)) == 0.5


def test_blur_and_noise_are_away_from_the_truth() -> None:
    truth = scene(1)
    near, far = (spectrum_distance(octave_ratios(blurred(truth, sigma), truth)) for sigma in (0.5, 2.0))
    assert 0 < near < far
    assert octave_ratios(noisy(truth, 20), truth)[0] > 1


def test_flat_pictures_differ_by_nothing() -> None:
    flat = np.full((72, 72, 3), 9, np.uint8)
    assert octave_ratios(flat, flat + 1) == (1,) * 4


def test_any_ratio_is_a_positive_number_where_the_truth_is_flat() -> None:
    flat = np.full((128, 128, 3), 99, np.uint8)
    ratios = (*octave_ratios(scene(1), flat), *octave_ratios(flat, scene(1)))
    assert all(0 < ratio < math.inf for ratio in ratios)


def test_spectrum_refuses_images_that_differ_in_shape() -> None:
    with pytest.raises(ValueError, match="cannot be measured"):
        octave_ratios(scene(1), scene(1)[:-1])
