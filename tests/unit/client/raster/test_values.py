"""Samples travel and come back, and no valid one ever reads as nodata."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hndsr_client._raster.values import (
    SAMPLE_DTYPES,
    OutOfSpanError,
    TargetForm,
    Transfer,
    as_sample,
    check_steps,
    transfer_of,
    widened,
)
from hndsr_client.errors import ArgumentError

INTEGERS = ("uint8", "uint16", "int16")
FLOATS = ("float32", "float64")
EVERYWHERE = np.ones((2, 3), np.bool_)


def finite(dtype: str) -> st.SearchStrategy[Any]:
    return hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)


def measured(samples: npt.NDArray[Any]) -> Transfer:
    return transfer_of(samples.dtype.name, [(float(band.min()), float(band.max())) for band in samples.T])


def arrays(dtype: str) -> st.SearchStrategy[npt.NDArray[Any]]:
    return hnp.arrays(np.dtype(dtype), (2, 3, 3), elements=finite(dtype))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", INTEGERS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_transfer_brings_integers_back_exactly(dtype: str, order: str, data: st.DataObject) -> None:
    samples = data.draw(arrays(dtype))
    transfer = transfer_of(dtype)
    wire = transfer.to_wire(samples.astype(np.dtype(dtype).newbyteorder(order)), EVERYWHERE)
    np.testing.assert_array_equal(transfer.to_native(wire), samples)


def test_transfer_brings_every_int16_back_in_order() -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16).reshape(256, 256, 1).repeat(3, axis=2)
    wire = transfer_of("int16").to_wire(samples, np.ones((256, 256), np.bool_))
    np.testing.assert_array_equal(wire[..., 0].ravel(), np.arange(65536))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", FLOATS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_transfer_brings_floats_back_within_half_a_step(dtype: str, order: str, data: st.DataObject) -> None:
    samples = data.draw(arrays(dtype))
    transfer = measured(samples)
    back = transfer.to_native(transfer.to_wire(samples.astype(np.dtype(dtype).newbyteorder(order)), EVERYWHERE))
    for channel, (low, high) in enumerate(transfer.spans):
        half = (Fraction(high) - Fraction(low)) / 65535 / 2
        rounding = 8 * Fraction(float(np.finfo(dtype).eps)) * Fraction(max(abs(low), abs(high)))
        for one, other in zip(samples[..., channel].ravel(), back[..., channel].ravel(), strict=True):
            assert abs(Fraction(float(one)) - Fraction(float(other))) <= half + rounding


@pytest.mark.parametrize("dtype", FLOATS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_transfer_keeps_the_order_of_floats(dtype: str, data: st.DataObject) -> None:
    samples = data.draw(arrays(dtype))
    wire = measured(samples).to_wire(samples, EVERYWHERE)
    for channel in range(3):
        order = np.argsort(samples[..., channel].ravel())
        assert (np.diff(wire[..., channel].ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("dtype", FLOATS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_transfer_brings_the_ends_of_a_span_back_exactly(dtype: str, data: st.DataObject) -> None:
    samples = data.draw(arrays(dtype))
    transfer = measured(samples)
    back = transfer.to_native(np.array([[[0] * 3, [65535] * 3]], np.uint16))
    np.testing.assert_array_equal(back[0].T, np.array(transfer.spans, dtype))


@pytest.mark.parametrize("value", [0.0, -7.5, 1e-45, 3.4028234663852886e38, -3.4028234663852886e38])
def test_transfer_keeps_a_constant_band_exactly(value: float) -> None:
    samples = np.full((2, 3, 3), value, np.float32)
    transfer = measured(samples)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    assert (transfer.to_native(every) == np.float32(value)).all()


def test_transfer_takes_any_payload_where_samples_are_not_valid() -> None:
    payloads = np.array([0x7FA00000, 0xFFC12345, 0x7F800000], np.uint32).view(np.float32)
    samples = np.broadcast_to(payloads, (2, 3, 3))
    wire = transfer_of("float32", [(0.0, 1.0)] * 3).to_wire(samples, ~EVERYWHERE)
    assert not wire.any()


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf])
def test_transfer_refuses_a_valid_sample_outside_of_its_span(value: float) -> None:
    with pytest.raises(OutOfSpanError):
        transfer_of("float32", [(0.0, 1.0)] * 3).to_wire(np.full((2, 3, 3), value, np.float32), EVERYWHERE)


def test_transfer_takes_samples_for_the_ends_they_are_clipped_to() -> None:
    samples = np.array([[[-9.0, 0.5, 9.0]]], np.float64)
    wire = transfer_of("float64", clip=(0.0, 1.0)).to_wire(samples, np.ones((1, 1), np.bool_))
    assert wire.tolist() == [[[0, 32768, 65535]]]


def test_transfer_refuses_samples_of_another_type() -> None:
    with pytest.raises(TypeError):
        transfer_of("uint8").to_wire(np.zeros((2, 3, 3), np.uint16), EVERYWHERE)


def test_transfer_gives_the_channels_that_are_wanted() -> None:
    wire = np.array([[[1, 2, 3]]], np.uint8)
    assert transfer_of("uint8").to_native(wire, (2, 0)).tolist() == [[[3, 1]]]


@pytest.mark.parametrize(
    ("transfer", "value_range", "expected"),
    [
        (transfer_of("uint16"), (10, 3000), (10, 3000)),
        (transfer_of("int16"), (-32768, 100), (0, 32868)),
        (transfer_of("float32", [(-1.0, 3.0)] * 3), (0.0, 1.0), (16383.75, 32767.5)),
        (transfer_of("float64", [(-1.7e308, 1.7e308)] * 3), (-1.7e308, 1.7e308), (0.0, 65535.0)),
    ],
)
def test_transfer_gives_value_ranges_of_what_travels(
    transfer: Transfer, value_range: tuple[float, float], expected: Any
) -> None:
    assert transfer.wire_range(1, *value_range) == expected


@pytest.mark.parametrize("value_range", [(-1.0, 5.0), (5.0, 5.0), (0.0, 256.0), (math.nan, 5.0)])
def test_transfer_refuses_a_value_range_that_cannot_travel(value_range: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match="accepted is what rises within 0 to 255"):
        transfer_of("uint8").wire_range(0, *value_range)


def test_transfer_says_what_decides_what_travels() -> None:
    transfer = transfer_of("float32", [(0.1, 2.0), (0.0, 1.0), (-1.0, 1.0)], clip=(-1.0, 2.0))
    assert transfer.facts() == "float32 of 0.1 to 2.0, 0.0 to 1.0, -1.0 to 1.0, clipped"


def test_transfer_of_floats_travels_only_when_they_were_measured() -> None:
    with pytest.raises(LookupError):
        transfer_of("float32").to_wire(np.zeros((2, 3, 3), np.float32), EVERYWHERE)


@pytest.mark.parametrize("dtype", ["int8", "uint32", "complex64", "float16"])
def test_transfer_of_refuses_a_type_by_name(dtype: str) -> None:
    with pytest.raises(ArgumentError, match=dtype):
        transfer_of(dtype)


@pytest.mark.parametrize(
    ("dtype", "clip"),
    [("uint16", (0.0, 1.0)), ("float32", (1.0, 0.0)), ("float32", (0.0, 1e39)), ("float64", (math.nan, 1.0))],
)
def test_transfer_of_refuses_a_clip_that_cannot_be(dtype: str, clip: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match="clip"):
        transfer_of(dtype, clip=clip)


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_widened_holds_the_value_it_was_given(value: float) -> None:
    low, high = widened(value, value)
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high
    assert value in {low, high}


def test_check_steps_refuses_steps_coarser_than_a_thousandth_of_the_range() -> None:
    with pytest.raises(ArgumentError, match=r"band 3 .*--nodata.*--clip"):
        check_steps((-1e9, 1.0), (0.0, 1.0), band=3)


@pytest.mark.parametrize(
    ("span", "value_range"),
    [
        ((0.0, 1.0), (0.0, 1.0)),
        ((0.0, 63.99), (0.0, 1.0)),
        ((-1.7e308, 1.7e308), (-1e308, 1e308)),
        ((1, 1 + 2**-52),) * 2,
    ],
)
def test_check_steps_takes_what_is_fine_enough(span: tuple[float, float], value_range: tuple[float, float]) -> None:
    check_steps(span, value_range)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (-9999.0, "uint16", None),
        (0.5, "uint8", None),
        (math.nan, "int16", None),
        (-32768.0, "int16", -32768),
        (1e39, "float32", None),
        (-3.4028235e38, "float32", np.finfo(np.float32).min),
        (-math.inf, "float32", -math.inf),
    ],
)
def test_as_sample_says_what_a_nodata_value_is_in_a_type(value: float, dtype: str, expected: Any) -> None:
    assert as_sample(value, dtype) == expected


def form(
    dtype: str,
    nodata: float | None,
    *,
    spans: tuple[tuple[float, float], ...] = ((-2.0, 2.0),) * 3,
    alpha: bool = False,
    channels: tuple[int, ...] = (0, 1, 2),
) -> TargetForm:
    return TargetForm(transfer_of(dtype, spans), channels, nodata, alpha)


def wire_of(dtype: str) -> st.SearchStrategy[npt.NDArray[Any]]:
    wire = "uint8" if dtype == "uint8" else "uint16"
    return hnp.arrays(np.dtype(wire), (3, 4, 3), elements=st.sampled_from([0, 1, 2, 254, 255, np.iinfo(wire).max]))


def nodata_of(dtype: str) -> st.SearchStrategy[float]:
    if dtype in FLOATS:
        return st.sampled_from([-2.0, 2.0, 0.0, -1.0, 1.0]) | st.floats(-2, 2, width=32)
    limits = np.iinfo(dtype)
    return st.sampled_from([limits.min, limits.max, 0, limits.min + 1]).map(float)


def gdal_takes_for(samples: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    """ARE_REAL_EQUAL of GDAL, which compares by the precision of float32 in both types."""
    values = samples.astype(np.float64)
    return (values == nodata) | (np.abs(values - nodata) < 2 * np.finfo(np.float32).eps * np.abs(values + nodata))


@pytest.mark.parametrize("dtype", SAMPLE_DTYPES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_target_form_gives_no_valid_sample_the_value_of_nodata(dtype: str, data: st.DataObject) -> None:
    nodata, pixels = data.draw(nodata_of(dtype)), data.draw(wire_of(dtype))
    samples = form(dtype, nodata).samples(pixels, None)
    taken = gdal_takes_for(samples, float(as_sample(nodata, dtype))) if dtype in FLOATS else samples == nodata
    assert not taken.any()


@pytest.mark.parametrize("dtype", SAMPLE_DTYPES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_target_form_gives_every_invalid_sample_the_value_of_nodata(dtype: str, data: st.DataObject) -> None:
    nodata, pixels = data.draw(nodata_of(dtype)), data.draw(wire_of(dtype))
    valid = data.draw(hnp.arrays(np.bool_, (3, 4)))
    samples = form(dtype, nodata).samples(pixels, valid)
    assert (samples[~valid] == as_sample(nodata, dtype)).all()


@pytest.mark.parametrize("dtype", SAMPLE_DTYPES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_target_form_moves_samples_by_no_more_than_it_must(dtype: str, data: st.DataObject) -> None:
    nodata, pixels = data.draw(nodata_of(dtype)), data.draw(wire_of(dtype))
    plain = form(dtype, None).samples(pixels, None).astype(np.float64)
    moved = form(dtype, nodata).samples(pixels, None).astype(np.float64)
    limit = 1 if dtype in INTEGERS else max(abs(nodata) * 2.0**-19, 2e-45)
    assert (np.abs(moved - plain) <= limit).all()


@pytest.mark.parametrize(
    ("dtype", "nodata", "wire", "expected"),
    [
        ("uint8", 0.0, 0, 1),
        ("uint8", 255.0, 255, 254),
        ("int16", -32768.0, 0, -32767),
        ("int16", 32767.0, 65535, 32766),
        ("float32", 0.0, 0, np.finfo(np.float32).smallest_subnormal),
        ("float64", 0.0, 0, np.finfo(np.float64).smallest_subnormal),
    ],
)
def test_target_form_moves_a_valid_sample_to_the_next_value(
    dtype: str, nodata: float, wire: int, expected: Any
) -> None:
    pixels = np.full((1, 1, 3), wire, np.uint8 if dtype == "uint8" else np.uint16)
    assert (form(dtype, nodata, spans=((0.0, 1.0),) * 3).samples(pixels, None) == expected).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("side", [-1, 1])
def test_target_form_moves_inwards_at_the_ends_of_floats(dtype: str, side: int) -> None:
    end = float(np.finfo(dtype).max) * side
    samples = form(dtype, end, spans=(tuple(sorted((0.0, end))),) * 3).samples(
        np.full((1, 1, 3), 65535 if side > 0 else 0, np.uint16), None
    )
    assert np.isfinite(samples).all()
    assert (np.abs(samples) < abs(end)).all()


def test_target_form_takes_negative_zero_for_zero() -> None:
    pixels = np.zeros((1, 1, 3), np.uint16)
    samples = form("float32", 0.0, spans=((-0.0, 1.0),) * 3).samples(pixels, None)
    assert (samples > 0).all()


@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65535), ("int16", 32767)])
def test_target_form_appends_alpha(dtype: str, opaque: int) -> None:
    pixels = np.full((1, 2, 3), 7, np.uint8 if dtype == "uint8" else np.uint16)
    samples = form(dtype, None, alpha=True).samples(pixels, np.array([[True, False]]))
    assert samples[0, :, 3].tolist() == [opaque, 0]


def test_target_form_makes_invalid_samples_zero_without_nodata() -> None:
    pixels = np.full((1, 1, 3), 9, np.uint16)
    assert not form("int16", None).samples(pixels, np.zeros((1, 1), np.bool_)).any()


def test_target_form_makes_invalid_samples_nan_where_that_is_nodata() -> None:
    samples = form("float32", math.nan).samples(np.zeros((1, 2, 3), np.uint16), np.array([[True, False]]))
    assert np.isnan(samples).tolist() == [[[False] * 3, [True] * 3]]


@pytest.mark.parametrize("dtype", SAMPLE_DTYPES)
def test_target_form_gives_contiguous_little_endian_samples_of_its_channels(dtype: str) -> None:
    made = form(dtype, None, alpha=dtype in INTEGERS, channels=(2, 0))
    samples = made.samples(np.zeros((700, 600, 3), np.uint8 if dtype == "uint8" else np.uint16), None)
    bands = 3 if dtype in INTEGERS else 2
    assert (samples.shape, samples.dtype, made.bands) == ((700, 600, bands), np.dtype(dtype).newbyteorder("<"), bands)
    assert samples.flags.c_contiguous


def test_target_form_has_no_nodata_that_its_type_has_not() -> None:
    with pytest.raises(ValueError, match="-9999"):
        TargetForm(Transfer(np.dtype("uint8")), (0, 1, 2), -9999.0, alpha=False)
