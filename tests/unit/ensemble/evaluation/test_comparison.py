"""The side-by-side picture: where it looks, how large it is, what it shows."""

from __future__ import annotations

import numpy as np
import pytest

from hndsr_ensemble.evaluation.comparison import (
    BACKGROUND,
    GAP_PX,
    LABEL_PX,
    OUTLINE,
    PANEL_PX,
    Detail,
    Panel,
    draw_comparison,
    find_detail,
)


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def draw(target: np.ndarray, count: int, detail: Detail) -> np.ndarray:
    panels = [Panel(f"panel {k}", target) for k in range(count)]
    source = Panel("source", target[::4, ::4].copy())
    return draw_comparison(source, panels, detail, target_width=target.shape[1], target_height=target.shape[0])


def panel_at(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top = GAP_PX + row * (PANEL_PX + LABEL_PX + GAP_PX) + LABEL_PX
    left = GAP_PX + column * (PANEL_PX + GAP_PX)
    return sheet[top : top + PANEL_PX, left : left + PANEL_PX]


def test_detail_is_found_where_the_texture_is(target: np.ndarray) -> None:
    image = np.full_like(target, 128)
    image[120:180, 240:300] = target[120:180, 240:300]
    detail = find_detail(image, 64)
    assert detail.side == 64
    assert 100 <= detail.top <= 140
    assert 220 <= detail.left <= 260


@pytest.mark.parametrize(("height", "width"), [(50, 90), (90, 50), (64, 64), (3, 5), (1, 1)])
def test_detail_lies_within_the_image(height: int, width: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    detail = find_detail(image, 64)
    assert detail.side == min(64, height, width)
    assert 0 <= detail.top <= height - detail.side
    assert 0 <= detail.left <= width - detail.side


def test_detail_of_a_flat_image_is_its_corner() -> None:
    assert find_detail(np.full((90, 90, 3), 5, np.uint8), 64) == Detail(left=0, top=0, side=64)


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 2), (2, 1, 3), (3, 2, 3), (5, 2, 3), (6, 3, 3)])
def test_comparison_has_three_panels_a_row(target: np.ndarray, count: int, rows: int, columns: int) -> None:
    sheet = draw(target, count, Detail(left=0, top=0, side=64))
    height = GAP_PX + rows * (PANEL_PX + LABEL_PX + GAP_PX)
    assert sheet.shape == (height, GAP_PX + columns * (PANEL_PX + GAP_PX), 3)


def test_comparison_shows_the_pixels_of_the_detail_unsmoothed(target: np.ndarray) -> None:
    detail = Detail(left=100, top=50, side=PANEL_PX // 2)
    shown = panel_at(draw(target, 1, detail), 0, 1)
    assert np.array_equal(shown[::2, ::2], target[50 : 50 + PANEL_PX // 2, 100 : 100 + PANEL_PX // 2])
    assert np.array_equal(shown[::2, ::2], shown[1::2, 1::2])


def test_comparison_outlines_the_detail_in_the_whole_source(target: np.ndarray) -> None:
    whole = panel_at(draw(np.full_like(target, 60), 1, Detail(left=100, top=50, side=100)), 0, 0)
    rows, columns = np.nonzero((whole == OUTLINE).all(axis=-1))
    factor = PANEL_PX / 400
    assert (rows.min(), columns.min()) == (50 * factor, 100 * factor)
    assert (rows.max(), columns.max()) == pytest.approx((150 * factor, 200 * factor), abs=2)


def test_comparison_keeps_the_source_in_proportion(target: np.ndarray) -> None:
    whole = panel_at(draw(target, 1, Detail(left=0, top=0, side=10)), 0, 0)
    assert (whole[PANEL_PX * 3 // 4 + 1 :] == BACKGROUND).all()


def test_comparison_writes_a_label_over_every_panel(target: np.ndarray) -> None:
    sheet = draw(target, 2, Detail(left=0, top=0, side=64))
    labels = sheet[GAP_PX : GAP_PX + LABEL_PX]
    for column in range(3):
        left = GAP_PX + column * (PANEL_PX + GAP_PX)
        assert labels[:, left : left + PANEL_PX].min() < 100
