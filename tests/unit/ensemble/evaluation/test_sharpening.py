"""The band above the source's Nyquist frequency, the gain on it, and the control made from both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, NoisyModel, blurred, scene, scenes

from hndsr_ensemble.evaluation.control import sharpened_like
from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.methods import Diffusion
from hndsr_ensemble.evaluation.metrics import high_frequency_ratio
from hndsr_ensemble.evaluation.sharpening import GainError, Split, match_gain, mean_ratio, sharpen
from hndsr_ensemble.evaluation.tables import NoImagesError, measure_set
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.scale import Scale


def wave(cycles_per_px: float, side: int = 128) -> np.ndarray:
    values = 128 + 50 * np.cos(2 * np.pi * cycles_per_px * (np.arange(side) + 0.5))
    return np.broadcast_to(values[:, None, None], (side, side, 3)).round().astype(np.uint8)


def test_gain_of_one_changes_nothing() -> None:
    assert np.array_equal(sharpen(scene(1), FOUR, 1.0), scene(1))


@pytest.mark.parametrize(("scale", "nyquist"), [("2", 0.25), ("4", 0.125), ("8", 0.0625), ("22/7", 7 / 44)])
def test_band_begins_at_the_nyquist_frequency_of_the_source(scale: str, nyquist: float) -> None:
    below, above = (Split.of(wave(nyquist * factor), Scale.parse(scale)).above for factor in (0.9, 1.1))
    assert np.abs(below[16:-16]).mean() < 0.2 * np.abs(above[16:-16]).mean()


def test_parts_of_a_picture_are_the_picture() -> None:
    split = Split.of(scene(1), FOUR)
    assert np.allclose(split.below + split.above, scene(1))


def test_source_cannot_carry_the_upper_part() -> None:
    softest = Split.of(scene(1), FOUR).with_gain(0.0)
    error = reduce_bicubic(softest, 4).astype(float) - reduce_bicubic(scene(1), 4)
    assert np.abs(error).mean() < 0.3 * np.abs(softest.astype(float) - scene(1)).mean()


def test_matched_gain_hits_the_ratio_that_is_wanted() -> None:
    truths = [scene(seed) for seed in range(3)]
    priors = [blurred(truth, 0.8) for truth in truths]
    wanted = 0.8
    gain = match_gain(priors, truths, FOUR, wanted=wanted)
    assert gain > 1.2
    sharpened = [sharpen(prior, FOUR, gain) for prior in priors]
    ratios = [high_frequency_ratio(picture, truth) for picture, truth in zip(sharpened, truths, strict=True)]
    assert np.mean(ratios) == pytest.approx(wanted, rel=0.01)


def test_matched_gain_is_below_one_where_less_is_wanted() -> None:
    assert match_gain([scene(1)], [scene(1)], FOUR, wanted=0.5) == pytest.approx(0.7, abs=0.02)


def test_no_gain_gives_a_flat_prior_any_detail() -> None:
    with pytest.raises(GainError, match="no gain up to 32"):
        match_gain([np.full((64, 64, 3), 9, np.uint8)], [scene(1)[:64, :64]], FOUR, wanted=0.5)


def test_sharpened_prior_has_the_energy_of_the_diffusion_it_is_like() -> None:
    images = scenes(4)
    diffusion = Diffusion(NoisyModel(), steps=4, texture=1.5)
    (control,) = sharpened_like([diffusion], images, scale=FOUR)
    table = measure_set(images, [diffusion, control], scale=FOUR, measures={"high_frequency_ratio"})
    ours, its = (table.row(row.name).high_frequency_ratio.mean for row in (control, diffusion))
    assert ours == pytest.approx(its, rel=0.02)
    assert its > 1.5 * table.row("bicubic").high_frequency_ratio.mean
    assert control.like == diffusion.name


def test_sharpened_prior_needs_images() -> None:
    with pytest.raises(NoImagesError, match="gain of the sharpened prior"):
        sharpened_like([Diffusion(NoisyModel(), 4)], (), scale=FOUR)


def test_rows_have_each_their_own_sharpened_prior() -> None:
    model = NoisyModel()
    diffusions = [Diffusion(model, 4, texture) for texture in (0.5, 1.5)]
    weak, strong = sharpened_like(diffusions, scenes(2), scale=FOUR)
    assert weak.gain < strong.gain
    assert [weak.like, strong.like] == [row.name for row in diffusions]
    assert sharpened_like([], (), scale=FOUR) == ()


def test_gain_is_fixed_on_the_middle_of_large_images() -> None:
    model = NoisyModel()
    sharpened_like([Diffusion(model, 4)], [Truth.of("large", scene(1, 640))], scale=FOUR)
    assert set(model.sizes) == {(128, 128)}


def test_mean_ratio_leaves_out_truths_without_detail() -> None:
    assert mean_ratio([math.inf, 0.5, 1.5]) == 1
