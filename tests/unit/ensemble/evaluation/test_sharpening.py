"""The band above the source's Nyquist frequency, the gain on it, and the control made from both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, NoisyModel, blurred, noisy, scene, scenes

from hndsr_ensemble.evaluation.control import sharpened_like
from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.measures import OCTAVE_NAMES
from hndsr_ensemble.evaluation.methods import Diffusion
from hndsr_ensemble.evaluation.sharpening import GainError, Split, beyond_source, energy_beyond, match_gain, sharpen
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


@pytest.mark.parametrize("scale", ["2", "4", "8", "22/7"])
def test_matched_gain_hits_the_energy_that_is_wanted(scale: str) -> None:
    parsed = Scale.parse(scale)
    truth = sum(energy_beyond(scene(seed), parsed) for seed in range(3))
    priors = [blurred(scene(seed), 0.8) for seed in range(3)]
    fit = match_gain(priors, parsed, wanted=0.9 * truth, truth=truth)
    energy = sum(energy_beyond(sharpen(prior, parsed, fit.gain), parsed) for prior in priors)
    assert fit.gain > 1.05
    assert (fit.wanted, fit.reached) == (pytest.approx(0.9), pytest.approx(energy / truth))
    assert fit.reached == pytest.approx(fit.wanted, rel=0.01)


def test_matched_gain_is_the_root_of_the_energy_where_nothing_is_clipped() -> None:
    soft = scene(1) // 2 + 64
    energy = energy_beyond(soft, FOUR)
    assert match_gain([soft], FOUR, wanted=0.5 * energy, truth=energy).gain == pytest.approx(0.5**0.5, abs=0.01)


@pytest.mark.parametrize(("prior", "truth"), [(np.full((64, 64, 3), 9, np.uint8), 1e6), (scene(1)[:64, :64], 0.0)])
def test_no_gain_is_found_where_there_is_no_detail(prior: np.ndarray, truth: float) -> None:
    with pytest.raises(GainError, match="no gain up to 32"):
        match_gain([prior], FOUR, wanted=5e5, truth=truth)


@pytest.mark.parametrize(("scale", "nyquist"), [("2", 0.25), ("4", 0.125), ("8", 0.0625), ("22/7", 7 / 44)])
def test_energy_is_that_of_the_band_which_the_gain_acts_on(scale: str, nyquist: float) -> None:
    parsed = Scale.parse(scale)
    below, above = (energy_beyond(wave(nyquist * factor), parsed) for factor in (0.8, 1.2))
    assert below < 0.05 * above
    assert energy_beyond(sharpen(wave(nyquist * 1.2), parsed, 1.5), parsed) == pytest.approx(2.25 * above, rel=0.02)


def test_beyond_source_is_no_number_for_a_truth_without_detail() -> None:
    flat = np.full((64, 64, 3), 9, np.uint8)
    assert math.isnan(beyond_source(scene(1)[:64, :64], flat, FOUR))
    assert beyond_source(flat, scene(1)[:64, :64], FOUR) == 0


def test_sharpened_prior_has_the_energy_of_the_diffusion_it_is_like() -> None:
    images = scenes(4)
    diffusion = Diffusion(NoisyModel(), steps=4, texture=1.5)
    (control,) = sharpened_like([diffusion], images, scale=FOUR)
    table = measure_set(images, [diffusion, control], scale=FOUR, measures={"beyond_source"})
    ours, its = (table.row(row.name).beyond_source.mean for row in (control, diffusion))
    assert ours == pytest.approx(its, rel=0.1)
    assert control.fit.reached == pytest.approx(control.fit.wanted, rel=0.01)
    assert its > 1.05 * table.row("bicubic").beyond_source.mean
    assert control.like == diffusion.name


def test_sharpened_prior_overshoots_in_no_octave_of_its_band() -> None:
    """A gain that is fixed by a part of its band would exceed the truth in the rest of it."""
    truths = [Truth.of(f"{seed}", scene(seed)) for seed in range(2)]
    diffusion = Diffusion(NoisyModel(), steps=4, texture=1.0)
    (control,) = sharpened_like([diffusion], truths, scale=Scale(8, 1))
    table = measure_set(truths, [diffusion, control], scale=Scale(8, 1))
    assert all(table.row(control.name).figure(name).mean < 1.05 for name in OCTAVE_NAMES)


def test_image_that_hardly_has_detail_hardly_decides_about_the_gain() -> None:
    diffusion = Diffusion(NoisyModel(), steps=4, texture=1.0)
    dull = Truth.of("water", noisy(np.full((128, 128, 3), 90, np.uint8), 0.6))
    (alone,), (beside,) = (
        sharpened_like([diffusion], images, scale=FOUR) for images in (scenes(2), (*scenes(2), dull))
    )
    assert beside.fit.gain < 1.3 * alone.fit.gain


def test_sharpened_prior_needs_images() -> None:
    with pytest.raises(NoImagesError, match="gain of the sharpened prior"):
        sharpened_like([Diffusion(NoisyModel(), 4)], (), scale=FOUR)


def test_rows_have_each_their_own_sharpened_prior() -> None:
    model = NoisyModel()
    diffusions = [Diffusion(model, 4, texture) for texture in (0.5, 1.5)]
    weak, strong = sharpened_like(diffusions, scenes(2), scale=FOUR)
    assert weak.fit.gain < strong.fit.gain
    assert [weak.like, strong.like] == [row.name for row in diffusions]
    assert sharpened_like([], (), scale=FOUR) == ()


def test_gain_is_fixed_on_the_middle_of_large_images() -> None:
    model = NoisyModel()
    sharpened_like([Diffusion(model, 4)], [Truth.of("large", scene(1, 640))], scale=FOUR)
    assert set(model.sizes) == {(128, 128)}
