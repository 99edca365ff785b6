"""Samples of other kinds to RGB and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from unit.gateway.images.files import profile_of, samples, srgb_profile

from hndsr_gateway.images import colour


@given(red=st.integers(0, 65_535), green=st.integers(0, 65_535), blue=st.integers(0, 65_535))
def test_luma_is_the_rounded_weighted_mean(red: int, green: int, blue: int) -> None:
    expected = (299 * red + 587 * green + 114 * blue + 500) // 1000
    assert colour.luma(np.array([[[red, green, blue]]], np.uint16))[0, 0] == expected


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_luma_of_equal_bands_is_each_of_them(dtype: str) -> None:
    grey = np.arange(np.iinfo(dtype).max + 1, dtype=np.int64).astype(dtype)[None]
    np.testing.assert_array_equal(colour.luma(colour.grey_to_rgb(grey)), grey)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_spread_takes_the_ends_of_the_range_to_the_ends_of_8_bits(bits: int) -> None:
    ends = np.array([0, 2**bits - 1], np.uint8)
    assert colour.spread(ends, bits=bits).tolist() == [0, 255]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_divide_by_alpha_is_the_inverse_of_multiplying_where_opaque(dtype: str) -> None:
    plane = samples(1, 9, 9, dtype=dtype)
    np.testing.assert_array_equal(colour.divide_by_alpha(plane, np.full((9, 9), np.iinfo(dtype).max, dtype)), plane)


def test_divide_by_alpha_never_exceeds_the_range() -> None:
    assert colour.divide_by_alpha(np.full((1, 1, 1), 255, np.uint8), np.full((1, 1), 3, np.uint8)).item() == 255


@pytest.mark.parametrize("profile", [b"", b"no profile", profile_of(b"CMYK"), srgb_profile()], ids=range(4))
def test_cmyk_to_srgb_is_pillows_conversion_without_a_profile_that_is_one(profile: bytes) -> None:
    inks = samples(9, 9, 4)
    expected = np.asarray(Image.frombytes("CMYK", (9, 9), inks.tobytes()).convert("RGB"))
    np.testing.assert_array_equal(colour.cmyk_to_srgb(profile)(inks), expected)


@pytest.mark.parametrize(("space", "grey"), [(b"RGB ", False), (b"GRAY", True)], ids=["rgb", "grey"])
def test_fitting_icc_keeps_a_profile_for_samples_of_its_kind(space: bytes, *, grey: bool) -> None:
    assert colour.fitting_icc(profile_of(space), grey=grey) == profile_of(space)


@pytest.mark.parametrize("profile", [profile_of(b"GRAY"), profile_of(b"RGB ")[:127], bytes(200)], ids=range(3))
def test_fitting_icc_drops_what_is_no_profile_for_rgb(profile: bytes) -> None:
    assert colour.fitting_icc(profile, grey=False) == b""
