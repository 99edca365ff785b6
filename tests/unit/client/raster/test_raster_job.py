"""Rasters are made whole or not at all, and gone on with whatever ended them: by both kinds of client."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import rasterio
import rasters
from unit.client.raster.scenes import SMALL_TILES, names

from hndsr_client import (
    ArgumentError,
    Client,
    DestinationError,
    InvalidRequestError,
    JobInUseError,
    JobMismatchError,
    LocalFileError,
    RasterProgress,
    RasterSource,
    ServerError,
    SourceChangedError,
    verify_raster,
)
from hndsr_client._raster.lock import Lock
from hndsr_client._raster.works import Works
from hndsr_client.testing import FakeServer


def test_raster_leaves_nothing_but_the_target(client: Client, scene: Path, made: Path) -> None:
    client.upscale_raster(scene, made, **SMALL_TILES)
    assert names(made.parent) == ["made.tif"]


def test_raster_tells_how_it_comes_along(client: Client, scene: Path, made: Path) -> None:
    told: list[RasterProgress] = []
    client.upscale_raster(scene, made, on_progress=told.append, **SMALL_TILES)
    stages = list(dict.fromkeys(one.stage for one in told))
    assert stages == ["measuring", "upscaling", "writing", "checking"]
    assert all(0 <= one.done <= one.total for one in told if one.total is not None)


def test_raster_goes_on_where_it_was_ended(client: Client, scene: Path, left: Path) -> None:
    assert client.upscale_raster(scene, left, **SMALL_TILES).resumed_tiles == 2


def test_raster_that_was_gone_on_with_is_that_of_one_run(client: Client, scene: Path, left: Path) -> None:
    client.upscale_raster(scene, left, **SMALL_TILES)
    whole = left.with_name("whole.tif")
    client.upscale_raster(scene, whole, **SMALL_TILES)
    assert left.read_bytes() == whole.read_bytes()


def test_raster_is_not_measured_again(client: Client, scene: Path, left: Path) -> None:
    told: list[RasterProgress] = []
    client.upscale_raster(scene, left, on_progress=told.append, **SMALL_TILES)
    assert "measuring" not in {one.stage for one in told}


def test_raster_begins_anew_when_told_to(client: Client, scene: Path, left: Path) -> None:
    assert client.upscale_raster(scene, left, resume=False, **SMALL_TILES).resumed_tiles == 0


@pytest.mark.parametrize(
    ("choice", "what"),
    [({"ranges": (0, 3000)}, "ranges"), ({"nodata": 7}, "nodata"), ({"nodata_rule": "all"}, "nodata rule")],
)
def test_raster_refuses_to_go_on_for_something_else(
    client: Client, scene: Path, left: Path, choice: dict[str, Any], what: str
) -> None:
    with pytest.raises(JobMismatchError) as raised:
        client.upscale_raster(RasterSource(scene, **choice), left, **SMALL_TILES)
    assert raised.value.what == what


def test_raster_refuses_a_source_that_was_changed_between_runs(client: Client, scene: Path, left: Path) -> None:
    with rasterio.open(scene, "r+") as source:
        source.write(source.read() + 1)
    with pytest.raises(SourceChangedError):
        client.upscale_raster(scene, left, **SMALL_TILES)


def test_raster_refuses_a_source_that_is_changed_meanwhile(client: Client, scene: Path, made: Path) -> None:
    def change(progress: RasterProgress) -> None:
        if progress.tiles_done == progress.tiles_total:
            scene.touch()

    with pytest.raises(SourceChangedError, match="while it was read"):
        client.upscale_raster(scene, made, on_progress=change, **SMALL_TILES)
    assert not made.exists()


def test_raster_of_a_truncated_source_says_where_it_ends(client: Client, folder: Path, made: Path) -> None:
    source = rasters.truncate(rasters.rgb(folder), kept=0.6)
    with pytest.raises(LocalFileError, match="cannot be read at rows"):
        client.upscale_raster(source, made, **SMALL_TILES)
    assert not made.exists()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_raster_of_a_server_that_fails_half_way_is_gone_on_with(client: Client, tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    name = rasters.rgb(folder, size_px=(400, 500), tiled=True, blockxsize=16, blockysize=16).name
    with rasters.RangeServer(folder) as served, rasterio.Env(**served.options()):
        source = RasterSource(f"{served.url}/{name}", ranges=(0, 255))

        def fail(progress: RasterProgress) -> None:
            if progress.tiles_done:
                served.fail(status=HTTPStatus.NOT_FOUND)

        with pytest.raises(LocalFileError, match="cannot be read at rows"):
            client.upscale_raster(source, made, on_progress=fail, **SMALL_TILES)
        served.recover()
        result = client.upscale_raster(source, made, **SMALL_TILES)
    assert result.resumed_tiles > 0


@pytest.mark.parametrize("stage", ["measuring", "upscaling", "writing", "checking"])
def test_raster_that_is_interrupted_anywhere_is_gone_on_with(
    client: Client, scene: Path, made: Path, stage: str
) -> None:
    class InterruptedHereError(Exception):
        pass

    def interrupt(progress: RasterProgress) -> None:
        if progress.stage == stage:
            raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        client.upscale_raster(scene, made, on_progress=interrupt, **SMALL_TILES)
    assert not [name for name in names(made.parent) if name == "made.tif" or name.endswith(("-part", "-lock"))]
    client.upscale_raster(scene, made, **SMALL_TILES)
    assert verify_raster(made).ok


def test_raster_whose_disk_fills_meanwhile_is_gone_on_with(client: Client, full: Path, tmp_path: Path) -> None:
    source, made = rasters.rgb(tmp_path, size_px=(40, 60)), full / "made.tif"
    filler = full / "filler"

    def fill(progress: RasterProgress) -> None:
        if progress.stage == "upscaling" and progress.done == progress.total and not filler.exists():
            with filler.open("wb") as file:
                file.truncate(0)
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(full).free)

    with pytest.raises(LocalFileError, match="no space left"):
        client.upscale_raster(source, made, on_progress=fill, **SMALL_TILES)
    filler.unlink()
    assert names(full) == ["made.tif.hndsr-journal", "made.tif.hndsr-work"]
    assert client.upscale_raster(source, made, **SMALL_TILES).resumed_tiles > 0


def test_raster_that_is_not_written_yet_is_not_verified(client: Client, scene: Path, made: Path) -> None:
    def interrupt(progress: RasterProgress) -> None:
        if progress.stage == "writing":
            raise KeyError

    with pytest.raises(KeyError):
        client.upscale_raster(scene, made, on_progress=interrupt, **SMALL_TILES)
    verification = verify_raster(made)
    assert (verification.missing_tiles, verification.unfinished, verification.ok) == (0, True, False)


def test_raster_refuses_a_job_that_is_in_use(client: Client, scene: Path, made: Path) -> None:
    with Lock(made.with_name("made.tif.hndsr-lock")), pytest.raises(JobInUseError):
        client.upscale_raster(scene, made, **SMALL_TILES)


def test_raster_refuses_a_second_job_of_one_target(client: Client, scene: Path, made: Path, tmp_path: Path) -> None:
    with Lock(made.with_name("made.tif.hndsr-lock")), pytest.raises(JobInUseError):
        client.upscale_raster(scene, made, job=tmp_path / "elsewhere", **SMALL_TILES)


def test_raster_keeps_its_job_where_it_is_told_to(
    client: Client, server: FakeServer, scene: Path, made: Path, tmp_path: Path
) -> None:
    server.fail_tiles(reason="INTERNAL", after=2)
    with pytest.raises(ServerError):
        client.upscale_raster(scene, made, job=tmp_path / "elsewhere", **SMALL_TILES)
    assert (names(made.parent), (tmp_path / "elsewhere.hndsr-work").exists()) == ([], True)
    assert client.upscale_raster(scene, made, job=tmp_path / "elsewhere", **SMALL_TILES).resumed_tiles == 2


def test_raster_forgets_all_triples_of_a_job_that_is_begun_anew(
    client: Client, server: FakeServer, tmp_path: Path, made: Path
) -> None:
    source = RasterSource(rasters.naip(tmp_path), bands="all")
    for after, scale, resume in ((5, 3, True), (3, 4, False)):
        server.fail_tiles(reason="INTERNAL", after=after)
        with pytest.raises(ServerError):
            client.upscale_raster(source, made, resume=resume, **{**SMALL_TILES, "scale": scale})
    assert not made.with_name("made.tif.2.hndsr-work").exists()
    assert client.upscale_raster(source, made, **SMALL_TILES).resumed_tiles > 0


def test_raster_measures_a_source_anew_of_which_nothing_was_done(client: Client, scene: Path, made: Path) -> None:
    def interrupt(progress: RasterProgress) -> None:
        if progress.stage == "upscaling":
            raise KeyError

    with pytest.raises(KeyError):
        client.upscale_raster(scene, made, on_progress=interrupt, **SMALL_TILES)
    with rasterio.open(scene, "r+") as source:
        source.write(source.read() // 60)
    result = client.upscale_raster(scene, made, **SMALL_TILES)
    assert result.ranges is not None
    assert result.ranges[0][1] <= 1000


def test_raster_that_was_killed_before_it_tidied_up_is_whole(
    client: Client, scene: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Works) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Works, "remove", die)
        with pytest.raises(MemoryError):
            client.upscale_raster(scene, made, **SMALL_TILES)
    with pytest.raises(DestinationError, match="exists"):
        client.upscale_raster(scene, made, **SMALL_TILES)
    assert (names(made.parent), verify_raster(made).ok) == (["made.tif"], True)


def test_raster_is_refused_before_it_is_measured(client: Client, scene: Path, made: Path) -> None:
    told: list[RasterProgress] = []
    with pytest.raises(InvalidRequestError):
        client.upscale_raster(scene, made, scale=99, on_progress=told.append)
    assert told == []


@pytest.mark.parametrize("choice", [{"ranges": (-5, 70000)}, {"ranges": {2: (0, 70000)}}, {"ranges": {9: (0, 1)}}])
def test_raster_refuses_ranges_before_it_measures(
    client: Client, scene: Path, made: Path, choice: dict[str, Any]
) -> None:
    told: list[RasterProgress] = []
    with pytest.raises(ArgumentError, match="ranges"):
        client.upscale_raster(RasterSource(scene, **choice), made, on_progress=told.append, **SMALL_TILES)
    assert told == []


def test_raster_goes_on_whatever_kind_of_numbers_it_is_told(
    client: Client, server: FakeServer, scene: Path, made: Path
) -> None:
    server.fail_tiles(reason="INTERNAL", after=2)
    with pytest.raises(ServerError):
        client.upscale_raster(RasterSource(scene, ranges=(0, 50000)), made, **SMALL_TILES)
    result = client.upscale_raster(RasterSource(scene, ranges=(0.0, 50000.0)), made, **SMALL_TILES)
    assert result.resumed_tiles == 2


def test_raster_of_several_triples_goes_on_in_any_of_them(
    client: Client, server: FakeServer, tmp_path: Path, made: Path
) -> None:
    source = RasterSource(rasters.naip(tmp_path), bands="all")
    server.fail_tiles(reason="INTERNAL", after=5)
    with pytest.raises(ServerError):
        client.upscale_raster(source, made, **SMALL_TILES)
    assert client.upscale_raster(source, made, **SMALL_TILES).resumed_tiles == 5


def test_plan_raster_counts_what_an_earlier_run_left(client: Client, scene: Path, left: Path) -> None:
    plan = client.plan_raster(scene, left, scale=4, cores_per_tile=1)
    assert (plan.left_tiles, plan.tiles) == (2, 4)


def test_plan_raster_measures_a_tile(client: Client, scene: Path, folder: Path) -> None:
    plan = client.plan_raster(scene, scale=4, cores_per_tile=1, measured=True)
    assert plan.measured_tile_s is not None
    assert names(folder) == []


@pytest.mark.parametrize("make", [rasters.float32_nan, rasters.int16, rasters.rgb])
def test_plan_raster_measures_a_tile_of_any_type(client: Client, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert client.plan_raster(make(tmp_path), measured=True).estimated_s > 0
