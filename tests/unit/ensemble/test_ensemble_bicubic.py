"""Bicubic interpolation against exact fractions and against Pillow, alone and as what out-of-range samples get."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.ensemble import design_reference as reference
from unit.ensemble.tile_cases import SCALES, Cut, HashedWindows, Picture, random_picture, uniform_picture

from hndsr_ensemble.bicubic import cubic_taps, interpolate_points
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import Tile, TileGeometry, UpscaledTile
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.values import full_ranges
from hndsr_ensemble.windows import WindowFunction

scales = st.sampled_from([Scale.parse(text) for text in SCALES])


def upscale(manifest: Manifest, run: WindowFunction, pixels: np.ndarray, scale: str) -> np.ndarray:
    """A whole image as one tile of the bicubic model."""
    rows, columns = (Axis(size, Scale.parse(scale), manifest.geometry) for size in pixels.shape[:2])
    geometry = TileGeometry.of(rows, columns, rows.span(0, rows.windows), columns.span(0, columns.windows))
    tile = Tile(pixels, geometry, full_ranges(pixels.dtype), manifest.default_options)
    tiler = Tiler(manifest, revision="r", run=run, batch=4, cache=WindowCache(0))
    return tiler.run(tile, cancelled=lambda: False).pixels


def exact(pixels: np.ndarray, scale: str, *, points: int, seed: int = 0) -> list[tuple[tuple[int, int, int], Fraction]]:
    """Exact values of some target samples of an image, its corners among them."""
    ratio, random = Scale.parse(scale), np.random.default_rng(seed)
    num, den = ratio.numerator, ratio.denominator
    height, width = (reference.target_size(size, num, den) for size in pixels.shape[:2])
    drawn = zip(random.integers(0, height, points).tolist(), random.integers(0, width, points).tolist(), strict=True)
    places = [(0, 0), (height - 1, width - 1), (0, width - 1), (height - 1, 0), *drawn]
    valid = np.ones(pixels.shape[:2], bool)
    return [
        ((y, x, band), reference.bicubic_sample(pixels[..., band], valid, (y, x), num, den))
        for (y, x), band in zip(places, random.integers(0, 3, len(places)).tolist(), strict=True)
    ]


@given(scale=scales, at=st.integers(0, 10**6))
@settings(deadline=None, max_examples=200)
def test_taps_start_where_the_exact_ones_do(scale: Scale, at: int) -> None:
    first, _ = cubic_taps(np.array([at]), scale)
    assert first.tolist() == [reference.taps(at, scale.numerator, scale.denominator)[0][0]]


@given(scale=scales, at=st.integers(0, 10**6))
@settings(deadline=None, max_examples=200)
def test_tap_weights_are_those_of_keys(scale: Scale, at: int) -> None:
    _, weights = cubic_taps(np.array([at]), scale)
    whole = 2 * (2 * scale.numerator) ** 3
    expected = [float(Fraction(weight, whole)) for _, weight in reference.taps(at, scale.numerator, scale.denominator)]
    np.testing.assert_allclose(weights[:, 0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_model_yields_the_exact_value(
    bicubic: Manifest, bicubic_function: WindowFunction, scale: str, dtype: type[np.unsignedinteger]
) -> None:
    limit = int(np.iinfo(dtype).max)
    pixels = np.random.default_rng(1).integers(0, limit + 1, (90, 70, 3)).astype(dtype)
    target = upscale(bicubic, bicubic_function, pixels, scale)
    slack = Fraction(1, 2) + Fraction(limit, 2**22)  # windows travel as float32
    off = [
        (place, value)
        for place, value in exact(pixels, scale, points=300)
        if abs(int(target[place]) - min(limit, max(0, value))) > slack
    ]
    assert not off


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (3, 100)])
def test_bicubic_model_yields_the_exact_value_when_the_image_is_thin(
    bicubic: Manifest, bicubic_function: WindowFunction, size: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    target = upscale(bicubic, bicubic_function, pixels, "3.7")
    slack = Fraction(1, 2) + Fraction(1, 10**4)
    off = [
        (place, value)
        for place, value in exact(pixels, "3.7", points=100)
        if abs(int(target[place]) - min(255, max(0, value))) > slack
    ]
    assert not off


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 7, 8])
def test_bicubic_model_agrees_with_pillow_in_the_interior(
    bicubic: Manifest, bicubic_function: WindowFunction, factor: int
) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (70, 60, 3), dtype=np.uint8)
    size = (60 * factor, 70 * factor)
    bands = [
        Image.fromarray(band).resize(size, Image.Resampling.BICUBIC)
        for band in pixels.astype(np.float32).transpose(2, 0, 1)
    ]
    pillow = np.clip(np.stack([np.asarray(band) for band in bands], axis=-1), 0, 255)
    target = upscale(bicubic, bicubic_function, pixels, str(factor))
    inner = np.s_[2 * factor : -2 * factor, 2 * factor : -2 * factor]
    assert np.abs(target[inner] - pillow[inner]).max() < 0.501


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_model_leaves_a_uniform_image_as_it_is(
    bicubic: Manifest, bicubic_function: WindowFunction, scale: str, value: int
) -> None:
    assert (upscale(bicubic, bicubic_function, np.full((40, 80, 3), value, np.uint8), scale) == value).all()


@given(seed=st.integers(0, 2**32), scale=scales, density=st.sampled_from([0.2, 0.6, 1.0]))
@settings(deadline=None, max_examples=60)
def test_points_have_the_exact_value_of_their_valid_taps(seed: int, scale: Scale, density: float) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 8, 2).tolist()
    samples = random.integers(0, 65536, (height, width), dtype=np.uint16)
    valid = random.random((height, width)) < density
    terms = (scale.numerator, scale.denominator)
    rows, columns = (int(random.integers(reference.target_size(size, *terms))) for size in (height, width))
    valid[reference.nearest(rows, height, *terms), reference.nearest(columns, width, *terms)] = True
    value = interpolate_points(
        samples,
        valid,
        rows=np.array([rows]),
        columns=np.array([columns]),
        top=0,
        left=0,
        image=(height, width),
        scale=scale,
    )
    expected = reference.bicubic_sample(samples, valid, (rows, columns), *terms)
    np.testing.assert_allclose(value, float(expected), rtol=1e-9, atol=1e-6)


def narrow(picture: Picture, low: int, high: int) -> Picture:
    """The same with a value range of its own for all bands."""
    return replace(picture, ranges=((low, high),) * 3)


def run(picture: Picture) -> UpscaledTile:
    """The whole image as one tile."""
    tiler = Cut((), 0, 3).tiler(picture, HashedWindows(picture))
    return tiler.run(picture.tile(picture.whole), cancelled=lambda: False)


@pytest.mark.parametrize("value", [0, 9, 201, 255])
def test_out_of_range_samples_keep_their_value_when_their_surroundings_share_it(value: int) -> None:
    assert (run(narrow(uniform_picture(value), 10, 200)).pixels == value).all()


@pytest.mark.parametrize("value", [10, 200])
def test_ends_of_the_range_are_within_it(value: int) -> None:
    assert run(narrow(uniform_picture(value), 10, 200)).stats.out_of_range == 0


@pytest.mark.parametrize("value", [9, 201])
def test_out_of_range_samples_are_counted_per_target_sample(value: int) -> None:
    picture = narrow(uniform_picture(100), 10, 200)
    pixels = picture.pixels.copy()
    pixels[3, 4] = value
    assert run(picture.with_pixels(pixels)).stats.out_of_range == 3 * 16


def test_out_of_range_is_decided_band_by_band() -> None:
    picture = narrow(uniform_picture(100), 10, 200)
    pixels = picture.pixels.copy()
    pixels[3, 4, 1] = 255
    assert run(picture.with_pixels(pixels)).stats.out_of_range == 16


def test_out_of_range_samples_take_the_exact_bicubic_value() -> None:
    picture = narrow(random_picture(size=(20, 20)), 60, 190)
    result, expected = run(picture), picture.reference()
    place = expected.interpolated
    assert ((expected.low[place] <= result.pixels[place]) & (result.pixels[place] <= expected.high[place])).all()


def test_out_of_range_samples_are_clamped_to_the_sample_type() -> None:
    pixels = np.zeros((30, 30, 3), np.uint8)
    pixels[:, 15:] = 255
    assert set(np.unique(run(narrow(uniform_picture(0).with_pixels(pixels), 1, 254)).pixels)) >= {0, 255}


def test_invalid_samples_are_not_counted_as_out_of_range() -> None:
    picture = narrow(uniform_picture(255), 10, 200)
    mask = picture.valid.copy()
    mask[5:] = False
    assert run(replace(picture, mask=mask)).stats.out_of_range == 3 * 160 * 20


@pytest.mark.parametrize("cores", [(0, 2, 0, 2), (1, 2, 1, 2)])
def test_out_of_range_is_counted_within_the_tile_alone(cores: tuple[int, int, int, int]) -> None:
    picture = narrow(uniform_picture(255), 10, 200)
    tiler = Cut((), 0, 3).tiler(picture, HashedWindows(picture))
    result = tiler.run(picture.tile(cores), cancelled=lambda: False)
    assert result.stats.out_of_range == result.pixels.size
