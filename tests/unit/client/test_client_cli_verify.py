"""`hndsr verify` says whether rasters are what was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio
import rasters

from hndsr_client.cli import main
from hndsr_client.testing import FakeServer


@pytest.fixture
def made(target: str, tmp_path: Path, folder: Path) -> Path:
    """A target of three tiles."""
    path = folder / "made.tif"
    assert main(upscale(target, tmp_path, path)) == 0
    return path


@pytest.fixture
def begun(server: FakeServer, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A target of which one tile of three is made."""
    path = folder / "begun.tif"
    server.fail_tiles(reason="INTERNAL", after=1)
    assert main(upscale(server.target, tmp_path, path)) == 1
    capsys.readouterr()
    return path


def upscale(target: str, tmp_path: Path, path: Path) -> list[str]:
    scene = rasters.rgb(tmp_path, size_px=(60, 140))
    return ["upscale", str(scene), str(path), "--target", target, "--tile-cores", "1", "--quiet", "--no-overviews"]


def spoil(path: Path) -> None:
    """Change a sample of the last tile."""
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        window = rasterio.windows.Window(559, 239, 1, 1)
        dataset.write(dataset.read(1, window=window) ^ 1, 1, window=window)


def test_verify_says_that_all_is_as_it_was_made(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify", str(made)])
    assert (code, capsys.readouterr().out) == (0, f"{made}: 3 tiles as they were made\n")


def test_verify_says_what_is_not_as_it_was_made(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(made)
    code = main(["verify", str(made)])
    assert (code, capsys.readouterr().out) == (1, f"{made}: 1 of 3 tiles is not what was made: row 0 column 2\n")


def test_verify_says_what_is_missing(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify", str(begun)])
    assert (code, capsys.readouterr().out) == (
        1,
        f"{begun}: unfinished: 2 of 3 tiles are missing; the command that began it goes on\n",
    )


def test_verify_is_silent_of_what_is_well_when_quiet(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (main(["verify", "--quiet", str(made)]), capsys.readouterr().out) == (0, "")


def test_verify_says_what_is_wrong_when_quiet(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", "--quiet", str(begun)])
    assert "unfinished" in capsys.readouterr().out


def test_verify_prints_a_line_of_json_for_each(made: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", "--json", str(made), str(folder / "none.tif")])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["path"], line["ok"], line["error"] is None) for line in lines] == [
        (str(made), True, True),
        (str(folder / "none.tif"), False, False),
    ]


def test_verify_expands_patterns(made: Path, folder: Path) -> None:
    assert main(["verify", str(folder / "*.tif")]) == 0


def test_exit_code_of_what_cannot_be_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = rasters.rgb(tmp_path)
    code = main(["verify", str(scene)])
    assert (code, capsys.readouterr().err.startswith(f"hndsr: error: {scene}: ")) == (6, True)


def test_exit_code_of_several_is_that_of_what_is_wrong(begun: Path, made: Path, folder: Path) -> None:
    assert main(["verify", str(made), str(folder / "none.tif"), str(begun)]) == 1
