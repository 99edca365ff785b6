"""From files to a manifest: what is kept, what is taken over, and what a crash leaves."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pytest
import rasterio
from affine import Affine
from unit.training.imagery.scenes import scene, write

from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery import prepare as command
from hndsr_ensemble.training.imagery.footprints import find_intersections, intersect
from hndsr_ensemble.training.imagery.inspection import inspect, read_keypoints
from hndsr_ensemble.training.imagery.journal import open_journal, read_journal
from hndsr_ensemble.training.imagery.manifest import (
    SPLITS,
    Footprint,
    Image,
    Manifest,
    ManifestError,
    Overlap,
    Settings,
    read_manifest,
    write_manifest,
)
from hndsr_ensemble.training.imagery.overlaps import Unread
from hndsr_ensemble.training.imagery.pixels import pieces_of
from hndsr_ensemble.training.imagery.sharpness import sharpness
from hndsr_ensemble.training.imagery.sources import Found, SourceError, StorageMissingError, find_files

SETTINGS = Settings((0.5, 0.25, 0.25), "none")
IMAGE = Image(
    "/a.png", 5, "7", "ab", 4, 3, 3, "uint8", 0.25, Footprint("EPSG:4326", ((0.0, 1.0),) * 4, 0.5), "x", "val"
)
PROFILE = {
    "driver": "GTiff",
    "transform": Affine(2, 0, 500, 0, -2, 900),
    "width": 300,
    "height": 300,
    "dtype": "uint8",
    "crs": "EPSG:32631",
}


def prepared(source: Path, into: Path) -> tuple[Manifest, str]:
    return command.prepare([str(source)], into, settings=SETTINGS, workers=1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two crops of a scene, one of another, a copy, and files that are no images."""
    folder, ground = tmp_path / "source", scene(1)
    write(folder / "a/one.png", ground[:256, :256])
    write(folder / "a/two.png", ground[100:356, 60:316])
    write(folder / "b/three.png", scene(2, 256))
    write(folder / "b/copy.png", scene(2, 256))
    (folder / "b/empty.jpg").touch()
    (folder / "notes.txt").write_text("no image")
    (folder / "b/cut.png").write_bytes((folder / "b/three.png").read_bytes()[:9000])
    (folder / ".hidden").write_text("not listed")
    return folder


def test_prepare_keeps_every_file_and_says_why_it_refused_some(source: Path, tmp_path: Path) -> None:
    manifest, _ = prepared(source, tmp_path / "out")
    said = {Path(one.path).name: (one.refused or "").partition(":")[0] for one in manifest.records}
    bad = {"notes.txt": "cannot be decoded", "cut.png": "cannot be decoded", "empty.jpg": "empty file"}
    assert said == {"one.png": "", "two.png": "", "three.png": "", "copy.png": "", **bad}


def test_prepare_finds_overlap_and_copy_and_tells_them(source: Path, tmp_path: Path) -> None:
    manifest, report = prepared(source, tmp_path / "out")
    names = {image.sha256: Path(image.path).name for image in manifest.records}
    assert [{names[one.first], names[one.second]} for one in manifest.overlaps] == [{"one.png", "two.png"}]
    assert "files equal to another                1" in report


def test_prepare_again_reads_nothing_and_writes_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = prepared(source, tmp_path / "out")
    asked: list[Found] = []
    inspect_files = command.Workers.inspect
    monkeypatch.setattr(
        command.Workers, "inspect", lambda self, files, to: asked.extend(files) or inspect_files(self, files, to)
    )
    after, _ = prepared(source, tmp_path / "out")
    assert (asked, after) == ([], before)


def test_prepare_reads_a_changed_file_again(source: Path, tmp_path: Path) -> None:
    prepared(source, tmp_path / "out")
    write(source / "b/three.png", scene(3, 256))
    manifest, _ = prepared(source, tmp_path / "out")
    assert len({image.sha256 for image in manifest.records if image.refused is None}) == 4


def test_prepare_goes_on_after_it_was_killed(source: Path, tmp_path: Path) -> None:
    for number in range(40):
        write(source / f"c/{number}.png", scene(100 + number, 256))
    into = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from hndsr_ensemble.training.imagery.prepare import *\n"
        "if __name__ == '__main__': prepare([sys.argv[1]], Path(sys.argv[2]),"
        " settings=Settings((0.5, 0.25, 0.25), 'none'), workers=1)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(source), str(into)]) as process:
        while len(read_journal(into / "journal.jsonl")) < 3 and process.poll() is None:
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
    kept = {image.path for image in read_journal(into / "journal.jsonl")}
    manifest, _ = prepared(source, into)
    assert 3 <= len(kept) < len(manifest.records)
    assert manifest == prepared(source, tmp_path / "fresh")[0]


def test_prepare_refuses_a_file_that_cannot_be_compared_any_more(source: Path, tmp_path: Path) -> None:
    prepared(source, tmp_path / "out")
    state = (source / "a/one.png").stat()
    (source / "a/one.png").write_bytes(b"\0" * state.st_size)
    os.utime(source / "a/one.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    write(source / "a/new.png", scene(1)[30:286, 20:276])
    manifest, report = prepared(source, tmp_path / "out")
    refused = {Path(one.path).name: one.refused for one in manifest.records if one.refused}
    assert "cannot be decoded" in str(refused["one.png"])
    assert "pairs of overlapping crops            1" in report


def test_prepare_fails_when_files_cannot_be_read_to_be_compared_and_then_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(command.Workers, "map", lambda _, __, tasks: [Unread(task.first[0], "gone") for task in tasks])
        with pytest.raises(command.NotComparedError, match=r"files .* \(gone\)"):
            prepared(source, tmp_path / "out")
    assert not (tmp_path / "out/manifest.jsonl").exists()
    assert len(prepared(source, tmp_path / "out")[0].overlaps) == 1


def test_prepare_compares_anew_what_a_file_that_has_gone_connected(source: Path, tmp_path: Path) -> None:
    write(source / "a/between.png", scene(1)[50:306, 30:286])
    first, _ = prepared(source, tmp_path / "out")
    named = {Path(one.path).name: one.sha256 for one in first.records}
    # As where many pictures share ground, which only neighbours were compared of.
    chain = tuple(one for one in first.overlaps if named["between.png"] in (one.first, one.second))
    write_manifest(tmp_path / "out/manifest.jsonl", replace(first, overlaps=chain))
    (source / "a/between.png").unlink()
    (found,) = prepared(source, tmp_path / "out")[0].overlaps
    assert {found.first, found.second} == {named["one.png"], named["two.png"]}


def test_digest_and_order_do_not_depend_on_where_sources_lie(source: Path, tmp_path: Path) -> None:
    settings = Settings((0.5, 0.25, 0.25), "folder")
    here = [str(source / name) for name in ("a", "b")]
    first, _ = command.prepare(here, tmp_path / "one", settings=settings, workers=1)
    moved = [tmp_path / "z" / "a", tmp_path / "y" / "b"]
    for before, after in zip(here, moved, strict=True):
        after.parent.mkdir()
        Path(before).rename(after)
    second, _ = command.prepare([str(one) for one in moved[::-1]], tmp_path / "two", settings=settings, workers=1)
    assert first.digest == second.digest
    for split in SPLITS:
        assert [one.sha256 for one in first.images(split)] == [one.sha256 for one in second.images(split)]


def test_scene_is_the_folder_below_the_source(source: Path, tmp_path: Path) -> None:
    settings = Settings((1.0, 0.0, 0.0), "folder")
    manifest, _ = command.prepare([str(source)], tmp_path / "out", settings=settings, workers=1)
    assert {one.scene for one in manifest.images("train")} == {"source/a", "source/b"}


def test_images_that_hold_nothing_in_places_are_told(tmp_path: Path) -> None:
    samples = scene(1, 300).transpose(2, 0, 1).copy()
    samples[:, :30] = 0
    with rasterio.open(tmp_path / "one.tif", "w", count=3, nodata=0, **PROFILE) as dataset:
        dataset.write(samples)
    manifest, report = prepared(tmp_path / "one.tif", tmp_path / "out")
    assert manifest.records[0].invalid_share == pytest.approx(0.1, abs=0.01)
    assert "some pixels hold nothing              1" in report
    assert not manifest.records[0].is_measurable


def test_journal_leaves_out_the_line_a_crash_cut_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"path": "/torn')
    with open_journal(path) as journal:
        journal.append(IMAGE)
    assert read_journal(path) == [IMAGE]


def test_manifest_is_read_as_written(tmp_path: Path) -> None:
    manifest = Manifest(SETTINGS, (IMAGE, Image("/b", 0, "", refused="empty file")), (Overlap("a", "b", "crop", 0.3),))
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    assert read_manifest(tmp_path) == manifest


def test_manifest_digest_is_of_the_data_not_of_their_place() -> None:
    here, there = (Manifest(SETTINGS, (replace(IMAGE, path=path),), ()) for path in ("/here", "/there"))
    other = Manifest(SETTINGS, (replace(IMAGE, split="test"),), ())
    assert here.digest == there.digest != other.digest


def test_manifest_that_lost_a_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, Manifest(SETTINGS, (IMAGE,), ()))
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(ManifestError, match="damaged"):
        read_manifest(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", json.dumps({"manifest": 99})])
def test_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(ManifestError, match="prepare"):
        read_manifest(path)


def test_remote_files_are_found_and_read(tmp_path: Path) -> None:
    content = write(tmp_path / "one.png", scene(1, 256)).read_bytes()
    fsspec.filesystem("memory").pipe("/bucket/deep/one.png", content)
    (found,) = find_files("memory://bucket")
    image = inspect(found, tmp_path / "keypoints")
    assert (image.path, image.width_px, image.refused) == ("memory:///bucket/deep/one.png", 256, None)
    assert found.modified


def test_storage_that_is_not_installed_is_named() -> None:
    with pytest.raises(StorageMissingError, match="s3fs"):
        find_files("s3://bucket/prefix")


def test_source_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        find_files(str(tmp_path / "nowhere"))


def test_georeferenced_images_of_16_bits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    samples = scene(1, 300)[..., 0].astype(np.uint16) * 40
    profile = {"driver": "GTiff", "width": 300, "height": 300, "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.open(path, "w", transform=Affine(2, 0, 500, 0, -2, 900), **profile) as dataset:
        dataset.write(samples, 1)
    image = inspect(find_files(str(path))[0], tmp_path / "keypoints")
    corners = ((500.0, 900.0), (1100.0, 900.0), (1100.0, 300.0), (500.0, 300.0))
    assert image.footprint == Footprint("EPSG:32631", corners, 2.0)
    assert (image.bands, image.sample_type) == (1, "uint16")
    assert len(read_keypoints(tmp_path / "keypoints", image.sha256)[0].levels) > 100


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (26, 26), (256, 256)])
def test_image_without_keypoints_is_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write(tmp_path / "bare.png", np.full((*size, 3), 90, np.uint8))
    image = inspect(find_files(str(path))[0], tmp_path / "keypoints")
    assert (image.refused, image.sharpness) == (None, 0.0)
    assert [len(piece.levels) for piece in read_keypoints(tmp_path / "keypoints", image.sha256)] == [0]


@pytest.mark.parametrize(("shift", "together"), [(50, True), (98.5, True), (99.5, False), (100, False), (150, False)])
def test_footprints_intersect_by_more_than_a_pixel(shift: float, together: bool) -> None:  # noqa: FBT001
    corners = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0))
    moved = tuple((x + shift, y) for x, y in corners)
    assert intersect(Footprint("EPSG:32631", corners, 1.0), Footprint("EPSG:32631", moved, 1.0)) is together


def test_footprints_of_neighbouring_zones_intersect() -> None:
    """Either side of 6° E, where zones 31 and 32 meet."""
    west, east = square("EPSG:32631", 715_000, 5_320_000), square("EPSG:32632", 272_000, 5_321_500)
    apart = square("EPSG:32632", 279_000, 5_321_500)
    assert find_intersections({"a": west, "b": east, "c": apart}) == [("a", "b")]


def test_footprints_intersect_however_their_system_is_written() -> None:
    text = rasterio.CRS.from_epsg(32632).to_wkt()
    one, other, next_to = (square(crs, x, 5_000_000) for crs, x in (("EPSG:32632", 0), (text, 4_000), (text, 5_000)))
    assert find_intersections({"a": one, "b": other, "c": next_to}) == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32601"])
def test_footprints_intersect_over_the_antimeridian(crs: str) -> None:
    over = Footprint("EPSG:4326", ((179.9, 1.0), (180.1, 1.0), (180.1, 0.9), (179.9, 0.9)), 0.001)
    beyond = Footprint("EPSG:4326", ((-180.0, 1.0), (-179.8, 1.0), (-179.8, 0.9), (-180.0, 0.9)), 0.001)
    beyond = beyond if crs == "EPSG:4326" else square(crs, 170_000, 105_000)
    assert find_intersections({"a": over, "b": beyond}) == [("a", "b")]


def test_footprints_that_have_no_place_on_the_globe_meet_their_own_kind() -> None:
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    one, other, globe = square(local, 0, 0), square(local, 4_000, 0), square("EPSG:32632", 0, 0)
    assert find_intersections({"a": one, "b": other, "c": globe}) == [("a", "b")]


def square(crs: str, x: float, y: float) -> Footprint:
    """5 km each way, of 1 m."""
    corners = ((x, y), (x + 5_000.0, y), (x + 5_000.0, y - 5_000.0), (x, y - 5_000.0))
    return Footprint(crs, tuple((float(across), float(down)) for across, down in corners), 1.0)


def test_sharpness_ignores_light_and_falls_with_blur() -> None:
    grey = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    blurred = (grey + np.roll(grey, 1, 0) + np.roll(grey, 1, 1)) / 3
    assert sharpness([grey]) == pytest.approx(20, rel=0.05)
    assert sharpness([3 * grey + 50]) == pytest.approx(sharpness([grey]), rel=1e-3)
    assert sharpness([blurred]) < 0.6 * sharpness([grey])


@pytest.mark.parametrize("size", [(1, 1), (256, 256), (2048, 2048), (2049, 300), (8192, 5000), (30000, 9000)])
def test_pieces_cover_an_image_and_are_bounded(size: tuple[int, int]) -> None:
    pieces = pieces_of(*size)
    for axis, (start, length) in enumerate([("left_px", "width_px"), ("top_px", "height_px")]):
        spans = sorted({(getattr(one, start), getattr(one, start) + getattr(one, length)) for one in pieces})
        assert (spans[0][0], spans[-1][1]) == (0, size[axis])
        assert all(before[1] > after[0] for before, after in pairwise(spans))
    assert all(max(one.width_px, one.height_px) <= 2048 * one.reduction for one in pieces)
    assert len(pieces) <= 25


def test_command_prints_the_report(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["prepare", str(source), "--into", str(tmp_path / "out"), "--workers", "1"])
    assert arguments.run(arguments) == 0
    assert "pairs of overlapping crops" in capsys.readouterr().out


def test_command_refuses_scenes_without_a_group(source: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="one group is needed"):
        command.prepare([str(source)], tmp_path, settings=Settings((1.0, 0.0, 0.0), "a"), workers=1)
