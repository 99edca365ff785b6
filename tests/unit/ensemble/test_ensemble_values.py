"""Samples to the networks' range and back."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hndsr_ensemble.values import check_ranges, full_ranges, normalise, out_of_range, quantise

TIE = Fraction(1, 10**9)
"""How close to a half double precision may round either way."""

UINT8, UINT16 = np.dtype(np.uint8), np.dtype(np.uint16)


def bands(*limits: tuple[float, float]) -> np.ndarray:
    return np.array(limits if len(limits) == 3 else limits * 3, dtype=np.float64)


def every_value(dtype: np.dtype) -> np.ndarray:
    values = np.arange(np.iinfo(dtype).max + 1).reshape(-1, 256)
    return np.repeat(values[..., None], 3, axis=2).astype(dtype)


@pytest.mark.parametrize("dtype", [UINT8, UINT16])
def test_every_value_survives_the_networks_range(dtype: np.dtype) -> None:
    values, ranges = every_value(dtype), full_ranges(dtype)
    assert np.array_equal(quantise(normalise(values, ranges), ranges, dtype), values)


@given(low=st.integers(0, 65534), span=st.integers(1, 65535))
@settings(deadline=None, max_examples=20)
def test_every_value_of_a_narrow_range_survives_it(low: int, span: int) -> None:
    values, ranges = every_value(UINT16), bands((low, min(65535, low + span)))
    expected = np.clip(values, low, min(65535, low + span))
    assert np.array_equal(quantise(normalise(values, ranges), ranges, UINT16), expected)


@pytest.mark.parametrize("dtype", [UINT8, UINT16])
def test_full_ranges_are_all_values_of_each_band(dtype: np.dtype) -> None:
    assert full_ranges(dtype).tolist() == [[0, np.iinfo(dtype).max]] * 3


def test_normalise_maps_8_bits_as_the_networks_were_trained() -> None:
    values = every_value(UINT8)
    expected = values.transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(normalise(values, full_ranges(UINT8)), expected, rtol=0, atol=1e-7)


def test_normalise_maps_the_ends_of_the_range_exactly() -> None:
    samples = np.array([[[10, 20, 30], [110, 121, 255]]], dtype=np.uint8)
    unit = normalise(samples, bands((10, 110), (20, 121), (30, 255)))
    assert unit.ravel().tolist() == [-1, 1, -1, 1, -1, 1]


@pytest.mark.parametrize(("sample", "unit"), [(0, -1), (9, -1), (201, 1), (255, 1)])
def test_normalise_clamps_what_is_out_of_range(sample: int, unit: int) -> None:
    samples = np.full((1, 1, 3), sample, np.uint8)
    assert normalise(samples, bands((10, 200))).ravel().tolist() == [unit] * 3


def test_normalise_puts_channels_first() -> None:
    samples = np.zeros((2, 4, 3), np.uint8)
    samples[1, 2, 0] = 255
    assert np.argwhere(normalise(samples, full_ranges(UINT8)) > 0).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("unit", "sample"), [(-1, 10), (1, 200), (-7, 10), (7, 200), (np.inf, 200), (-np.inf, 10)])
def test_quantise_clamps_to_the_range(unit: float, sample: int) -> None:
    result = quantise(np.full((3, 1, 1), unit, np.float32), bands((10, 200)), UINT8)
    assert result.ravel().tolist() == [sample] * 3


@given(unit=st.floats(-1.5, 1.5, width=32), low=st.integers(0, 65000), span=st.integers(1, 535))
@settings(deadline=None, max_examples=200)
def test_quantise_rounds_to_the_nearest_sample(unit: float, low: int, span: int) -> None:
    exact = min(Fraction(low + span), max(Fraction(low), low + (Fraction(unit) + 1) * span / 2))
    result = quantise(np.full((3, 1, 1), unit, np.float32), bands((low, low + span)), UINT16)
    bounds = [math.floor(exact + Fraction(1, 2) + margin) for margin in (-TIE, TIE)]
    assert bounds[0] <= result[0, 0, 0] <= bounds[1]


@pytest.mark.parametrize(("unit", "sample"), [(0.25, 3), (-0.25, 2), (-0.75, 1)])
def test_quantise_rounds_an_exact_half_up(unit: float, sample: int) -> None:
    result = quantise(np.full((3, 1, 1), unit, np.float32), bands((0, 4)), UINT8)
    assert result[0, 0].tolist() == [sample] * 3


def test_quantise_yields_rows_that_can_be_hashed_and_sent() -> None:
    assert quantise(np.zeros((3, 5, 7), np.float32), full_ranges(UINT8), UINT8).flags.c_contiguous


def test_out_of_range_is_what_lies_beyond_the_range_of_its_band() -> None:
    samples = np.array([[[9, 10, 200], [10, 9, 201]]], dtype=np.uint8)
    result = out_of_range(samples, bands((10, 255), (0, 9), (0, 200)))
    assert result.tolist() == [[[True, True, False], [False, False, True]]]


@pytest.mark.parametrize("limits", [(0, 255), (0, 1), (254, 255), (0.5, 0.75), (3, 200)])
def test_ranges_are_accepted(limits: tuple[float, float]) -> None:
    check_ranges(bands(limits), UINT8)


@pytest.mark.parametrize(
    "limits",
    [(5, 5), (6, 5), (-1, 5), (0, 256), (0, math.inf), (-math.inf, 5), (math.nan, 5), (0, math.nan), (256, 300)],
)
def test_ranges_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="value range"):
        check_ranges(bands(limits), UINT8)


@pytest.mark.parametrize("band", range(3))
def test_refused_range_names_its_band(band: int) -> None:
    ranges = full_ranges(UINT16)
    ranges[band, 1] = 65536
    with pytest.raises(ValueError, match=f"of band {band} is not within 0…65535"):
        check_ranges(ranges, UINT16)
