"""Blending weights sum to the same everywhere, and blending neither rounds away nor overflows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ensemble import design_reference as reference
from unit.ensemble.tile_cases import make_manifest, uniform_picture

from hndsr_ensemble.blending import RAMPS, Canvas, blend_ramp, window_weights
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.windows import WindowBatch

WINDOW = WindowGeometry(256, 224)
UNIT = Scale(1, 1)
"""At this scale an axis has any length that one likes."""


@pytest.mark.parametrize("overlap_px", RAMPS)
def test_ramp_is_the_formula(overlap_px: int) -> None:
    assert list(RAMPS[overlap_px]) == reference.ramp(overlap_px)


@pytest.mark.parametrize("overlap_px", RAMPS)
def test_ramp_and_its_mirror_image_sum_to_256(overlap_px: int) -> None:
    ramp = blend_ramp(overlap_px)
    assert (ramp + ramp[::-1]).tolist() == [256] * overlap_px


@pytest.mark.parametrize("overlap_px", RAMPS)
def test_ramp_rises(overlap_px: int) -> None:
    assert (np.diff(blend_ramp(overlap_px).astype(int)) >= 0).all()


@pytest.mark.parametrize("overlap_px", [0, 31, 33])
def test_ramp_is_refused_when_it_is_not_tabulated(overlap_px: int) -> None:
    with pytest.raises(ValueError, match=f"of {overlap_px} px"):
        blend_ramp(overlap_px)


@pytest.mark.parametrize("target", [256, 257, 480, 481, 2000])
def test_window_weights_follow_the_rules(target: int) -> None:
    axis = Axis(target, UNIT, WINDOW)
    for index in range(axis.windows):
        assert window_weights(axis, index).tolist() == reference.axis_weights(index, axis.windows, 256, 224)


@pytest.mark.parametrize("target", [1, 255, 256])
def test_window_weights_are_full_when_the_window_is_alone(target: int) -> None:
    assert set(window_weights(Axis(target, UNIT, WINDOW), 0).tolist()) == {256}


def _summed(axis: Axis) -> np.ndarray:
    """Sum of all windows' weights along an axis."""
    total = np.zeros(axis.windows * 224 + 32, dtype=np.int64)
    for index in range(axis.windows):
        total[index * 224 : index * 224 + 256] += window_weights(axis, index)
    return total[: axis.target_length]


def test_weights_sum_to_256_at_every_pixel_of_every_length() -> None:
    wrong = [target for target in range(1, 1600) if (_summed(Axis(target, UNIT, WINDOW)) != 256).any()]
    assert not wrong


@pytest.mark.parametrize(("height", "width"), [(1, 1), (256, 257), (480, 481), (225, 705)])
def test_products_of_weights_sum_to_65536_at_every_pixel(height: int, width: int) -> None:
    rows, columns = Axis(height, UNIT, WINDOW), Axis(width, UNIT, WINDOW)
    assert (np.outer(_summed(rows), _summed(columns)) == 65536).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [10, 29, 60])
@pytest.mark.parametrize("level", ["lowest", "highest"])
def test_uniform_image_stays_as_it_is(dtype: type[np.unsignedinteger], size: int, level: str) -> None:
    value = 0 if level == "lowest" else int(np.iinfo(dtype).max)
    picture = uniform_picture(value, size=size, dtype=dtype)

    def identity(batch: WindowBatch) -> np.ndarray:
        return np.broadcast_to(batch.lr[:, :, :1, :1], (len(batch.lr), 3, 64, 64)).copy()

    tiler = Tiler(make_manifest(), revision="r", run=identity, batch=3, cache=WindowCache(0))
    result = tiler.run(picture.tile(picture.whole), cancelled=lambda: False)
    assert (result.pixels == value).all()


def canvas_of(height: int, width: int, dtype: np.dtype[np.unsignedinteger] | None = None) -> Canvas:
    return Canvas(top=0, left=0, height=height, width=width, overlap_px=32, dtype=dtype or np.dtype(np.uint8))


def _blended(axes: tuple[Axis, Axis], windows: np.ndarray, order: list[int]) -> np.ndarray:
    """A whole image's windows on one canvas; `windows` is [row, column, 256, 256, 3]."""
    rows, columns = axes
    canvas = canvas_of(rows.target_length, columns.target_length, windows.dtype)
    for place in order:
        row, column = divmod(place, columns.windows)
        canvas.add(
            windows[row, column],
            top=rows.window_start(row),
            left=columns.window_start(column),
            row_weights=window_weights(rows, row),
            column_weights=window_weights(columns, column),
        )
    return canvas.finish()


@given(order=st.permutations(range(6)), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=10)
def test_canvas_does_not_depend_on_the_order_of_windows(order: list[int], seed: int) -> None:
    axes = (Axis(300, UNIT, WINDOW), Axis(500, UNIT, WINDOW))
    windows = np.random.default_rng(seed).integers(0, 65536, (2, 3, 256, 256, 3), dtype=np.uint16)
    assert _blended(axes, windows, order).tobytes() == _blended(axes, windows, list(range(6))).tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_canvas_is_exact_when_windows_are_black_or_white(dtype: type[np.unsignedinteger]) -> None:
    axes = (Axis(300, UNIT, WINDOW), Axis(300, UNIT, WINDOW))
    random = np.random.default_rng(0)
    windows = (random.integers(0, 2, (2, 2, 256, 256, 3)) * np.iinfo(dtype).max).astype(dtype)
    total = np.zeros((480, 480, 3), dtype=object)
    for row in range(2):
        for column in range(2):
            weights = np.outer(*(np.array(reference.axis_weights(i, 2, 256, 224), object) for i in (row, column)))
            place = (slice(224 * row, 224 * row + 256), slice(224 * column, 224 * column + 256))
            total[place] += weights[..., None] * windows[row, column].astype(object)
    expected = ((total + 32768) // 65536)[:300, :300]
    assert np.array_equal(_blended(axes, windows, [0, 1, 2, 3]), expected)


@pytest.mark.parametrize(
    ("top", "left"), [(-64, 0), (0, -64), (50, 0), (0, 70), (-100, -100), (1000, 1000), (49, 69), (-63, -63)]
)
def test_canvas_keeps_only_what_lies_on_it(top: int, left: int) -> None:
    canvas, window = canvas_of(50, 70), np.full((64, 64, 3), 255, np.uint8)
    weights = np.full(64, 256, np.uint16)
    canvas.add(window, top=top, left=left, row_weights=weights, column_weights=weights)
    expected = np.zeros((50, 70), int)
    expected[max(0, top) : max(0, top + 64), max(0, left) : max(0, left + 64)] = 255
    assert np.array_equal(canvas.finish()[..., 0], expected)


@pytest.mark.parametrize("corner", [(-64, 0), (0, -64), (-200, 300), (100, 0), (0, 100), (300, 300)])
def test_canvas_is_untouched_when_a_window_lies_outside(corner: tuple[int, int]) -> None:
    canvas, weights = canvas_of(100, 100), np.full(64, 256, np.uint16)
    window = np.full((64, 64, 3), 255, np.uint8)
    canvas.add(window, top=corner[0], left=corner[1], row_weights=weights, column_weights=weights)
    assert not canvas.finish().any()
