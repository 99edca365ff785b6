"""Patch statistics: what they see, and what cannot buy them."""

from __future__ import annotations

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, blurred, noisy, scene

from hndsr_ensemble.evaluation.metrics import high_frequency_ratio
from hndsr_ensemble.evaluation.patches import patch_distance
from hndsr_ensemble.evaluation.sharpening import sharpen


def test_patches_of_the_truth_are_the_truths() -> None:
    assert patch_distance(scene(1), scene(1)) == 0


def test_patches_do_not_tell_contrast_or_brightness() -> None:
    truth = scene(1) // 2
    assert patch_distance(truth + 60, truth) == pytest.approx(0, abs=1e-9)
    assert patch_distance(truth // 2 * 4, truth // 2 * 2) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("spoil", [blurred, noisy], ids=["blur", "noise"])
def test_patches_of_a_spoilt_picture_are_away_from_the_truth(spoil: object) -> None:
    assert patch_distance(spoil(scene(1)), scene(1)) > 0.02


def test_patches_are_the_further_away_the_more_noise_there_is() -> None:
    distances = [patch_distance(noisy(scene(1), sigma), scene(1)) for sigma in (2.0, 6.0, 18.0)]
    assert distances == sorted(distances)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_patches_of_a_blurred_picture_are_not_bought_by_a_gain(seed: int) -> None:
    truth = scene(seed)
    soft = blurred(truth, 1.0)
    ratio = high_frequency_ratio(soft, truth)
    sharp = sharpen(soft, FOUR, 3.0)
    assert high_frequency_ratio(sharp, truth) > 4 * ratio
    assert patch_distance(sharp, truth) > 0.8 * patch_distance(soft, truth)


def test_patch_distance_hardly_depends_on_its_seed() -> None:
    distances = [patch_distance(noisy(scene(1)), scene(1), seed=seed) for seed in range(5)]
    assert np.ptp(distances) < 0.1 * np.mean(distances)


def test_patch_distance_is_the_same_again() -> None:
    assert patch_distance(noisy(scene(1)), scene(1), seed=3) == patch_distance(noisy(scene(1)), scene(1), seed=3)


def test_patch_distance_of_flat_pictures_is_nothing() -> None:
    flat = np.full((32, 32, 3), 7, np.uint8)
    assert patch_distance(flat, flat + 5) == pytest.approx(0, abs=1e-9)


def test_patches_refuse_images_without_one() -> None:
    with pytest.raises(ValueError, match="leave nothing to measure"):
        patch_distance(scene(1)[:14, :14], scene(1)[:14, :14])
