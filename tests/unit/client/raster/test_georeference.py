"""Places stay where they are: every number of a target is exact but for one rounding."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hndsr_client._raster.description import Georeference, GroundPoint
from hndsr_client._raster.georeference import scaled, true_tags
from hndsr_client.errors import ArgumentError

# Any rotation and shear, in degrees or metres.
coefficients = st.floats(-1e7, 1e7).filter(lambda one: one == 0 or abs(one) > 1e-12)
transforms = st.tuples(*[coefficients] * 6)
scales = st.fractions(Fraction(3, 2), 8, max_denominator=1000)
origins = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))
corners = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))
UNIT = Fraction(1, 2**53)


@settings(deadline=None)
@given(transform=transforms, scale=scales, origin_px=origins, corner=corners)
def test_scaled_keeps_every_pixel_corner_in_its_place(
    transform: Any, scale: Fraction, origin_px: Any, corner: Any
) -> None:
    target = scaled(Georeference(transform=transform), scale=scale, origin_px=origin_px).transform
    assert target is not None
    row, column = corner
    for source_line, target_line in ((transform[:3], target[:3]), (transform[3:], target[3:])):
        a, b, c = (Fraction(one) for one in source_line)
        exact = a * (origin_px[1] + column / scale) + b * (origin_px[0] + row / scale) + c
        made = [Fraction(one) * by for one, by in zip(target_line, (column, row, 1), strict=True)]
        assert abs(sum(made) - exact) <= sum(abs(one) for one in made) * UNIT * 2


@given(transform=transforms, scale=scales, origin_px=origins)
def test_scaled_rounds_each_coefficient_once(transform: Any, scale: Fraction, origin_px: Any) -> None:
    target = scaled(Georeference(transform=transform), scale=scale, origin_px=origin_px).transform
    a, b, c, d, e, f = (Fraction(one) for one in transform)
    row, column = origin_px
    exact = (a / scale, b / scale, a * column + b * row + c, d / scale, e / scale, d * column + e * row + f)
    assert target == tuple(float(one) for one in exact)


def test_scaled_keeps_the_crs() -> None:
    assert scaled(Georeference(crs="PROJCRS[…]"), scale=Fraction(4), origin_px=(1, 2)).crs == "PROJCRS[…]"


def test_scaled_of_none_is_none() -> None:
    assert scaled(Georeference(), scale=Fraction(4), origin_px=(1, 2)) == Georeference()


@given(scale=scales, origin_px=origins, row=st.floats(-1e6, 1e6), column=st.floats(-1e6, 1e6))
def test_scaled_moves_ground_points_with_their_pixels(
    scale: Fraction, origin_px: Any, row: float, column: float
) -> None:
    source = GroundPoint(row, column, 12.5, 41.25, 300.0, "7", "a corner")
    (point,) = scaled(Georeference(points=(source,)), scale=scale, origin_px=origin_px).points
    exact = float((Fraction(row) - origin_px[0]) * scale), float((Fraction(column) - origin_px[1]) * scale)
    assert point == GroundPoint(*exact, 12.5, 41.25, 300.0, "7", "a corner")


def rpcs(**others: str) -> dict[str, str]:
    return {"LINE_OFF": "2191", "SAMP_OFF": "2428.5", "LINE_SCALE": "2192", "SAMP_SCALE": "2429"} | others


@given(scale=scales, origin_px=origins, offset=st.integers(0, 10**5), line=st.fractions(-1, 1, max_denominator=64))
def test_scaled_rpcs_find_a_place_where_its_pixel_is(
    scale: Fraction, origin_px: Any, offset: int, line: Fraction
) -> None:
    source = Georeference(rpcs=rpcs(LINE_OFF=str(offset)))
    target = scaled(source, scale=scale, origin_px=origin_px).rpcs
    assert target is not None
    # Rows count from the centre of the first pixel, so corners are half a pixel further.
    source_corner = line * 2192 + offset + Fraction(1, 2)
    target_corner = line * Fraction(target["LINE_SCALE"]) + Fraction(target["LINE_OFF"]) + Fraction(1, 2)
    assert abs(target_corner - (source_corner - origin_px[0]) * scale) < Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("LINE_OFF", "8745.5"), ("SAMP_OFF", "9643.5"), ("LINE_SCALE", "8768.0"), ("SAMP_SCALE", "9716.0")],
)
def test_scaled_rpcs_are_text_of_numbers(name: str, expected: str) -> None:
    target = scaled(Georeference(rpcs=rpcs()), scale=Fraction(4), origin_px=(5, 18)).rpcs
    assert target is not None
    assert target[name] == expected


def test_scaled_rpcs_keep_what_does_not_count_pixels() -> None:
    kept = {"LAT_OFF": "41.5", "LINE_NUM_COEFF": "1 2 3", "ERR_BIAS": "0.5", "HEIGHT_SCALE": "500"}
    target = scaled(Georeference(rpcs=rpcs(**kept)), scale=Fraction(4), origin_px=(0, 0)).rpcs
    assert target is not None
    assert {name: target[name] for name in kept} == kept


def test_scaled_rpcs_read_numbers_before_their_unit() -> None:
    target = scaled(Georeference(rpcs={"LINE_SCALE": "+002191.50 pixels"}), scale=Fraction(2), origin_px=(0, 0)).rpcs
    assert target == {"LINE_SCALE": "4383.0"}


@pytest.mark.parametrize("text", ["", "n/a"])
def test_scaled_refuses_rpcs_that_are_no_numbers(text: str) -> None:
    with pytest.raises(ArgumentError, match="LINE_OFF"):
        scaled(Georeference(rpcs=rpcs(LINE_OFF=text)), scale=Fraction(2), origin_px=(0, 0))


@pytest.mark.parametrize(
    "name",
    [
        "STATISTICS_MEAN",
        "STATISTICS_VALID_PERCENT",
        "Histogram",
        "TIFFTAG_XRESOLUTION",
        "TIFFTAG_RESOLUTIONUNIT",
        "TIFFTAG_MAXSAMPLEVALUE",
        "spatial resolution",
        "GSD",
        "meanProductGSD",
        "PIXEL_SIZE_X",
        "pixelSizeInMeters",
        "numRows",
        "NUM_COLUMNS",
        "number_of_lines",
        "NROWS",
        "ImageWidth",
        "OVR_RESAMPLING_ALG",
        "LAYOUT",
        "HNDSR_RECORD",
    ],
)
def test_true_tags_drop_what_is_untrue_of_a_target(name: str) -> None:
    assert true_tags({name: "1"}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "AREA_OR_POINT",
        "TIFFTAG_DATETIME",
        "TIFFTAG_SOFTWARE",
        "ACQUISITIONDATETIME",
        "CLOUDCOVER",
        "SPECTRAL_RESOLUTION",
        "wavelength",
        "bandwidth",
        "BAND_HEIGHT_M",
    ],
)
def test_true_tags_keep_what_is_as_true_of_a_target(name: str) -> None:
    assert true_tags({name: "1"}) == {name: "1"}
