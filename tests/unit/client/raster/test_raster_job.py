"""Rasters are made whole or not at all, and gone on with whatever ended them: by both kinds of client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasters

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
    RasterTarget,
    ServerError,
    SourceChangedError,
    verify_raster,
)
from hndsr_client._raster.lock import Lock
from hndsr_client._raster.works import Works
from hndsr_client.testing import FakeServer

SMALL_TILES = {"scale": 4, "cores_per_tile": 1, "patience_s": 0}
"""Of 90 x 120 px these make four tiles."""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A source of 16 bits, in a folder of its own."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    return rasters.uint16(folder)


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.tif"


@pytest.fixture
def left(client: Client, server: FakeServer, scene: Path, made: Path) -> Path:
    """A job whose first two tiles are done, and whose third has failed."""
    server.fail_tiles(reason="INTERNAL", after=2)
    with pytest.raises(ServerError):
        client.upscale_raster(scene, made, **SMALL_TILES)
    return made


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 2 MiB."""
    yield from mounted(tmp_path / "disk", "size=2m")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that cannot be written to, not even by root."""
    yield from mounted(tmp_path / "disk", "ro")


def mounted(disk: Path, options: str) -> Iterator[Path]:
    disk.mkdir()
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", options, "hndsr-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a disk here")
    yield disk
    subprocess.run(["/usr/bin/umount", str(disk)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


def test_raster_that_finds_no_room_says_how_much_it_takes(client: Client, full: Path, scene: Path) -> None:
    with pytest.raises(LocalFileError, match=r"takes about .* GB until it is whole, .* GB are free"):
        client.upscale_raster(scene, full / "made.tif", **SMALL_TILES)
    assert names(full) == []


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


def test_raster_refuses_a_folder_that_cannot_be_written_to(client: Client, scene: Path, read_only: Path) -> None:
    with pytest.raises(LocalFileError, match="cannot be written to"):
        client.upscale_raster(scene, read_only / "made.tif", **SMALL_TILES)


def test_raster_never_overwrites_unless_told(client: Client, scene: Path, made: Path) -> None:
    made.write_bytes(b"somebody's")
    with pytest.raises(DestinationError, match="exists"):
        client.upscale_raster(scene, made, **SMALL_TILES)
    assert made.read_bytes() == b"somebody's"


def test_raster_overwrites_when_told(client: Client, scene: Path, made: Path) -> None:
    made.write_bytes(b"somebody's")
    client.upscale_raster(scene, RasterTarget(made, overwrite=True), **SMALL_TILES)
    assert verify_raster(made).ok


def test_raster_that_is_overwritten_takes_its_sidecars_with_it(client: Client, scene: Path, made: Path) -> None:
    sidecar = made.with_name("made.tif.aux.xml")
    sidecar.write_text("<PAMDataset/>")
    client.upscale_raster(scene, RasterTarget(made, overwrite=True), **SMALL_TILES)
    assert not sidecar.exists()


def test_raster_refuses_a_name_whose_sidecars_are_there(client: Client, scene: Path, made: Path) -> None:
    made.with_name("made.tif.ovr").write_bytes(b"")
    with pytest.raises(DestinationError, match=r"made\.tif\.ovr: exists"):
        client.upscale_raster(scene, made, **SMALL_TILES)


def test_raster_refuses_the_source_by_another_name(client: Client, scene: Path, made: Path) -> None:
    made.symlink_to(scene)
    with pytest.raises(DestinationError, match="source itself"):
        client.upscale_raster(scene, RasterTarget(made, overwrite=True), **SMALL_TILES)


def test_raster_refuses_a_file_that_the_source_is_made_of(client: Client, tmp_path: Path) -> None:
    virtual = rasters.virtual(tmp_path)
    part = next(path for path in tmp_path.iterdir() if path.suffix == ".tif")
    with pytest.raises(DestinationError, match="source itself"):
        client.upscale_raster(virtual, RasterTarget(part, overwrite=True), **SMALL_TILES)


def test_raster_refuses_a_file_that_the_source_is_made_of_by_way_of_another(client: Client, tmp_path: Path) -> None:
    virtual = rasters.virtual(tmp_path)
    outer = rasters.copy(virtual, tmp_path / "outer.vrt", driver="VRT")
    part = next(path for path in tmp_path.iterdir() if path.suffix == ".tif")
    with pytest.raises(DestinationError, match="source itself"):
        client.upscale_raster(outer, RasterTarget(part, overwrite=True), **SMALL_TILES)


def test_raster_refuses_the_archive_that_holds_the_source(
    client: Client, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = scene.with_name("scenes.zip")
    with zipfile.ZipFile(archive, "w") as file:
        file.write(scene, scene.name)
    monkeypatch.chdir(scene.parent)
    for name in (
        f"/vsizip/{archive}/{scene.name}",
        f"/vsizip/scenes.zip/{scene.name}",
        f"/vsizip/{{{archive}}}/{scene.name}",
    ):
        with pytest.raises(DestinationError, match="source itself"):
            client.upscale_raster(name, RasterTarget(archive, format="cog", overwrite=True), **SMALL_TILES)


def test_raster_refuses_a_target_whose_sidecar_is_the_source(client: Client, scene: Path) -> None:
    source = scene.rename(scene.with_name("made.tif.ovr"))
    with pytest.raises(DestinationError, match="source itself"):
        client.upscale_raster(source, RasterTarget(scene.with_name("made.tif"), overwrite=True), **SMALL_TILES)
    assert source.exists()


def test_raster_refuses_the_region_as_target(client: Client, tmp_path: Path) -> None:
    region = tmp_path / "region.geojson"
    region.write_text(json.dumps(rasters.polygon((15.001, 45.145), (15.01, 45.145), (15.01, 45.15))))
    source = RasterSource(rasters.rgb(tmp_path), region=region)
    with pytest.raises(DestinationError, match="source itself"):
        client.upscale_raster(source, RasterTarget(region, format="cog", overwrite=True), **SMALL_TILES)


def test_raster_refuses_a_name_that_leaves_no_room_for_its_job(client: Client, scene: Path, folder: Path) -> None:
    with pytest.raises(LocalFileError, match="too long"):
        client.upscale_raster(scene, folder / f"{'x' * 245}.tif", **SMALL_TILES)


@pytest.mark.parametrize("source", [b"scene.tif", None, np.zeros((3, 3)), ""])
def test_raster_refuses_a_source_that_is_no_path(client: Client, made: Path, source: Any) -> None:
    with pytest.raises(ArgumentError, match="the source is"):
        client.upscale_raster(source, made)


def test_raster_refuses_a_pipe(client: Client, folder: Path, made: Path) -> None:
    os.mkfifo(folder / "pipe.tif")
    with pytest.raises(LocalFileError, match="no regular file"):
        client.upscale_raster(folder / "pipe.tif", made)


def test_raster_that_is_not_written_yet_is_not_verified(client: Client, scene: Path, made: Path) -> None:
    def interrupt(progress: RasterProgress) -> None:
        if progress.stage == "writing":
            raise KeyError

    with pytest.raises(KeyError):
        client.upscale_raster(scene, made, on_progress=interrupt, **SMALL_TILES)
    verification = verify_raster(made)
    assert (verification.missing_tiles, verification.unfinished, verification.ok) == (0, True, False)


def test_raster_of_our_own_zarr_with_a_mask_says_what_to_do(client: Client, tmp_path: Path, made: Path) -> None:
    store = tmp_path / "masked.zarr"
    client.upscale_raster(rasters.internal_mask(tmp_path), store, **SMALL_TILES)
    with pytest.raises(ArgumentError, match="zarr with a mask"):
        client.upscale_raster(store, made, **SMALL_TILES)


def test_raster_follows_a_link_to_where_the_target_goes(client: Client, scene: Path, made: Path) -> None:
    elsewhere = made.with_name("elsewhere.tif")
    made.symlink_to(elsewhere)
    client.upscale_raster(scene, made, **SMALL_TILES)
    assert (made.is_symlink(), elsewhere.is_file()) == (True, True)


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


def test_raster_has_one_mask_for_all_its_bands(client: Client, tmp_path: Path, made: Path) -> None:
    source = tmp_path / "four.tif"
    samples = rasters.pattern(4, (90, 120), "uint16")
    samples[0, :20, :20] = samples[3, -20:, -20:] = 7
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        rasters.write(source, samples)
        with rasterio.open(source, "r+") as low:
            low.write_mask(np.where(np.arange(120) < 60, np.uint8(255), np.uint8(0)) * np.ones((90, 1), np.uint8))
    result = client.upscale_raster(RasterSource(source, bands="all", nodata=7), made, **SMALL_TILES)
    with rasterio.open(made) as high:
        invalid = high.read_masks(4) == 0
        np.testing.assert_array_equal(high.read_masks(1) == 0, invalid)
    assert invalid[:80, :80].all()
    assert invalid[-80:, -80:].all()
    assert result.invalid_px == np.count_nonzero(invalid)


def test_raster_of_bands_of_which_some_have_nodata_is_made_lossy(client: Client, tmp_path: Path, made: Path) -> None:
    virtual = rasters.virtual(tmp_path)
    text = virtual.read_text().replace("<ColorInterp>Blue</ColorInterp>", "<NoDataValue>7</NoDataValue>")
    virtual.write_text(text)
    client.upscale_raster(RasterSource(virtual, bands=[(1, 2, 3)]), RasterTarget(made, compress="jpeg"), **SMALL_TILES)
    assert verify_raster(made).ok


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


def test_raster_of_zarr_refuses_what_is_no_folder(client: Client, scene: Path, made: Path) -> None:
    store = made.with_suffix(".zarr")
    store.write_bytes(b"somebody's")
    with pytest.raises(LocalFileError, match="no folder"):
        client.upscale_raster(scene, RasterTarget(store, overwrite=True), **SMALL_TILES)
    assert store.read_bytes() == b"somebody's"


def test_raster_of_zarr_brings_back_what_it_was_about_to_replace(client: Client, scene: Path, made: Path) -> None:
    store = made.with_suffix(".zarr")
    client.upscale_raster(scene, store, **SMALL_TILES)
    store.rename(store.with_name("made.zarr.hndsr-old"))
    with pytest.raises(DestinationError, match="exists"):
        client.upscale_raster(scene, store, **SMALL_TILES)
    assert verify_raster(store).ok


def test_raster_of_zarr_takes_the_place_of_another(client: Client, scene: Path, made: Path) -> None:
    store = made.with_suffix(".zarr")
    client.upscale_raster(scene, store, **SMALL_TILES)
    with pytest.raises(DestinationError, match="exists"):
        client.upscale_raster(scene, store, **SMALL_TILES)
    client.upscale_raster(scene, RasterTarget(store, overwrite=True), **SMALL_TILES)
    assert (names(made.parent), verify_raster(store).ok) == (["made.zarr"], True)


def test_raster_keeps_ground_points_where_they_are(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.ground_points(tmp_path)
    client.upscale_raster(source, made, **SMALL_TILES)
    with rasterio.open(source) as low, rasterio.open(made) as high:
        wanted = [(4 * point.row, 4 * point.col, point.x, point.y, point.z) for point in low.gcps[0]]
        assert [(point.row, point.col, point.x, point.y, point.z) for point in high.gcps[0]] == wanted
        assert high.gcps[1] == low.gcps[1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_raster_keeps_rational_polynomials_where_they_are(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.rational_polynomial(tmp_path)
    client.upscale_raster(source, made, **SMALL_TILES)
    with rasterio.open(source) as low, rasterio.open(made) as high:
        assert high.rpcs.line_off == pytest.approx((low.rpcs.line_off + 0.5) * 4 - 0.5, abs=1e-9)
        assert high.rpcs.samp_scale == pytest.approx(low.rpcs.samp_scale * 4, abs=1e-9)
        assert high.rpcs.line_num_coeff == low.rpcs.line_num_coeff


def test_raster_keeps_what_bands_say_of_themselves(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.uint16(tmp_path, bands=4)
    with rasterio.open(source, "r+") as low:
        low.descriptions = ("blue", "green", "red", "nir")
        low.units = ("reflectance",) * 4
        low.scales = (0.0001,) * 4
        low.update_tags(4, wavelength="842", STATISTICS_MAXIMUM="9")
        low.update_tags(ACQUIRED="2026-05-01", GSD="10")
    client.upscale_raster(RasterSource(source, bands=[(4, 3, 2)]), made, **SMALL_TILES)
    with rasterio.open(made) as high:
        assert (high.descriptions, high.units[0], high.scales[0]) == (("nir", "red", "green"), "reflectance", 0.0001)
        assert high.tags(1) == {"wavelength": "842"}
        assert (high.tags()["ACQUIRED"], "GSD" in high.tags()) == ("2026-05-01", False)


def test_raster_has_the_bands_of_several_triples(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.naip(tmp_path)
    client.upscale_raster(RasterSource(source, bands=[(4, 3, 2), (1, 1, 1)]), made, **SMALL_TILES)
    with rasterio.open(source) as low, rasterio.open(made) as high:
        for number, band in enumerate((4, 3, 2, 1), 1):
            np.testing.assert_array_equal(high.read(number), low.read(band).repeat(4, axis=0).repeat(4, axis=1))


def test_raster_of_several_triples_goes_on_in_any_of_them(
    client: Client, server: FakeServer, tmp_path: Path, made: Path
) -> None:
    source = RasterSource(rasters.naip(tmp_path), bands="all")
    server.fail_tiles(reason="INTERNAL", after=5)
    with pytest.raises(ServerError):
        client.upscale_raster(source, made, **SMALL_TILES)
    assert client.upscale_raster(source, made, **SMALL_TILES).resumed_tiles == 5


def test_raster_calls_no_band_alpha_that_is_none(client: Client, tmp_path: Path, made: Path) -> None:
    alpha = rasters.alpha(tmp_path)
    with rasterio.open(alpha, "r+") as source:
        source.write(rasters.pattern(1, (source.height, source.width))[0], 4)
    with pytest.raises(ArgumentError, match="called alpha"):
        client.upscale_raster(alpha, made, **SMALL_TILES)
    client.upscale_raster(RasterSource(alpha, bands=[(1, 2, 3), (4, 4, 4)]), made, **SMALL_TILES)
    with rasterio.open(made) as high:
        assert (high.count, high.read_masks(1).all()) == (4, True)


def test_raster_of_floats_refuses_outliers_that_leave_too_few_steps(client: Client, tmp_path: Path, made: Path) -> None:
    source = tmp_path / "outliers.tif"
    samples = rasters.pattern(3, (90, 120), "float32")
    samples[:, 5, 5] = 1e9
    rasters.write(source, samples)
    with pytest.raises(ArgumentError, match="clip"):
        client.upscale_raster(source, made, **SMALL_TILES)
    client.upscale_raster(RasterSource(source, clip=(0, 100)), made, **SMALL_TILES)
    assert verify_raster(made).ok


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
