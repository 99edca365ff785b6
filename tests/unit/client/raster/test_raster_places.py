"""Where rasters go: nothing of the source, or of somebody else, is ever written over: by both kinds of client."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasters
from unit.client.raster.scenes import SMALL_TILES, names

from hndsr_client import (
    ArgumentError,
    Client,
    DestinationError,
    LocalFileError,
    RasterSource,
    RasterTarget,
    verify_raster,
)


def test_raster_that_finds_no_room_says_how_much_it_takes(client: Client, full: Path, scene: Path) -> None:
    with pytest.raises(LocalFileError, match=r"takes about .* GB until it is whole, .* GB are free"):
        client.upscale_raster(scene, full / "made.tif", **SMALL_TILES)
    assert names(full) == []


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


def test_raster_follows_a_link_to_where_the_target_goes(client: Client, scene: Path, made: Path) -> None:
    elsewhere = made.with_name("elsewhere.tif")
    made.symlink_to(elsewhere)
    client.upscale_raster(scene, made, **SMALL_TILES)
    assert (made.is_symlink(), elsewhere.is_file()) == (True, True)


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
