"""The command streams arrays of any size from file to file, and goes on with what it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hndsr_client._progress import Course
from hndsr_client.cli import main
from hndsr_client.results import Progress
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

RANDOM = np.random.default_rng(7)
IMAGE = RANDOM.integers(0, 256, (60, 140, 3), np.uint8)
"""Of which, at scale 4, a tile of one core is one of three."""
MASK = RANDOM.random((60, 140)) < 0.7
COMMAND = [sys.executable, "-m", "hndsr_client.cli"]


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """The file of the image."""
    path = tmp_path / "source.npy"
    np.save(path, IMAGE)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """The file of the mask."""
    path = tmp_path / "mask.npy"
    np.save(path, MASK)
    return path


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.npy"


@pytest.fixture
def upscale(target: str, array: Path, made: Path) -> list[str]:
    """The arguments of a whole `hndsr upscale`, of three tiles."""
    return ["upscale", str(array), str(made), "--target", target, "--tile-cores", "1"]


@pytest.fixture
def left(upscale: list[str], server: FakeServer) -> None:
    """A job whose first tile is done and whose second has failed."""
    server.fail_tiles(reason="INTERNAL", after=1)
    assert main(upscale) == 1


def test_upscale_makes_the_array(upscale: list[str], made: Path) -> None:
    code = main(upscale)
    np.testing.assert_array_equal(np.load(made), IMAGE.repeat(4, 0).repeat(4, 1))
    assert code == 0


def test_upscale_leaves_nothing_beside_the_array(upscale: list[str], made: Path, folder: Path) -> None:
    main(upscale)
    assert list(folder.iterdir()) == [made]


def test_upscale_takes_extensions_in_any_case(upscale: list[str], folder: Path) -> None:
    made = folder / "MADE.NPY"
    assert (main([*upscale[:2], str(made), *upscale[3:]]), made.exists()) == (0, True)


def test_upscale_sends_the_options_of_an_array(upscale: list[str], service: NearestServicer) -> None:
    main([*upscale, "--scale", "3.14", "--steps", "8", "--texture", "0.5", "--seed", "7", "--model", "nearest"])
    start = service.requests[0].start
    sent = start.parameters
    assert (sent.scale, sent.options.steps, sent.options.texture, sent.options.seed, sent.model) == (
        "3.14",
        8,
        0.5,
        7,
        "nearest",
    )
    assert start.cores_per_tile == 1


def test_upscale_leaves_the_tiles_to_the_server(upscale: list[str], service: NearestServicer) -> None:
    main(upscale[:-2])
    assert service.requests[0].start.cores_per_tile == 0


def test_upscale_takes_a_mask(upscale: list[str], mask: Path, made: Path) -> None:
    main([*upscale, "--mask", str(mask)])
    valid = MASK.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(np.load(made).any(axis=2), IMAGE.repeat(4, 0).repeat(4, 1).any(axis=2) & valid)


def test_upscale_of_an_array_ends_with_one_line(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    line = capsys.readouterr().out
    words = "240 x 560 px", "0.134 Mpx", "3 tiles,", "Mpx/s", "22 % of 27 windows cached", "nearest 5ca1ab1e5ca1\n"
    assert [word for word in words if word not in line] == []


def test_upscale_of_an_array_is_silent_when_quiet(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--quiet"])
    assert capsys.readouterr() == ("", "")


def test_upscale_of_an_array_shows_no_progress_without_a_terminal(
    upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(upscale)
    assert not capsys.readouterr().err


def test_upscale_of_an_array_prints_json(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--scale", "22/7", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["plan"]["scale"], answer["tiles"], answer["destination"]) == ("22/7", 2, str(made))


def test_upscale_prints_neither_pixels_nor_spans_of_an_array(
    upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert {"image", "mask"} & answer.keys() | {"row_spans", "column_spans"} & answer["plan"].keys() == set()


def test_upscale_goes_on_with_what_is_missing(
    left: None, upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--json"])
    assert json.loads(capsys.readouterr().out)["resumed_tiles"] == 1


def test_upscale_says_what_an_earlier_run_has_left(
    left: None, upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(upscale)
    assert "3 tiles (1 resumed), " in capsys.readouterr().out


def test_upscale_makes_the_same_array_in_two_runs(left: None, upscale: list[str], made: Path) -> None:
    main(upscale)
    np.testing.assert_array_equal(np.load(made), IMAGE.repeat(4, 0).repeat(4, 1))


def test_upscale_begins_anew_when_told(left: None, upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--restart", "--json"])
    assert json.loads(capsys.readouterr().out)["resumed_tiles"] == 0


def test_exit_code_of_a_job_that_was_begun_otherwise(left: None, upscale: list[str]) -> None:
    assert main([*upscale, "--scale", "2"]) == 6


def test_exit_code_of_an_array_that_exists(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.touch()
    code = main(upscale)
    assert (code, "replace it with --overwrite" in capsys.readouterr().err) == (6, True)


def test_upscale_replaces_an_array_when_told(upscale: list[str], made: Path) -> None:
    made.touch()
    assert (main([*upscale, "--overwrite"]), np.load(made).shape) == (0, (240, 560, 3))


@pytest.mark.parametrize(
    ("option", "refusal"),
    [
        (["--quality", "80"], "--quality goes with image files and rasters alone"),
        (["--lossless"], "--lossless or --lossy goes with image files alone"),
        (["--lossy"], "--lossless or --lossy goes with image files alone"),
        (["--reference", "truth.png"], "--reference goes with image files alone"),
        (["--bands", "4,3,2"], "--bands goes with rasters alone"),
        (["--window", "0,0,9,9"], "--window goes with rasters alone"),
        (["--no-overviews"], "--no-overviews goes with rasters alone"),
        (["--dry-run"], "--dry-run goes with rasters alone"),
    ],
    ids=str,
)
def test_exit_code_of_an_option_that_is_not_of_arrays(
    upscale: list[str], option: list[str], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*upscale, *option])
    assert (code, capsys.readouterr().err) == (2, f"hndsr: error: {refusal}\n")


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        (["--mask", "mask.npy"], ".npy files"),
        (["--restart"], ".npy files and rasters"),
        (["--tile-cores", "1"], ".npy files and rasters"),
        (["--compress", "zstd"], "rasters"),
        (["--json-lines"], "rasters"),
    ],
    ids=str,
)
def test_exit_code_of_an_option_that_is_not_of_image_files(
    option: list[str], kinds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["upscale", "source.png", "made.png", *option])
    assert (code, capsys.readouterr().err) == (2, f"hndsr: error: {option[0]} goes with {kinds} alone\n")


@pytest.mark.parametrize("names", [("a.npy", "b.png"), ("a.png", "b.npy"), ("a.tif", "b.NPY")], ids=" ".join)
def test_exit_code_of_an_array_and_an_image_file(names: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["upscale", *names])
    assert (code, capsys.readouterr().err) == (
        2,
        "hndsr: error: SRC and DST are either both .npy files or neither is\n",
    )


@pytest.mark.parametrize("cores", ["0", "17", "two"])
def test_exit_code_of_tiles_of_no_size(upscale: list[str], cores: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*upscale[:-1], cores])


@pytest.mark.parametrize("mode", [[], ["--embedded"]], ids=["remote", "embedded"])
def test_exit_code_of_an_array_that_is_missing(folder: Path, mode: list[str]) -> None:
    assert main(["upscale", str(folder / "none.npy"), str(folder / "made.npy"), *mode]) == 6


def test_interrupt_says_how_to_go_on(upscale: list[str], service: NearestServicer) -> None:
    service.release = threading.Event()
    with subprocess.Popen([*COMMAND, *upscale], stderr=subprocess.PIPE) as process:
        assert service.received.wait(20)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    expected = "hndsr: error: interrupted; the same command goes on with what is missing\n"
    assert (process.returncode, error.decode()) == (130, expected)


@pytest.mark.parametrize(
    ("option", "command"),
    [([], "the same command"), (["--restart"], "the same command without --restart")],
    ids=["first", "restart"],
)
def test_failure_that_may_pass_says_how_to_go_on(
    upscale: list[str], server: FakeServer, option: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_tiles(retry_delay_s=3600, after=1)
    code = main([*upscale, *option])
    assert (code, capsys.readouterr().err.splitlines()[0]) == (4, f"hndsr: {command} goes on with what is missing")


def test_failure_that_will_not_pass_says_not_how_to_go_on(
    upscale: list[str], server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_tiles(reason="INTERNAL")
    main(upscale)
    assert "the same command" not in capsys.readouterr().err


def test_progress_tells_tiles_and_speed_on_a_terminal(upscale: list[str]) -> None:
    reader, terminal = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    subprocess.run([*COMMAND, *upscale], stderr=terminal, stdout=subprocess.DEVNULL, check=True, env=environment)
    os.close(terminal)
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    assert [word for word in ("3/3 tiles", "Mpx/s", "ETA") if word not in shown] == []


def course(*steps: tuple[int, float]) -> Course:
    """Of a run that was told so many target pixels at so many seconds."""
    made = Course()
    for px, elapsed_s in steps:
        made.add(
            Progress(
                tiles_done=0,
                tiles_total=9,
                target_px_done=px,
                target_px_total=9,
                resumed_tiles=0,
                elapsed_s=elapsed_s,
            )
        )
    return made


@pytest.mark.parametrize(
    ("steps", "speed"),
    [
        ((), ""),
        (((10**6, 1.0),), ""),
        (((0, 1.0), (0, 2.0)), ""),
        (((0, 1.0), (10**6, 2.0), (3 * 10**6, 3.0)), "1.5 Mpx/s"),
        (((10**6, 1.0), (3 * 10**6, 2.0)), "2 Mpx/s"),
    ],
    ids=["nothing", "plan", "waiting", "new", "resumed"],
)
def test_speed_is_of_what_this_run_made(steps: tuple[tuple[int, float], ...], speed: str) -> None:
    assert course(*steps).speed == speed
