"""The command upscales several rasters into a folder, one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import rasters

from hndsr_client._destinations import expanded, is_folder, plan_scenes
from hndsr_client._raster_commands import interrupt_kept
from hndsr_client.cli import main
from hndsr_client.errors import ArgumentError, DestinationError
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

COMMAND = [sys.executable, "-m", "hndsr_client.cli"]


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    """Two rasters in a folder of their own."""
    folder = tmp_path / "scenes"
    return [rasters.rgb(folder, name=name, size_px=(20, 30)) for name in ("a.tif", "b.tif")]


@pytest.fixture
def upscale(target: str, scenes: list[Path], folder: Path) -> list[str]:
    """The arguments of a whole `hndsr upscale` of both."""
    return ["upscale", *map(str, scenes), f"{folder}/", "--target", target]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["a_x4.tif", "b_x4.tif"]),
        (["--scale", "3.14"], ["a_x3.14.tif", "b_x3.14.tif"]),
        (["--scale", "22/7"], ["a_x22-7.tif", "b_x22-7.tif"]),
        (["--suffix", "_big"], ["a_big.tif", "b_big.tif"]),
        (["--suffix", ""], ["a.tif", "b.tif"]),
        (["--format", "zarr"], ["a_x4.zarr", "b_x4.zarr"]),
    ],
    ids=str,
)
def test_upscale_names_the_rasters_of_a_folder(
    upscale: list[str], folder: Path, options: list[str], expected: list[str]
) -> None:
    assert (main([*upscale, *options]), names(folder)) == (0, expected)


def test_upscale_makes_the_folder(upscale: list[str], tmp_path: Path) -> None:
    assert (main([*upscale[:3], f"{tmp_path}/new/", *upscale[4:]]), names(tmp_path / "new")) == (
        0,
        ["a_x4.tif", "b_x4.tif"],
    )


def test_upscale_puts_one_raster_into_a_folder(upscale: list[str], folder: Path) -> None:
    assert (main([*upscale[:2], str(folder), *upscale[4:]]), names(folder)) == (0, ["a_x4.tif"])


def test_upscale_expands_patterns_that_the_shell_did_not(upscale: list[str], tmp_path: Path, folder: Path) -> None:
    pattern = str(tmp_path / "scenes" / "*.tif")
    assert (main(["upscale", pattern, *upscale[3:]]), names(folder)) == (0, ["a_x4.tif", "b_x4.tif"])


def test_upscale_leaves_out_what_it_has_made(
    target: str, scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["upscale", f"{tmp_path}/scenes/*.tif", f"{tmp_path}/scenes/", "--target", target]
    main([*command, "--quiet"])
    code = main([*command, "--skip-existing"])
    said = capsys.readouterr()
    assert (code, said.out[:34], said.err.count("is left out")) == (0, "0 of 2 rasters upscaled, 2 skipped", 2)


def test_upscale_of_several_ends_with_a_count(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1].startswith("2 of 2 rasters upscaled, ")) == (3, True)


def test_upscale_of_several_is_silent_when_quiet(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--quiet"])
    assert capsys.readouterr() == ("", "")


def test_upscale_goes_on_behind_a_raster_that_failed(
    upscale: list[str], scenes: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes[0].write_bytes(b"no raster")
    code = main(upscale)
    said = capsys.readouterr()
    assert (code, names(folder)) == (6, ["b_x4.tif"])
    assert "1 of 2 rasters upscaled, 1 failed, " in said.out
    assert said.err.startswith(f"hndsr: error: {scenes[0]}: ")


def test_upscale_skips_what_exists(upscale: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a_x4.tif").touch()
    code = main([*upscale, "--skip-existing"])
    assert (code, "1 of 2 rasters upscaled, 1 skipped, " in capsys.readouterr().out) == (0, True)


def test_exit_code_of_several_of_which_one_exists(upscale: list[str], folder: Path) -> None:
    (folder / "a_x4.tif").touch()
    assert (main(upscale), names(folder)) == (6, ["a_x4.tif", "b_x4.tif"])


def test_upscale_of_several_prints_a_line_of_json_for_each(
    upscale: list[str], scenes: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    scenes[0].write_bytes(b"no raster")
    main([*upscale, "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["source"], line["status"]) for line in lines] == [
        (str(scenes[0]), "failed"),
        (str(scenes[1]), "done"),
    ]


def test_upscale_of_several_prints_progress_of_each(
    upscale: list[str], scenes: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes[0].write_bytes(b"no raster")
    main([*upscale, "--json-lines"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, last = ("error", str(folder / "a_x4.tif")), ("result", str(folder / "b_x4.tif"))
    ends = [(line["event"], line["destination"]) for line in lines if line["event"] != "progress"]
    assert (ends, lines[1]["destination"]) == ([first, last], str(folder / "b_x4.tif"))


def test_sources_of_one_name_are_refused_before_anything_starts(
    upscale: list[str], tmp_path: Path, service: NearestServicer, capsys: pytest.CaptureFixture[str]
) -> None:
    other = rasters.rgb(tmp_path / "other", name="a.tif")
    code = main([*upscale[:3], str(other), *upscale[3:]])
    assert (code, "give them two names or folders" in capsys.readouterr().err, service.recorded) == (6, True, [])


def test_source_that_would_be_replaced_is_refused(scenes: list[Path], tmp_path: Path) -> None:
    assert main(["upscale", *map(str, scenes), f"{tmp_path}/scenes/", "--suffix", "", "--overwrite"]) == 6


def test_arrays_are_not_put_into_a_folder(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main([upscale[0], "a.npy", *upscale[2:]])
    assert (code, "both .npy files or neither" in capsys.readouterr().err) == (2, True)


def test_failure_that_may_pass_says_how_to_go_on_with_several(
    upscale: list[str], server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_tiles(retry_delay_s=3600, after=1)
    code = main(upscale)
    assert (code, capsys.readouterr().err.splitlines()[-1]) == (
        4,
        "hndsr: the same command with --skip-existing goes on with what is missing",
    )


@pytest.mark.parametrize(
    ("option", "way"),
    [
        ([], "the same command with --skip-existing"),
        (["--skip-existing"], "the same command"),
        (["--overwrite"], "the same command with --skip-existing, without --overwrite,"),
    ],
    ids=["first", "skipping", "overwriting"],
)
def test_interrupt_says_how_to_go_on_with_several(
    upscale: list[str], service: NearestServicer, option: list[str], way: str
) -> None:
    with subprocess.Popen([*COMMAND, *upscale, *option], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first is made
        service.release = threading.Event()
        service.received.wait(20)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    expected = f"hndsr: error: interrupted; {way} goes on with what is missing\n"
    assert (process.returncode, error.decode()) == (130, expected)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("dir/scene.v2.tif", "made/scene.v2_x4.tif"),
        ("https://user:secret@example.org/a/B04.tif?signature=secret", "made/B04_x4.tif"),
        ("/vsis3/bucket/scene.zarr/", "made/scene_x4.tif"),
        ('NETCDF:"/data/file.nc":t2m', "made/file_t2m_x4.tif"),
    ],
)
def test_scene_is_named_by_its_source(source: str, destination: str) -> None:
    scenes, _ = plan_scenes([source], "made", extension=".tif", suffix="_x4")
    assert [(scene.source, scene.destination) for scene in scenes] == [(source, destination)]


def test_scene_has_a_name_without_secrets() -> None:
    scenes, _ = plan_scenes(["https://user:secret@example.org/B04.tif?x=secret"], "made", extension=".tif", suffix="")
    assert "secret" not in scenes[0].name


def test_scenes_of_one_file_are_told_apart() -> None:
    names = ['NETCDF:"/data/file.nc":t2m', 'NETCDF:"/data/file.nc":u10']
    scenes, _ = plan_scenes(names, "made", extension=".tif", suffix="")
    assert [Path(scene.destination).name for scene in scenes] == ["file_t2m.tif", "file_u10.tif"]


def test_scene_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(DestinationError, match="listed twice"):
        plan_scenes(["a.tif", "./a.tif"], "made", extension=".tif", suffix="")


def test_suffix_that_is_a_path_is_refused() -> None:
    with pytest.raises(ArgumentError, match="suffix"):
        plan_scenes(["a.tif"], "made", extension=".tif", suffix="/x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("made/", True), (".", True), ("made.tif", False), ("made.zarr", False), ("made.zarr/", False), ("made", False)],
)
def test_folder_is_one_that_exists_or_ends_in_a_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, expected: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.zarr").mkdir()
    assert is_folder(name) == expected


def test_patterns_stand_for_files_in_order(tmp_path: Path) -> None:
    for name in ("b.tif", "a.tif", "a.tif.hndsr-work", "[x].tif"):
        (tmp_path / name).touch()
    found = expanded([f"{tmp_path}/*.tif*", f"{tmp_path}/[x].tif", "https://example.org/a*.tif", "none.tif"])
    names = ["[x].tif", "a.tif", "b.tif", "[x].tif", "a*.tif", "none.tif"]
    assert [os.path.basename(path) for path in found] == names  # noqa: PTH119  an address is no path


def test_interrupt_remains_one_when_something_fails_because_of_it() -> None:
    def half_made() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("half made")

    with pytest.raises(KeyboardInterrupt), interrupt_kept():
        half_made()


def test_failure_remains_one_without_an_interrupt() -> None:
    with pytest.raises(RuntimeError, match="half made"), interrupt_kept():
        raise RuntimeError("half made")
