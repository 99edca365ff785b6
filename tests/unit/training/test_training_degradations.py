"""How source images are made: the same bytes as Pillow's, and a camera that behaves like one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.training.toy_images import made_up

from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.training.degradations import DEGRADATIONS, area_weights, bicubic, realistic
from hndsr_ensemble.training.jpeg import quantisation, through_jpeg
from hndsr_ensemble.training.resampling import bicubic_weights, reduce_bicubic_batch

SEEDS = np.arange(3)


def batch(side: int, count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.stack([made_up(number, side, side) for number in range(count)])).permute(0, 3, 1, 2)


def by_pillow(image: torch.Tensor, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size_px", [*range(32, 151, 7), 64, 128, 150])
def test_bicubic_makes_the_bytes_of_pillow(size_px: int) -> None:
    crops = torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(size_px))
    reduced = bicubic(crops, size_px, SEEDS[:2])
    for crop, one in zip(crops, reduced, strict=True):
        np.testing.assert_array_equal(one.permute(1, 2, 0).numpy(), by_pillow(crop, size_px, size_px))


@given(side=st.integers(17, 90), size_px=st.integers(1, 120), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_bicubic_makes_the_bytes_of_pillow_at_any_size(side: int, size_px: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    extreme = draw.choice(np.array([0, 1, 254, 255], np.uint8), (1, 3, side, side + 5))
    crops = torch.from_numpy(extreme)
    found = reduce_bicubic_batch(crops, size_px)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, by_pillow(crops[0], size_px, size_px))


def test_bicubic_is_the_degradation_of_every_table() -> None:
    crops = batch(96)
    expected = [reduce_bicubic(crop.permute(1, 2, 0).numpy(), 96, 37) for crop in crops]
    np.testing.assert_array_equal(bicubic(crops, 37, SEEDS).permute(0, 2, 3, 1).numpy(), np.stack(expected))


def test_bicubic_weights_sum_to_one_within_their_precision() -> None:
    assert np.abs(bicubic_weights(256, 37).sum(axis=1) / 2**22 - 1).max() < 1e-5


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradation_is_a_pure_function_of_each_crop_and_its_seed(name: str) -> None:
    crops, degrade = batch(64), DEGRADATIONS[name]
    together = degrade(crops, 20, SEEDS)
    alone = torch.cat([degrade(crops[[index]], 20, SEEDS[[index]]) for index in range(3)])
    assert together.shape == (3, 3, 20, 20)
    assert torch.equal(together, alone)


def test_realistic_draws_another_camera_for_another_seed() -> None:
    crops = batch(64)
    assert not torch.equal(realistic(crops, 20, SEEDS), realistic(crops, 20, SEEDS + 100))


def test_realistic_keeps_the_mean() -> None:
    crops = batch(96, 1).expand(24, -1, -1, -1)
    taken = realistic(crops, 24, np.arange(24)).float().mean(dim=(1, 2, 3))
    assert (taken - crops[0].float().mean()).abs().max() < 2.5


def test_realistic_is_blurrier_than_an_average_over_the_area_of_a_pixel() -> None:
    stripes = (np.arange(96) // 4 % 2 * 200).astype(np.uint8)
    crops = torch.from_numpy(stripes).expand(12, 3, 96, 96)
    contrast = realistic(crops, 24, np.arange(12)).float().std(dim=(1, 2, 3))
    assert (contrast < 0.95 * crops[0].float().std()).all()


def test_realistic_noise_grows_with_the_light() -> None:
    def deviation(level: int) -> float:
        crops = torch.full((40, 3, 64, 64), level, dtype=torch.uint8)
        return float(realistic(crops, 32, np.arange(40)).float().std(dim=(1, 2, 3)).mean())

    assert deviation(200) > 1.3 * deviation(20)


@pytest.mark.parametrize("quality", [10, 60, 75, 95])
@pytest.mark.parametrize("side", [37, 64])
def test_jpeg_takes_away_what_pillows_does(quality: int, side: int) -> None:
    image, file = made_up(1, side, side), io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(float)
    levels = torch.from_numpy(image).permute(2, 0, 1)[None]
    found = through_jpeg(levels, torch.from_numpy(quantisation(quality))[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).mean() < 0.1 * np.abs(image - expected).mean() + 0.2


@pytest.mark.parametrize("quality", [1, 49, 50, 95, 100])
def test_jpeg_has_the_tables_of_pillow(quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(made_up(1, 16, 16)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization
    # Files have them in zigzag order.
    for number, table in enumerate(quantisation(quality)):
        assert sorted(tables[number]) == sorted(table.ravel())


def test_area_weights_share_out_every_source_pixel() -> None:
    weights = area_weights(50, 17)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=0) * 50 / 17, 1)
