"""The drawn scene: reproducible, any size, lit by one sun."""

from __future__ import annotations

import numpy as np
import pytest

from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.evaluation.scene.canvas import STEP_M, Canvas, Sun, Window, covered
from hndsr_ensemble.evaluation.scene.frame import Frame
from hndsr_ensemble.evaluation.scene.layout import COUNTRY, TOWN, LandUse, Way, draw_layout
from hndsr_ensemble.evaluation.scene.light import shifted, sun_visibility
from hndsr_ensemble.evaluation.scene.noise import fractal_noise, value_noise

EAST_AT_45_DEGREES = Sun(azimuth_rad=np.pi / 2, elevation_rad=np.pi / 4)
RED = np.array((1, 0, 0), np.float32)
BLUE = np.array((0, 0, 1), np.float32)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return render_scene(160, 224, 4)


@pytest.fixture
def canvas() -> Canvas:
    frame = Frame(turn_rad=0.3, phase_u_rad=1.0, phase_v_rad=2.0)
    return Canvas(40, 50, frame=frame, sun=EAST_AT_45_DEGREES, rng=np.random.default_rng(0))


def middle_of(canvas: Canvas) -> tuple[float, float]:
    u, v = canvas.frame.to_streets(np.array([7.5]), np.array([6.0]))
    return float(u[0]), float(v[0])


def test_scene_is_an_rgb_picture_of_the_size_asked_for(scene: np.ndarray) -> None:
    assert (scene.shape, scene.dtype) == ((160, 224, 3), np.uint8)


def test_scene_has_the_same_bytes_when_the_seed_is_the_same(scene: np.ndarray) -> None:
    assert np.array_equal(scene, render_scene(160, 224, 4))


def test_scene_differs_when_the_seed_does(scene: np.ndarray) -> None:
    assert np.abs(scene.astype(int) - render_scene(160, 224, 5)).mean() > 10


def test_scene_is_neither_dark_nor_flat_nor_colourful(scene: np.ndarray) -> None:
    values = scene.astype(float)
    assert 80 < values.mean() < 160
    assert 20 < values.std() < 60
    assert (values.max(axis=-1) - values.min(axis=-1)).mean() < 45


@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (1, 37), (37, 1), (61, 7)])
def test_scene_can_have_any_size(height_px: int, width_px: int) -> None:
    assert render_scene(height_px, width_px, 0).shape == (height_px, width_px, 3)


@pytest.mark.parametrize(("height_px", "width_px"), [(0, 8), (8, 0), (-1, 8)])
def test_scene_refuses_an_empty_size(height_px: int, width_px: int) -> None:
    with pytest.raises(ValueError, match="at least 1 x 1"):
        render_scene(height_px, width_px, 0)


def test_frame_maps_back_and_forth_to_a_millimetre() -> None:
    frame = Frame.draw(np.random.default_rng(1))
    x, y = np.random.default_rng(2).uniform(-500, 500, (2, 1000))
    again = frame.to_image(*frame.to_streets(x, y))
    assert np.abs(np.stack(again) - np.stack((x, y))).max() < 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_layout_has_town_and_country_joined_by_roads(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = draw_layout(1024, 1024, Frame.draw(rng), rng)
    uses, ways = {block.use for block in layout.blocks}, {link.way for link in layout.links}
    assert LandUse.HOMES in uses
    assert uses & set(COUNTRY)
    assert {Way.MAIN_ROAD, Way.STREET} <= ways


def test_layout_leaves_no_block_of_the_town_without_a_street() -> None:
    rng = np.random.default_rng(7)
    layout = draw_layout(1024, 1024, Frame.draw(rng), rng)
    paved = {(link.along_u, link.across, link.start) for link in layout.links if link.way.value >= Way.STREET.value}
    inner = [block for block in layout.blocks if block.use in TOWN and block.low[1] > layout.v_lines[0]]
    assert inner
    assert all((True, block.low[1], block.low[0]) in paved for block in inner)


def test_shadow_falls_away_from_the_sun_as_long_as_the_body_is_high() -> None:
    height_m = np.zeros((9, 120), np.float32)
    height_m[:, 60:64] = 3.0
    visible = sun_visibility(height_m, EAST_AT_45_DEGREES)
    shaded = np.flatnonzero(visible[4] < 0.5)
    assert shaded.max() == 59
    assert len(shaded) == pytest.approx(3.0 / STEP_M, abs=2)


def test_level_ground_lies_in_full_sun() -> None:
    level = np.full((5, 6), 2.0, np.float32)
    assert (sun_visibility(level, EAST_AT_45_DEGREES) == 1).all()
    assert np.allclose(EAST_AT_45_DEGREES.irradiance(level), 1)


def test_slope_towards_the_sun_is_brighter_than_the_one_behind() -> None:
    ridge = -np.abs(np.arange(-10, 11, dtype=np.float32)) * np.float32(0.5 * STEP_M)
    light = EAST_AT_45_DEGREES.irradiance(np.tile(ridge, (3, 1)))
    assert light[1, 15] > 1 > light[1, 5]


def test_shifted_moves_and_fills() -> None:
    raster = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert shifted(raster, 0, 1, fill=-1.0).tolist() == [[1, 2, -1], [4, 5, -1]]
    assert shifted(raster, -1, 0, fill=-1.0).tolist() == [[-1, -1, -1], [0, 1, 2]]
    assert (shifted(raster, 5, 0, fill=-1.0) == -1).all()


def test_canvas_window_is_measured_from_its_point(canvas: Canvas) -> None:
    window = canvas.around(*middle_of(canvas), 1.5)
    assert abs(float(window.u.mean())) < STEP_M
    assert window.u.shape == window.v.shape == canvas.height_m[window.at].shape


def test_canvas_window_is_empty_beyond_the_canvas(canvas: Canvas) -> None:
    assert canvas.around(900.0, 900.0, 2.0).u.size == 0
    assert not canvas.sees(900.0, 900.0, 2.0)


def test_canvas_shows_the_higher_of_two_bodies(canvas: Canvas) -> None:
    window = canvas.around(*middle_of(canvas), 2.0)
    everywhere, level = np.ones(window.u.shape, np.bool_), np.ones_like(window.u)
    canvas.raise_surface(window, everywhere, 3 * level, RED)
    canvas.raise_surface(window, everywhere, 2 * level, BLUE)
    assert (canvas.albedo[window.at] == RED).all()


def test_canvas_place_is_taken_once_reserved(canvas: Canvas) -> None:
    at = middle_of(canvas)
    assert canvas.is_free(*at, 1.0)
    window = canvas.around(*at, 1.0)
    canvas.reserve(window, window.u < 0)
    assert not canvas.is_free(*at, 1.0)


def test_coverage_is_half_on_the_edge() -> None:
    distance_m = np.array([[-1, 0, 1]], np.float32)
    assert covered(distance_m).tolist() == [[1, 0.5, 0]]


def test_box_distance_is_negative_inside_only() -> None:
    u, v = np.meshgrid(np.array((-3, 0, 3), np.float32), np.array((-2, 0, 2), np.float32))
    inside = Window(slice(0, 3), slice(0, 3), u, v).box(4.0, 3.0) < 0
    assert inside.tolist() == [[False] * 3, [False, True, False], [False] * 3]


@pytest.mark.parametrize("cell", [1.0, 2.5, 20.0])
def test_noise_has_mean_zero_and_a_deviation_near_one(cell: float) -> None:
    field = value_noise(400, 400, cell, np.random.default_rng(3))
    assert abs(field.mean()) < 0.1
    assert 0.5 < field.std() < 1.1


def test_fractal_noise_is_scaled_to_a_deviation_near_one() -> None:
    assert 0.5 < fractal_noise(300, 300, (8.0, 4.0, 2.0), np.random.default_rng(3)).std() < 1.1
