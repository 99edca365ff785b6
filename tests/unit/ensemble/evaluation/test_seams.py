"""Where windows meet, and how much that shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR

from hndsr_ensemble.evaluation.seams import seam_ratio, window_edges
from hndsr_ensemble.geometry import Axis, WindowGeometry

WINDOW = WindowGeometry(64, 48)


def slope(height: int, width: int) -> np.ndarray:
    return np.add.outer(np.arange(height), np.arange(width))[..., None].repeat(3, axis=2).astype(np.uint8)


def test_edges_are_where_windows_begin_and_end() -> None:
    assert window_edges(Axis(40, FOUR, WINDOW)) == [48, 64, 96, 112]


@pytest.mark.parametrize("length", [1, 16])
def test_one_window_has_no_edges(length: int) -> None:
    assert window_edges(Axis(length, FOUR, WINDOW)) == []


def test_seams_of_an_even_slope_do_not_show() -> None:
    assert seam_ratio(slope(112, 112), (28, 28), FOUR, WINDOW) == 1


def test_seams_show_where_a_window_begins() -> None:
    image = slope(112, 112)
    image[48:] += 5
    assert seam_ratio(image, (28, 28), FOUR, WINDOW) == pytest.approx((6 + 3 * 1) / 4)


def test_seams_are_none_in_an_image_of_one_window() -> None:
    assert math.isnan(seam_ratio(slope(64, 64), (16, 16), FOUR, WINDOW))


def test_seams_are_looked_for_along_the_side_that_has_them() -> None:
    image = slope(64, 112)
    image[:, 64:] += 5
    assert seam_ratio(image, (16, 28), FOUR, WINDOW) == pytest.approx((1 + 6) / 2)
