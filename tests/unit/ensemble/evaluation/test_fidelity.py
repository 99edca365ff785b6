"""PSNR of the luma, and consistency with the source."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, blurred, noisy, scene

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic
from hndsr_ensemble.evaluation.fidelity import consistency, luma, psnr_y
from hndsr_ensemble.scale import Scale


def flat(value: int, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("colour", "y"),
    [((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_is_that_of_bt601_in_studio_range(colour: tuple[int, int, int], y: float) -> None:
    assert luma(np.array([[colour]], np.uint8))[0, 0] == pytest.approx(y, abs=1e-9)


def test_psnr_y_of_a_grey_error_is_scaled_by_the_studio_range() -> None:
    assert psnr_y(flat(110), flat(100)) == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)))


def test_psnr_y_does_not_see_an_error_that_keeps_the_luma() -> None:
    image = flat(100)
    image[..., 0] += 10
    assert psnr_y(image, flat(100)) > psnr_y(np.roll(image, 1, axis=-1), flat(100)) + 5


def test_psnr_y_does_not_see_the_border() -> None:
    framed = flat(0)
    framed[4:-4, 4:-4] = 100
    assert psnr_y(framed, flat(100)) == math.inf


def test_psnr_y_refuses_images_that_differ_in_shape() -> None:
    with pytest.raises(ValueError, match="cannot be measured"):
        psnr_y(flat(1, 32), flat(1, 33))


@pytest.mark.parametrize("scale", ["2", "4", "22/7", "8"])
def test_consistency_of_the_truth_with_its_source_is_perfect(scale: str) -> None:
    parsed = Scale.parse(scale)
    truth = scene(1)
    source = reduce_bicubic(truth, parsed.numerator, parsed.denominator)
    assert consistency(truth, source, parsed) == math.inf


@pytest.mark.parametrize(("scale", "cut_px"), [(2, 2), (4, 1), (8, 1)])
def test_consistency_does_not_see_the_border_in_whole_source_pixels(scale: int, cut_px: int) -> None:
    source = reduce_bicubic(scene(1), scale)
    framed = np.pad(source[cut_px:-cut_px, cut_px:-cut_px], ((cut_px, cut_px), (cut_px, cut_px), (0, 0)))
    assert consistency(scene(1), framed, Scale(scale, 1)) == math.inf


def test_consistency_falls_with_a_shift_of_colour() -> None:
    source = reduce_bicubic(flat(100, 64), 4)
    assert consistency(flat(110, 64), source, FOUR) == pytest.approx(20 * math.log10(25.5))


def test_consistency_forgives_noise_more_than_psnr_does() -> None:
    truth = scene(1)
    source = reduce_bicubic(truth, 4)
    assert consistency(noisy(truth), source, FOUR) > psnr_y(noisy(truth), truth) + 5


def test_consistency_of_bicubic_is_below_that_of_a_slight_blur() -> None:
    truth = scene(1)
    source = reduce_bicubic(truth, 4)
    enlarged = enlarge_bicubic(source, FOUR)
    assert consistency(enlarged, source, FOUR) < consistency(blurred(truth, 0.5), source, FOUR)
