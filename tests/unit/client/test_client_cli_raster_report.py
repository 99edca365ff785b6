"""What is said of rasters on their way and in the end, in words and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hndsr_client import errors
from hndsr_client._destinations import Scene
from hndsr_client._raster.description import Band, Georeference, Raster
from hndsr_client._raster_plan_report import PlannedScene, crs_name, raster_plan_json, raster_plan_text
from hndsr_client._raster_progress import EventLines, RasterCourse, facts_text
from hndsr_client._raster_report import (
    SceneOutcome,
    outcome_event,
    raster_json,
    raster_line,
    scenes_line,
    verification_json,
    verification_line,
)
from hndsr_client.raster import RasterPlan, RasterProgress, RasterResult, Verification
from hndsr_client.results import Options, Plan, Span

SCENE = Scene("a.tif", "a_x4.tif")
RESULT = RasterResult(
    path=Path("a_x4.tif"),
    format="cog",
    height_px=2000,
    width_px=3000,
    bands=4,
    dtype="uint16",
    model="hndsr",
    revision="5ca1ab1e5ca1ab1e",
    ranges=None,
    tiles=1156,
    resumed_tiles=0,
    out_of_range_samples=0,
    invalid_px=0,
    reconnections=0,
    cache_hits=1,
    computed_windows=3,
    empty_windows=0,
    size_bytes=12_300_000,
    elapsed_s=2.0,
)
SPAN = Span(0, 0, 0, 10, 0, 40)
PLAN = Plan(
    source_height_px=500,
    source_width_px=750,
    target_height_px=2000,
    target_width_px=3000,
    scale=Fraction(4),
    model="hndsr",
    revision="5ca1ab1e5ca1ab1e",
    row_spans=(SPAN,) * 2,
    column_spans=(SPAN,) * 3,
    digest="d",
    cores_per_tile=4,
    options=Options(4, 1.0, 0),
    windows=54,
    estimated_time_s=20.0,
)
RASTER_PLAN = RasterPlan(
    plan=PLAN,
    triples=((1, 2, 3), (4, 4, 4)),
    tiles=12,
    dtype="uint16",
    validity="nodata",
    work_bytes=48_000_000,
    unallocated_bytes=48_000_000,
    target_bytes=70_000_000,
    free_bytes=10**9,
    left_tiles=0,
    measured_tile_s=None,
    estimated_s=40.0,
)
RASTER = Raster(size_px=(500, 750), bands=(Band("uint16", nodata=0.0),) * 4, validity="nodata")
VERIFICATION = Verification(
    path=Path("a.tif"), tiles=1156, bad_tiles=(), missing_tiles=0, unfinished=False, lossy=False
)
WKT = 'PROJCRS["WGS 84 / UTM zone 33N",BASEGEOGCRS["WGS 84",ID["EPSG",4326]],ID["EPSG",32633]]'


def outcome(**changes: Any) -> SceneOutcome:
    """Of a raster that was made, with these facts of its result."""
    return SceneOutcome(SCENE, replace(RESULT, **changes), None, made_px=6_000_000, elapsed_s=3.0)


FAILED = SceneOutcome(SCENE, None, errors.UnavailableError("no", reason="OVERLOADED"), made_px=0, elapsed_s=1.0)
SKIPPED = SceneOutcome(SCENE, None, None, made_px=0, elapsed_s=0.0)


def planned(raster: Raster = RASTER, destination: str | None = "b.tif", **changes: Any) -> PlannedScene:
    return PlannedScene("a.tif", destination, raster, replace(RASTER_PLAN, **changes))


def progress(stage: Any, done: int, elapsed_s: float, **changes: Any) -> RasterProgress:
    told = RasterProgress(
        stage=stage,
        done=done,
        total=10_000_000,
        tiles_done=3,
        tiles_total=1000,
        resumed_tiles=0,
        elapsed_s=elapsed_s,
    )
    return replace(told, **changes)


def course(*told: RasterProgress) -> RasterCourse:
    made = RasterCourse()
    for one in told:
        made.add(one)
    return made


def test_raster_line_says_what_was_made() -> None:
    assert raster_line(outcome()) == (
        "a_x4.tif: 2000 x 3000 px (height x width), 6 Mpx, 4 bands of uint16, 1,156 tiles, 2.00 s, 3 Mpx/s, "
        "25 % of 4 windows cached, 12.3 MB, hndsr 5ca1ab1e5ca1"
    )


def test_raster_line_says_what_an_earlier_run_has_left() -> None:
    assert "1,156 tiles (7 resumed), " in raster_line(outcome(resumed_tiles=7))


def test_raster_line_says_which_values_were_taken() -> None:
    line = raster_line(outcome(ranges=((100.0, 3000.5),) * 5, out_of_range_samples=1204))
    assert line.splitlines()[1] == (
        "values: 100 to 3000.5, 100 to 3000.5, 100 to 3000.5, 100 to 3000.5 and 1 more; 1,204 samples interpolated"
    )


def test_raster_line_says_what_was_left_alone() -> None:
    assert raster_line(SKIPPED) == "a_x4.tif: exists, left as it is"


def test_raster_json_is_of_what_was_made() -> None:
    facts = json.loads(raster_json(outcome()))
    assert (facts["status"], facts["source"], facts["destination"], facts["tiles"], facts["path"]) == (
        "done",
        "a.tif",
        "a_x4.tif",
        1156,
        "a_x4.tif",
    )


def test_raster_json_is_of_what_failed() -> None:
    facts = json.loads(raster_json(FAILED))
    expected = {"type": "UnavailableError", "message": "no", "reason": "OVERLOADED", "retry_delay_s": None}
    assert (facts["status"], facts["error"]) == ("failed", expected)


@pytest.mark.parametrize(
    ("ended", "event"), [(outcome(), "result"), (FAILED, "error"), (SKIPPED, "skipped")], ids=["done", "failed", "left"]
)
def test_outcome_event_says_how_it_ended(ended: SceneOutcome, event: str) -> None:
    assert json.loads(outcome_event(ended))["event"] == event


def test_error_event_has_the_reason() -> None:
    facts = json.loads(outcome_event(FAILED))
    assert (facts["type"], facts["message"], facts["reason"]) == ("UnavailableError", "no", "OVERLOADED")


def test_scenes_line_counts() -> None:
    line = scenes_line([outcome(), FAILED, SKIPPED], elapsed_s=4.0)
    assert line == "1 of 3 rasters upscaled, 1 skipped, 1 failed, 4.00 s, 1.5 Mpx/s"


def test_plan_says_what_there_is_and_what_it_takes() -> None:
    assert raster_plan_text(planned(validity="mask")).splitlines() == [
        "a.tif: 500 x 750 px (height x width), 0.375 Mpx, 4 bands of uint16, no coordinate reference system, nodata 0",
        "b.tif: 2000 x 3000 px (height x width), 6 Mpx, 4 bands of uint16, with a mask, hndsr 5ca1ab1e5ca1",
        "bands: 1,2,3 and 4,4,4",
        "tiles: 12 (2 x 3, 2 times three bands)",
        "time: about 40 s before it is written if the server is idle",
        "disk: 48 MB for work files, about 70 MB for the target, 1 GB free",
    ]


def test_plan_says_what_a_tile_took() -> None:
    text = raster_plan_text(planned(measured_tile_s=2.1, estimated_s=3725.0))
    assert "\ntime: about 1:02:05 before it is written (measured: a tile took 2.1 s)\n" in text


def test_plan_says_what_an_earlier_run_has_left() -> None:
    assert "; an earlier run has left 5 of them\n" in raster_plan_text(planned(left_tiles=5))


def test_plan_says_that_it_will_not_fit() -> None:
    text = raster_plan_text(planned(free_bytes=100_000_000))
    assert text.endswith(", 100 MB free\nit will not fit: 18 MB are missing")


def test_plan_counts_what_an_earlier_run_has_taken_of_the_disk() -> None:
    assert planned(unallocated_bytes=1_000_000, free_bytes=71_000_000).missing_bytes == 0


def test_plan_without_a_target_says_nothing_of_the_room_there_is() -> None:
    text = raster_plan_text(planned(destination=None, free_bytes=0))
    assert text.endswith("about 70 MB for the target")


def test_plan_says_which_part_is_read() -> None:
    raster = replace(RASTER, size_px=(5000, 750))
    assert ", of which 500 x 750 px are read, " in raster_plan_text(planned(raster))


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        ((Band("uint16"),), "no nodata value"),
        ((Band("float32", nodata=float("nan")),), "nodata nan"),
        ((Band("int16", nodata=-32768.0), Band("int16")), "nodata by band -32768, none"),
    ],
    ids=["none", "nan", "some"],
)
def test_plan_says_what_nodata_is(bands: tuple[Band, ...], words: str) -> None:
    assert raster_plan_text(planned(replace(RASTER, bands=bands))).splitlines()[0].endswith(words)


def test_plan_names_the_reference_system() -> None:
    raster = replace(RASTER, georeference=Georeference(crs=WKT))
    assert ", WGS 84 / UTM zone 33N (EPSG:32633), nodata 0\n" in raster_plan_text(planned(raster))


@pytest.mark.parametrize(
    ("wkt", "name"), [(None, None), ('ENGCRS["site grid",CS[Cartesian,2]]', "site grid"), ("nonsense", None)]
)
def test_crs_name_is_what_it_is_called(wkt: str | None, name: str | None) -> None:
    assert crs_name(wkt) == name


def test_plan_json_counts_tiles_and_names_no_spans() -> None:
    facts = json.loads(raster_plan_json(planned()))
    assert (facts["tiles"], facts["missing_bytes"], "row_spans" in facts["plan"]) == (12, 0, False)


def test_plan_json_has_no_number_that_json_does_not_have() -> None:
    raster = replace(RASTER, bands=(Band("float32", nodata=float("nan")),))
    facts = json.loads(raster_plan_json(planned(raster)), parse_constant=pytest.fail)
    assert facts["raster"]["nodata"] == ["NaN"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "1,156 tiles as they were made"),
        ({"tiles": 1}, "1 tile as it was made"),
        ({"bad_tiles": ((0, 4),)}, "1 of 1,156 tiles is not what was made: row 0 column 4"),
        (
            {"bad_tiles": ((0, 4), (7, 1))},
            "2 of 1,156 tiles are not what was made: row 0 column 4, row 7 column 1",
        ),
        (
            {"missing_tiles": 12, "tiles": 40, "unfinished": True},
            "unfinished: 12 of 40 tiles are missing; the command that began it goes on",
        ),
        (
            {"unfinished": True},
            "unfinished: all 1,156 tiles are there, and still to be written; the command that began it goes on",
        ),
        ({"lossy": True}, "1,156 tiles; only size and mask could be checked, as its compression is lossy"),
    ],
)
def test_verification_line_says_what_is_wrong(changes: dict[str, Any], words: str) -> None:
    assert verification_line("a.tif", replace(VERIFICATION, **changes)) == f"a.tif: {words}"


def test_verification_line_ends_a_long_list() -> None:
    line = verification_line("a.tif", replace(VERIFICATION, bad_tiles=tuple((0, each) for each in range(1000))))
    assert line.endswith("row 0 column 7 and 992 more")


def test_verification_json_says_whether_all_is_well() -> None:
    facts = json.loads(verification_json("a.tif", replace(VERIFICATION, bad_tiles=((0, 4),))))
    assert (facts["path"], facts["ok"], facts["bad_tiles"], facts["error"]) == ("a.tif", False, [[0, 4]], None)


def test_speed_is_of_what_this_run_upscaled() -> None:
    made = course(
        progress("measuring", 9_000_000, 1.0),
        progress("upscaling", 4_000_000, 2.0, resumed_tiles=4),
        progress("upscaling", 8_000_000, 4.0, resumed_tiles=4),
    )
    assert (made.made_px, made.mpx_per_s, made.eta_s) == (4_000_000, 2.0, 1.0)


def test_speed_leaves_out_what_an_earlier_run_made_of_other_bands() -> None:
    made = course(
        progress("upscaling", 0, 1.0),
        progress("upscaling", 1_000_000, 2.0),
        progress("upscaling", 5_000_000, 2.0, resumed_tiles=9),
        progress("upscaling", 6_000_000, 3.0, resumed_tiles=9),
    )
    assert (made.made_px, made.mpx_per_s) == (2_000_000, 1.0)


def test_speed_is_of_the_last_minutes() -> None:
    slow = [progress("upscaling", second * 1000, float(second)) for second in range(100)]
    fast = [progress("upscaling", 100_000 + each * 10_000, 100.0 + each) for each in range(400)]
    assert course(*slow, *fast).mpx_per_s == pytest.approx(0.01)


def test_nobody_knows_when_writing_is_over() -> None:
    made = course(progress("writing", 0, 1.0, total=None), progress("writing", 5_000_000, 2.0, total=None))
    assert (made.mpx_per_s, made.eta_s, facts_text(made)) == (None, None, "5.0 MB written")


def test_facts_say_tiles_and_speed_and_time() -> None:
    made = course(
        progress("upscaling", 0, 1.0, resumed_tiles=1200), progress("upscaling", 2_000_000, 2.0, resumed_tiles=1200)
    )
    assert facts_text(made) == "3/1,000 tiles (1,200 left by an earlier run)  2 Mpx/s  ETA 0:00:04"


def lines(*told: RasterProgress) -> list[dict[str, Any]]:
    made, written = RasterCourse(), list[str]()
    events = EventLines(made, written.append, source="a.tif")
    for one in told:
        made.add(one)
        events.look()
    return [json.loads(line) for line in written]


def test_events_come_once_a_second_and_with_each_stage() -> None:
    told = [progress("upscaling", each, each / 10) for each in range(25)]
    told += [progress("writing", 0, 2.5), progress("checking", 0, 2.6)]
    assert [(line["stage"], line["elapsed_s"]) for line in lines(*told)] == [
        ("upscaling", 0.0),
        ("upscaling", 1.0),
        ("upscaling", 2.0),
        ("writing", 2.5),
        ("checking", 2.6),
    ]


def test_events_say_all_that_is_known() -> None:
    line = lines(progress("upscaling", 0, 0.0), progress("upscaling", 4_000_000, 2.0))[-1]
    assert line == {
        "event": "progress",
        "source": "a.tif",
        "stage": "upscaling",
        "done": 4_000_000,
        "total": 10_000_000,
        "tiles_done": 3,
        "tiles_total": 1000,
        "resumed_tiles": 0,
        "mpx_per_s": 2.0,
        "eta_s": 3.0,
        "elapsed_s": 2.0,
    }
