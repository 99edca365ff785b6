"""What is typed of rasters is what is asked for."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import pytest

from hndsr_client._messages import error_message
from hndsr_client._parser import make_parser
from hndsr_client._raster_parser import source_of, target_of
from hndsr_client.errors import ArgumentError
from hndsr_client.raster import RasterSource, RasterTarget


def parsed(*arguments: str) -> argparse.Namespace:
    return make_parser().parse_args(["upscale", *arguments])


def source(*arguments: str) -> RasterSource:
    """What is asked for of a.tif."""
    return source_of(parsed("a.tif", "b.tif", *arguments), "a.tif")


def test_options_that_are_not_given_are_left_to_the_sdk() -> None:
    given = parsed("a.tif", "b.tif")
    assert (source_of(given, "a.tif"), target_of(given, "b.tif")) == (RasterSource("a.tif"), RasterTarget("b.tif"))


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--bands", "4,3,2"], "bands", [(4, 3, 2)]),
        (["--bands", "4,3,2", "--bands", "8"], "bands", [(4, 3, 2), (8, 8, 8)]),
        (["--bands", "all"], "bands", "all"),
        (["--range", "0,3000"], "ranges", (0.0, 3000.0)),
        (["--range", "1=0,3000", "--range", "2=10,9e3"], "ranges", {1: (0.0, 3000.0), 2: (10.0, 9000.0)}),
        (["--range=-10,30"], "ranges", (-10.0, 30.0)),
        (["--range", "-10,30"], "ranges", (-10.0, 30.0)),
        (["--range", "2=-10,-.5"], "ranges", {2: (-10.0, -0.5)}),
        (["--percentiles", "2,98"], "percentiles", (2.0, 98.0)),
        (["--nodata", "-9999"], "nodata", -9999.0),
        (["--nodata", "-3.4e38"], "nodata", -3.4e38),
        (["--nodata", "-inf"], "nodata", -math.inf),
        (["--nodata-rule", "any"], "nodata_rule", "any"),
        (["--clip", "-1,1"], "clip", (-1.0, 1.0)),
        (["--window", "10,20,300,400"], "region", (10, 20, 300, 400)),
        (["--region", "field.geojson"], "region", "field.geojson"),
    ],
    ids=str,
)
def test_source_is_what_is_typed(arguments: Sequence[str], name: str, value: Any) -> None:
    assert getattr(source(*arguments), name) == value


def test_nodata_may_be_no_number() -> None:
    assert math.isnan(source("--nodata", "nan").nodata or 0)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--format", "gtiff"], "format", "gtiff"),
        (["--compress", "zstd"], "compress", "zstd"),
        (["--level", "3"], "level", 3),
        (["--quality", "80"], "quality", 80),
        (["--block", "256"], "block_px", 256),
        (["--no-overviews"], "overviews", False),
        (["--resampling", "cubic"], "resampling", "cubic"),
        (["--overwrite"], "overwrite", True),
    ],
    ids=str,
)
def test_target_is_what_is_typed(arguments: Sequence[str], name: str, value: Any) -> None:
    assert getattr(target_of(parsed("a.tif", "b.tif", *arguments), "b.tif"), name) == value


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bands", "4,3"],
        ["--bands", "4,3,2,1"],
        ["--bands", "red"],
        ["--range", "3000"],
        ["--range", "red=0,3000"],
        ["--range", "nan,3000"],
        ["--range", "0,inf"],
        ["--percentiles", "2"],
        ["--nodata", "none"],
        ["--nodata-rule", "some"],
        ["--window", "0,0,10"],
        ["--window", "0,0,10,1.5"],
        ["--window", "0,0,9,9", "--region", "a.json"],
        ["--compress", "zip"],
        ["--json", "--json-lines"],
        ["--overwrite", "--skip-existing"],
    ],
    ids=" ".join,
)
def test_exit_code_of_what_cannot_be_meant(arguments: Sequence[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed("a.tif", "b.tif", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bands", "all", "--bands", "1"],
        ["--range", "0,1", "--range", "0,2"],
        ["--range", "0,1", "--range", "1=0,2"],
        ["--range", "1=0,1", "--range", "1=0,2"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_refused(arguments: Sequence[str]) -> None:
    with pytest.raises(ArgumentError, match=r"^--(bands|range) "):
        source(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.tif", "b.tif", "c/", "--scale", "2"],
        ["--scale", "2", "a.tif", "b.tif", "c/"],
        ["a.tif", "--scale", "2", "b.tif", "c/"],
        ["a.tif", "b.tif", "--scale", "2", "c/"],
        ["--scale", "2", "--", "a.tif", "b.tif", "c/"],
    ],
    ids=" ".join,
)
def test_paths_stand_before_and_between_and_behind_options(arguments: Sequence[str]) -> None:
    given = parsed(*arguments)
    assert (given.sources, given.destination, given.scale) == (["a.tif", "b.tif"], "c/", "2")


def test_paths_that_begin_with_a_minus_sign_stand_behind_a_marker() -> None:
    assert parsed("--", "-a.tif", "b.tif").sources == ["-a.tif"]


@pytest.mark.parametrize(
    ("message", "start"),
    [
        ("bands is (1, 2), accepted are", "--bands is (1, 2)"),
        ("ranges names band 9, the source has", "--range names band 9"),
        ("ranges of band 2 is (1, 0)", "--range of band 2 is"),
        ("percentiles is (5, 1)", "--percentiles is"),
        ("nodata is 1.5", "--nodata is"),
        ("nodata_rule is 'some'", "--nodata-rule is"),
        ("clip is for samples of floating point", "--clip is for"),
        ("region is (0, 0, 0, 1)", "--window or --region is"),
        ("clip goes with samples of floating point", "--clip goes with"),
        ("the percentiles are 5 and 1", "--percentiles are"),
        ("the value range is 2 to 1", "--range is"),
        ("the block is 100 px", "--block is"),
        ("the compression is 'zip'", "--compress is"),
        ("the level is 99", "--level is"),
        ("cores_per_tile is 99", "--tile-cores is"),
        ("bandsaw is no tool", "bandsaw is"),
        ("the source is a picture", "the source is"),
    ],
)
def test_error_names_options_of_rasters(message: str, start: str) -> None:
    assert error_message(ArgumentError(message)).startswith(start)
