"""Reducing and enlarging: Keys' cubic with a = -1/2, antialiased, on an exact grid."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic


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


def test_enlargement_is_the_cubic(image: np.ndarray) -> None:
    enlarged = enlarge_bicubic(image, 4 * 61, 4 * 85)
    assert np.abs(enlarged - resampled(image, 4 * 61, 4 * 85, 0.25)).max() <= 1


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
    assert (enlarge_bicubic(flat, 123, 99) == 77).all()


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 2), (9, 10)])
def test_reduction_refuses_to_enlarge(image: np.ndarray, numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError, match="below 1"):
        reduce_bicubic(image, numerator, denominator)


def test_reduction_refuses_an_image_under_one_pixel(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be reduced"):
        reduce_bicubic(image[:3], 4)
