"""Invalid pixels: how they travel, what replaces them, and that they never bleed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ensemble import design_reference as reference
from unit.ensemble.tile_cases import (
    Cut,
    HashedWindows,
    Picture,
    cut_pictures,
    pictures,
    random_picture,
    uniform_picture,
)

from hndsr_ensemble.masks import fill_invalid, pack_mask, unpack_mask
from hndsr_ensemble.tiles import UpscaledTile

shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))
seeds = st.integers(0, 2**32)


def upscale(picture: Picture, function: HashedWindows | None = None) -> UpscaledTile:
    """The whole image as one tile."""
    tiler = Cut((), 0, 3).tiler(picture, function or HashedWindows(picture))
    return tiler.run(picture.tile(picture.whole), cancelled=lambda: False)


@given(shapes, seeds)
@settings(deadline=None, max_examples=50)
def test_mask_survives_its_bytes(shape: tuple[int, int], seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.5
    assert np.array_equal(unpack_mask(pack_mask(mask), height=shape[0], width=shape[1]), mask)


@given(shapes, seeds)
@settings(deadline=None, max_examples=50)
def test_packed_mask_is_one_bit_a_pixel_row_by_row_highest_first(shape: tuple[int, int], seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.5
    bits = "".join("1" if valid else "0" for row in mask.tolist() for valid in row)
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    assert pack_mask(mask).tobytes() == int(padded, 2).to_bytes(len(padded) // 8, "big")


@pytest.mark.parametrize("size_bytes", [0, 1, 3, 100])
def test_packed_mask_is_refused_when_its_length_does_not_fit(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="takes 2 bytes"):
        unpack_mask(np.zeros(size_bytes, np.uint8), height=3, width=5)


@given(shapes, seeds, st.sampled_from([np.uint8, np.uint16]), st.floats(0, 1))
@settings(deadline=None, max_examples=80)
def test_fill_is_the_rounded_mean_of_each_band(
    shape: tuple[int, int], seed: int, dtype: type[np.unsignedinteger], density: float
) -> None:
    random = np.random.default_rng(seed)
    samples = random.integers(0, np.iinfo(dtype).max + 1, (*shape, 3)).astype(dtype)
    mask = random.random(shape) < density
    mask[random.integers(shape[0]), random.integers(shape[1])] = True
    assert np.array_equal(fill_invalid(samples, mask), reference.filled(samples, mask))


@pytest.mark.parametrize(("values", "mean"), [((0, 1), 1), ((0, 0, 1), 0), ((65535, 65534), 65535), ((3, 4, 4, 3), 4)])
def test_fill_rounds_halves_up(values: tuple[int, ...], mean: int) -> None:
    samples = np.repeat(np.array([*values, 9], np.uint16)[None, :, None], 3, axis=2)
    mask = np.array([[True] * len(values) + [False]])
    assert fill_invalid(samples, mask)[0, -1].tolist() == [mean] * 3


def test_fill_does_not_overflow_when_a_large_window_is_white() -> None:
    samples = np.full((400, 400, 3), 65535, np.uint16)
    mask = np.ones((400, 400), bool)
    mask[0, 0] = False
    assert fill_invalid(samples, mask).min() == 65535


@given(cut_pictures(masked=True), seeds)
@settings(deadline=None, max_examples=50)
def test_target_does_not_depend_on_what_invalid_pixels_hold(case: tuple[Picture, Cut], seed: int) -> None:
    picture, cut = case
    noise = np.random.default_rng(seed).integers(0, np.iinfo(picture.pixels.dtype).max + 1, picture.pixels.shape)
    other = np.where(picture.valid[..., None], picture.pixels, noise).astype(picture.pixels.dtype)
    assert cut.run(picture)[0].pixels.tobytes() == cut.run(picture.with_pixels(other))[0].pixels.tobytes()


@given(pictures(masked=True))
@settings(deadline=None, max_examples=30)
def test_invalid_target_pixels_are_zero(picture: Picture) -> None:
    invalid = ~picture.rules.over_target(picture.valid)
    assert not upscale(picture).pixels[invalid].any()


@given(pictures(masked=False))
@settings(deadline=None, max_examples=20)
def test_target_is_the_same_when_all_pixels_are_said_to_be_valid(picture: Picture) -> None:
    said = replace(picture, mask=picture.valid)
    assert upscale(said).pixels.tobytes() == upscale(picture).pixels.tobytes()


@given(pictures(masked=False))
@settings(deadline=None, max_examples=20)
def test_target_mask_is_left_out_when_all_pixels_are_valid(picture: Picture) -> None:
    assert upscale(replace(picture, mask=picture.valid)).mask is None


def test_target_mask_is_left_out_when_the_invalid_pixels_are_outside_of_the_tile() -> None:
    picture = random_picture(size=(40, 40))
    mask = picture.valid.copy()
    mask[0, 0] = False
    tile = replace(picture, mask=mask).tile((1, 2, 1, 2))
    result = Cut((), 0, 1).tiler(picture, HashedWindows(picture)).run(tile, cancelled=lambda: False)
    assert result.mask is None


def test_valid_zeros_stay_valid() -> None:
    picture = uniform_picture(0)
    mask = picture.valid.copy()
    mask[20:] = False
    result = upscale(replace(picture, mask=mask))
    assert result.mask is not None
    assert np.array_equal(result.mask, picture.rules.over_target(mask))


def test_no_window_is_run_when_nothing_is_valid() -> None:
    picture = random_picture(mask=np.zeros((40, 40), bool))
    function = HashedWindows(picture)
    upscale(picture, function)
    assert not function.batches


def test_empty_windows_are_counted_when_a_single_pixel_is_valid() -> None:
    mask = np.zeros((40, 40), bool)
    mask[0, 0] = True
    stats = upscale(random_picture(mask=mask)).stats
    assert (stats.windows, stats.empty_windows) == (16, 15)


def test_pixel_under_the_centre_decides_when_a_target_pixel_lies_on_an_edge() -> None:
    picture = uniform_picture(9, size=3, scale="1.5")
    result = upscale(replace(picture, mask=np.array([[True, False, True]] * 3)))
    assert result.mask is not None
    assert result.mask[0].tolist() == [True, False, False, True, True]
