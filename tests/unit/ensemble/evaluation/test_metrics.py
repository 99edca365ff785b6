"""Metrics against values worked out by hand and identities they must obey."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hndsr_ensemble.evaluation import metrics
from hndsr_ensemble.evaluation.metrics import gradient_ratio_at, high_frequency_ratio, psnr, ssim

Measure = type(psnr)
MEASURES = (psnr, ssim, high_frequency_ratio)


def flat(value: int, *, side: int = 32, dtype: type = np.uint8) -> np.ndarray:
    return np.full((side, side, 3), value, dtype)


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 128, (40, 52, 3), dtype=np.uint8) * 2


def test_psnr_of_a_constant_error() -> None:
    assert psnr(flat(110), flat(100)) == pytest.approx(10 * math.log10(255**2 / 10**2))


def test_psnr_takes_the_range_of_16_bits() -> None:
    wide = psnr(flat(110 * 257, dtype=np.uint16), flat(100 * 257, dtype=np.uint16))
    assert wide == pytest.approx(psnr(flat(110), flat(100)))


def test_psnr_of_one_wrong_sample() -> None:
    wrong = flat(100)
    wrong[16, 16, 1] += 50
    assert psnr(wrong, flat(100)) == pytest.approx(10 * math.log10(255**2 / (50**2 / (24 * 24 * 3))))


def test_psnr_does_not_see_the_border() -> None:
    framed = flat(0)
    framed[4:-4, 4:-4] = 100
    assert psnr(framed, flat(100)) == math.inf
    assert psnr(framed, flat(100), border_px=3) < 60


def test_ssim_of_flat_images_is_the_luminance_term() -> None:
    constant = (0.01 * 255) ** 2
    assert ssim(flat(120), flat(80)) == pytest.approx((2 * 120 * 80 + constant) / (120**2 + 80**2 + constant))


def test_ssim_of_an_inverted_image_is_negative(texture: np.ndarray) -> None:
    assert ssim(254 - texture, texture) < -0.5


def test_ssim_is_symmetric(texture: np.ndarray) -> None:
    other = texture[::-1].copy()
    assert ssim(texture, other) == pytest.approx(ssim(other, texture))


def test_identical_images_measure_best(texture: np.ndarray) -> None:
    assert (psnr(texture, texture), ssim(texture, texture)) == (math.inf, pytest.approx(1))
    assert high_frequency_ratio(texture, texture) == 1


def test_half_the_contrast_has_a_quarter_of_the_energy(texture: np.ndarray) -> None:
    assert high_frequency_ratio(texture // 2, texture) == pytest.approx(0.25)


def test_blur_loses_high_frequencies_only(texture: np.ndarray) -> None:
    wave = 60 * np.sin(2 * np.pi / 26 * np.arange(52)) + 128
    slow = np.broadcast_to(wave[:, None], (40, 52, 3)).astype(np.uint8)
    assert high_frequency_ratio(slow, texture) < 1e-3


def test_high_frequency_ratio_of_a_flat_truth() -> None:
    assert high_frequency_ratio(flat(9), flat(7)) == 1
    checkers = flat(0)
    checkers[::2, ::2] = 255
    assert high_frequency_ratio(checkers, flat(7)) == math.inf


@pytest.mark.parametrize("measure", MEASURES)
def test_metric_refuses_images_that_differ_in_shape_or_type(measure: Measure) -> None:
    with pytest.raises(ValueError, match="cannot be measured against"):
        measure(flat(1, side=31), flat(1))
    with pytest.raises(ValueError, match="cannot be measured against"):
        measure(flat(1), flat(1, dtype=np.uint16))


@pytest.mark.parametrize(("measure", "side"), [(psnr, 8), (ssim, 18), (high_frequency_ratio, 8)])
def test_metric_refuses_an_image_that_is_all_border(measure: Measure, side: int) -> None:
    with pytest.raises(ValueError, match="leave nothing to measure"):
        measure(flat(1, side=side), flat(1, side=side))
    assert math.isfinite(measure(flat(1, side=side + 1), flat(2, side=side + 1)))


def test_gradient_ratio_counts_a_seam_against_the_median() -> None:
    rows = np.array((0, 2, 4, 6, 16, 18, 20, 22), np.uint8)
    image = np.broadcast_to(rows[:, None, None], (8, 5, 3))
    assert gradient_ratio_at(image, [4], []) == 5
    assert gradient_ratio_at(image, [3, 4], []) == 3


@given(row=st.integers(1, 30), column=st.integers(1, 30))
def test_gradient_ratio_of_an_even_slope_is_one(row: int, column: int) -> None:
    slope = np.add.outer(3 * np.arange(31), 5 * np.arange(31))[..., None].repeat(3, axis=2).astype(np.uint16)
    assert gradient_ratio_at(slope, [row], [column]) == 1


def test_gradient_ratio_of_a_seam_in_a_flat_image_is_infinite() -> None:
    seam = flat(10)
    seam[16:] = 20
    assert gradient_ratio_at(seam, [16], []) == math.inf
    assert gradient_ratio_at(seam, [15], [16]) == 1


@pytest.mark.parametrize(("rows", "columns"), [([0], []), ([32], []), ([], [0]), ([], [32])])
def test_gradient_ratio_refuses_borders_outside_the_image(rows: list[int], columns: list[int]) -> None:
    with pytest.raises(ValueError, match="borders lie between 1 and 31"):
        gradient_ratio_at(flat(1), rows, columns)


def test_gradient_ratio_refuses_no_border() -> None:
    with pytest.raises(ValueError, match="no border"):
        gradient_ratio_at(flat(1), [], [])


@pytest.mark.parametrize("metric", [psnr, ssim], ids=["psnr", "ssim"])
@pytest.mark.parametrize("block_px", [1, 7, 19, 41])
def test_metric_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch, metric: Measure, block_px: int) -> None:
    image, truth = np.random.default_rng(0).integers(0, 256, (2, 49, 30, 3), dtype=np.uint8)
    whole = metric(image, truth)
    monkeypatch.setattr(metrics, "BLOCK_PX", block_px)

    assert metric(image, truth) == pytest.approx(whole, rel=1e-12)


def test_psnr_counts_the_pixels_of_the_mask_only() -> None:
    truth = np.zeros((20, 20, 3), dtype=np.uint8)
    image = truth.copy()
    image[10:] = 200
    image[:10] = 1
    mask = np.zeros((12, 12), dtype=bool)
    mask[:6] = True

    assert psnr(image, truth, mask=mask) == pytest.approx(10 * np.log10(255**2))


@pytest.mark.parametrize("metric", [psnr, ssim], ids=["psnr", "ssim"])
@pytest.mark.parametrize("size", [(30, 200_000), (200_000, 30)], ids=["wide", "high"])
def test_metric_takes_little_memory_whatever_the_shape(metric: Measure, size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), dtype=np.uint8)
    tracemalloc.start()
    try:
        metric(image, image)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 * 2**20
