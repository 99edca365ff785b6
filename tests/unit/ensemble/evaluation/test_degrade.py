"""Reducing and enlarging: Keys' cubic with a = -1/2, antialiased, on an exact grid."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import upscale
from PIL import Image
from unit.ensemble.evaluation.pictures import scene

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic
from hndsr_ensemble.scale import Scale


def keys(distance: np.ndarray) -> np.ndarray:
    """Keys 1981, eq. 4 with a = -1/2."""
    d = np.abs(distance)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def weights(source: int, target: int, pixels: float) -> np.ndarray:
    """Rows of weights that make `target` pixels, `pixels` source pixels each, antialiased where `pixels` > 1."""
    stretch = max(1.0, pixels)
    centres = (np.arange(target) + 0.5) * pixels
    rows = keys((np.arange(source) + 0.5 - centres[:, None]) / stretch)
    return rows / rows.sum(axis=1, keepdims=True)


def resampled(image: np.ndarray, height: int, width: int, pixels: float) -> np.ndarray:
    across = np.einsum("ij,hjc->hic", weights(image.shape[1], width, pixels), image.astype(float))
    across = np.floor(np.clip(across, 0, 255) + 0.5)
    down = np.einsum("ij,jwc->iwc", weights(image.shape[0], height, pixels), across)
    return np.floor(np.clip(down, 0, 255) + 0.5)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (61, 85, 3), dtype=np.uint8)


@pytest.mark.parametrize(("numerator", "denominator"), [(2, 1), (4, 1), (7, 2), (22, 7), (8, 1)])
def test_reduction_is_the_antialiased_cubic(image: np.ndarray, numerator: int, denominator: int) -> None:
    reduced = reduce_bicubic(image, numerator, denominator)
    wanted = resampled(image, *reduced.shape[:2], numerator / denominator)
    assert np.abs(reduced - wanted).max() <= 1


@pytest.mark.parametrize("scale", ["4", "22/7", "1.5", "7.99"])
def test_enlargement_is_what_the_served_model_makes(image: np.ndarray, scale: str) -> None:
    assert np.array_equal(
        enlarge_bicubic(image, Scale.parse(scale)), upscale(image, model="bicubic", scale=scale).pixels
    )


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_enlargement_by_whole_scales_is_pillows_within_one_level_and_two_source_pixels(scale: int) -> None:
    whole = scene(1) // 2 + 64  # Pillow clips between rows and columns, too
    size = (scale * whole.shape[1], scale * whole.shape[0])
    pillows = np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.BICUBIC))
    difference = np.abs(enlarge_bicubic(whole, Scale(scale, 1)).astype(int) - pillows)
    assert difference[2 * scale : -2 * scale, 2 * scale : -2 * scale].max() <= 1


def test_enlargement_is_on_the_exact_grid_at_any_scale() -> None:
    """A ramp that stays one: each target pixel is where its area lies, also where the target was rounded."""
    ramp = np.broadcast_to(np.arange(45, dtype=np.uint8)[:, None] * 5, (45, 45))[..., None].repeat(3, axis=2)
    enlarged = enlarge_bicubic(ramp, Scale.parse("22/7"))
    wanted = ((np.arange(len(enlarged)) + 0.5) * 7 / 22 - 0.5) * 5
    assert np.abs(enlarged[8:-8, 0, 0] - wanted[8:-8]).max() <= 0.5 + 1e-6


def test_reduction_is_pillows_when_the_scale_divides_the_image(image: np.ndarray) -> None:
    whole = image[:60, :84]
    assert np.array_equal(reduce_bicubic(whole, 4), Image.fromarray(whole).resize((21, 15), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("numerator", "denominator", "shape"), [(4, 1, (15, 21)), (7, 2, (17, 24)), (1, 1, (61, 85))])
def test_reduction_makes_whole_pixels_only(
    image: np.ndarray, numerator: int, denominator: int, shape: tuple[int, int]
) -> None:
    assert reduce_bicubic(image, numerator, denominator).shape[:2] == shape


def test_flat_image_stays_flat() -> None:
    flat = np.full((40, 40, 3), 77, np.uint8)
    assert (reduce_bicubic(flat, 5, 2) == 77).all()
    assert (enlarge_bicubic(flat, Scale.parse("3.1")) == 77).all()


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 2), (9, 10)])
def test_reduction_refuses_to_enlarge(image: np.ndarray, numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError, match="below 1"):
        reduce_bicubic(image, numerator, denominator)


def test_reduction_refuses_an_image_under_one_pixel(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be reduced"):
        reduce_bicubic(image[:3], 4)
