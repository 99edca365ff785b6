"""A target is said to be what its source makes it."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from hndsr_client._raster.bands import Triple, triples_of
from hndsr_client._raster.description import Band, Georeference, Raster
from hndsr_client._raster.target import target_nodata, target_raster, target_validity
from hndsr_client.errors import ArgumentError

RGB = (Triple((1, 2, 3), (0, 1, 2)),)


def source(*nodata: float | None, dtype: str = "uint16", **facts: Any) -> Raster:
    bands = tuple(Band(dtype, one) for one in nodata or (None, None, None))
    return Raster(**{"size_px": (10, 12), "bands": bands, "validity": "all", **facts})


def target(of: Raster, triples: tuple[Triple, ...] = RGB, **asked: Any) -> Raster:
    facts = {"scale": Fraction(4), "origin_px": (2, 3), "size_px": (32, 36)}
    validity, nodata = truth(of, triples)
    return target_raster(of, triples, **{**facts, "validity": validity, "nodata": nodata, "tags": {}, **asked})


def truth(
    of: Raster, triples: tuple[Triple, ...] = RGB, *, choice: float | None = None, **asked: Any
) -> tuple[str, float | None]:
    return target_validity(of, triples, choice, **{"polygons": False, "lossy": False, **asked})


@pytest.mark.parametrize(
    ("of", "choice", "expected"),
    [
        (source(), None, None),
        (source(None, 7.0, 0.0), None, 7.0),
        (source(0.0, 7.0, 0.0), 9.0, 9.0),
        (source(-9999.0, None, 7.0), None, 7.0),
        (source(-9999.0, None, None), None, None),
        (source(0.1, None, None, dtype="float32"), None, 0.10000000149011612),
        (source(-math.inf, None, None, dtype="float32"), None, -math.inf),
    ],
)
def test_target_nodata_is_one_value_for_all_bands(of: Raster, choice: float | None, expected: float | None) -> None:
    assert target_nodata(of, RGB, choice) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_target_nodata_of_floats_is_nan_where_nothing_says_it(dtype: str) -> None:
    assert math.isnan(target_nodata(source(dtype=dtype), RGB, None) or 0.0)


def test_target_nodata_is_that_of_the_first_written_band() -> None:
    assert target_nodata(source(1.0, 2.0, 3.0), (Triple((3, 2, 3), (0, 1)),), None) == 3.0


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", -9999.0), ("int16", math.nan), ("float32", 1e300)])
def test_target_nodata_refuses_what_the_type_does_not_have(dtype: str, nodata: float) -> None:
    with pytest.raises(ArgumentError, match=f"--nodata.*{dtype}"):
        target_nodata(source(dtype=dtype), RGB, nodata)


@pytest.mark.parametrize(
    ("of", "asked", "expected"),
    [
        (source(0.0, None, None, dtype="uint8", validity="alpha", alpha=4), {"polygons": True}, ("alpha", None)),
        (source(0.0, None, None, dtype="int16", validity="alpha", alpha=4), {}, ("mask", 0.0)),
        (source(5.0, None, None, validity="mask"), {"polygons": True}, ("mask", 5.0)),
        (source(validity="alpha", alpha=4), {"triples": (Triple((1, 2, 2), (0, 1)),)}, ("mask", None)),
        (source(5.0, None, None, validity="mask"), {"lossy": True}, ("mask", None)),
        (source(None, 0.0, None, validity="nodata"), {"polygons": True}, ("nodata", 0.0)),
        (source(None, 0.0, None, validity="nodata"), {"lossy": True}, ("mask", None)),
        (source(), {"choice": 0.0}, ("nodata", 0.0)),
        (source(), {"polygons": True}, ("mask", None)),
        (source(), {}, ("all", None)),
    ],
)
def test_target_validity_is_what_every_reader_of_the_target_finds(of: Raster, asked: Any, expected: object) -> None:
    assert truth(of, **asked) == expected


def test_target_raster_declares_the_nodata_of_all_its_bands() -> None:
    assert {band.nodata for band in target(source(5.0, None, None, validity="nodata")).bands} == {5.0}


def test_target_raster_has_the_written_bands_in_the_order_of_the_run() -> None:
    bands = tuple(Band("uint8", name=f"B{number}") for number in range(1, 6))
    of = Raster((4, 4), bands, "alpha", alpha=2)
    made = target(of, triples_of(of, [(6, 4, 1), (1, 3, 6)]))
    assert [band.name for band in made.bands] == ["B5", "B3", "B1", "B2"]


def test_target_raster_keeps_what_bands_say_of_themselves() -> None:
    band = Band(
        "uint16", 0.0, "nir", "B8", "reflectance", 0.0001, -0.1, {"wavelength": "842", "STATISTICS_MAXIMUM": "9"}
    )
    made = target(Raster((4, 4), (band,), "nodata"), (Triple((1, 1, 1), (0,)),))
    assert made.bands == (replace(band, tags={"wavelength": "842"}),)


def test_target_raster_is_as_large_as_it_is_said_to_be() -> None:
    assert target(source()).size_px == (32, 36)


def test_target_raster_has_no_source_alpha_number() -> None:
    assert target(source(validity="alpha", alpha=4)).alpha is None


def test_target_raster_is_where_its_part_of_the_source_is() -> None:
    of = source(georeference=Georeference("EPSG", (10.0, 0.0, 500.0, 0.0, -10.0, 900.0)))
    assert target(of).georeference == Georeference("EPSG", (2.5, 0.0, 530.0, 0.0, -2.5, 880.0))


def test_target_raster_adds_tags_to_those_that_are_true() -> None:
    of = source(tags={"AREA_OR_POINT": "Point", "GSD": "10", "HNDSR_MODEL": "older"})
    made = target(of, tags={"HNDSR_MODEL": "hndsr"})
    assert made.tags == {"AREA_OR_POINT": "Point", "HNDSR_MODEL": "hndsr"}


def test_target_raster_keeps_the_domain_of_imagery_alone() -> None:
    domains = {
        "IMAGERY": {"SATELLITEID": "S2B", "numRows": "7"},
        "IMAGE_STRUCTURE": {"INTERLEAVE": "PIXEL"},
        "xml:ESRI": {},
    }
    assert target(source(domains=domains)).domains == {"IMAGERY": {"SATELLITEID": "S2B"}}
