"""The command upscales rasters, and goes on with what it left."""

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
import rasterio
import rasters

from hndsr_client.cli import main
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

COMMAND = [sys.executable, "-m", "hndsr_client.cli"]
MISSING = """
import sys

class Missing:
    def find_spec(name, *_):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
from hndsr_client.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """RGB of 60 x 140 px, of which, at scale 4, a tile of one core is one of three."""
    return rasters.rgb(tmp_path, size_px=(60, 140))


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.tif"


@pytest.fixture
def upscale(target: str, scene: Path, made: Path) -> list[str]:
    """The arguments of a whole `hndsr upscale`, of three tiles."""
    return ["upscale", str(scene), str(made), "--target", target, "--tile-cores", "1"]


@pytest.fixture
def left(upscale: list[str], server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A job whose first tile is done and whose second has failed."""
    server.fail_tiles(reason="INTERNAL", after=1)
    assert main(upscale) == 1
    capsys.readouterr()


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_upscale_makes_the_raster(upscale: list[str], scene: Path, made: Path) -> None:
    code = main(upscale)
    np.testing.assert_array_equal(read(made), read(scene).repeat(4, 1).repeat(4, 2))
    assert code == 0


def test_upscale_leaves_nothing_beside_the_raster(upscale: list[str], made: Path, folder: Path) -> None:
    main(upscale)
    assert list(folder.iterdir()) == [made]


def test_upscale_sends_the_options_of_a_raster(upscale: list[str], service: NearestServicer) -> None:
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


def test_upscale_takes_the_bands_and_the_window(upscale: list[str], scene: Path, made: Path) -> None:
    main([*upscale, "--bands", "3,2,1", "--window", "10,20,30,40"])
    expected = read(scene)[::-1, 20:60, 10:40].repeat(4, 1).repeat(4, 2)
    np.testing.assert_array_equal(read(made), expected)


def test_upscale_writes_as_it_is_told(upscale: list[str], made: Path) -> None:
    main([*upscale, "--compress", "zstd", "--block", "128", "--no-overviews"])
    with rasterio.open(made) as dataset:
        assert (dataset.compression.value, dataset.block_shapes[0], dataset.overviews(1)) == ("ZSTD", (128, 128), [])


@pytest.mark.parametrize(("name", "options"), [("made.zarr", []), ("MADE.ZARR", []), ("made", ["--format", "zarr"])])
def test_upscale_makes_zarr(upscale: list[str], folder: Path, name: str, options: list[str]) -> None:
    code = main([*upscale[:2], str(folder / name), *upscale[3:], *options])
    assert (code, (folder / name / ".zgroup").exists()) == (0, True)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_upscale_makes_a_raster_of_a_picture(upscale: list[str], tmp_path: Path, made: Path) -> None:
    picture = rasters.png(tmp_path)
    code = main([upscale[0], str(picture), *upscale[2:]])
    np.testing.assert_array_equal(read(made), read(picture).repeat(4, 1).repeat(4, 2))
    assert code == 0


def test_upscale_expands_a_pattern(upscale: list[str], tmp_path: Path, made: Path) -> None:
    assert (main([upscale[0], str(tmp_path / "*.tif"), *upscale[2:]]), made.exists()) == (0, True)


def test_upscale_compares_geotiff_in_one_call(
    upscale: list[str], scene: Path, service: NearestServicer, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale[:5], "--reference", str(scene)])
    assert [request.method for request in service.recorded] == ["Upscale"]


def test_upscale_of_a_raster_ends_with_one_line(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    line = capsys.readouterr().out
    words = "240 x 560 px", "0.134 Mpx", "3 bands of uint8", "3 tiles,", "Mpx/s", "22 % of 27 windows cached", "nearest"
    assert [word for word in words if word not in line] == []


def test_upscale_of_a_raster_is_silent_when_quiet(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--quiet"])
    assert capsys.readouterr() == ("", "")


def test_upscale_of_a_raster_shows_no_progress_without_a_terminal(
    upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(upscale)
    assert not capsys.readouterr().err


def test_upscale_of_a_raster_prints_json(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["tiles"], answer["destination"], answer["format"]) == (3, str(made), "cog")


def test_upscale_prints_lines_of_json(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--json-lines"])
    lines = json_lines(capsys)
    assert [line.get("stage", line["event"]) for line in lines] == ["upscaling", "writing", "checking", "result"]


def test_upscale_prints_how_it_failed_as_a_line_of_json(
    upscale: list[str], server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_next(code="INVALID_ARGUMENT", reason="SCALE_OUT_OF_RANGE", message="too large")
    main([*upscale, "--json-lines"])
    line = json_lines(capsys)[-1]
    assert (line["event"], line["type"], line["message"], line["reason"]) == (
        "error",
        "InvalidRequestError",
        "too large",
        "SCALE_OUT_OF_RANGE",
    )


def test_upscale_prints_what_is_typed_wrong_as_a_line_of_json(
    upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--json-lines", "--mask", "mask.npy"])
    assert [(line["event"], line["type"]) for line in json_lines(capsys)] == [("error", "ArgumentError")]


def test_upscale_goes_on_with_what_is_missing_of_a_raster(
    left: None, upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(upscale)
    assert "3 tiles (1 resumed), " in capsys.readouterr().out


def test_upscale_makes_the_same_raster_in_two_runs(left: None, upscale: list[str], scene: Path, made: Path) -> None:
    main(upscale)
    np.testing.assert_array_equal(read(made), read(scene).repeat(4, 1).repeat(4, 2))


def test_upscale_begins_a_raster_anew_when_told(
    left: None, upscale: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--restart", "--json"])
    assert json.loads(capsys.readouterr().out)["resumed_tiles"] == 0


def test_upscale_leaves_a_raster_alone_that_exists(
    upscale: list[str], made: Path, service: NearestServicer, capsys: pytest.CaptureFixture[str]
) -> None:
    made.touch()
    code = main([*upscale, "--skip-existing"])
    assert (code, capsys.readouterr().out, service.recorded) == (0, f"{made}: exists, left as it is\n", [])


def test_upscale_replaces_a_raster_when_told(upscale: list[str], made: Path) -> None:
    made.touch()
    assert (main([*upscale, "--overwrite"]), read(made).shape) == (0, (3, 240, 560))


def test_exit_code_of_a_raster_that_exists(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.touch()
    code = main(upscale)
    assert (code, "replace it with --overwrite" in capsys.readouterr().err) == (6, True)


def test_exit_code_of_a_job_of_a_raster_that_was_begun_otherwise(left: None, upscale: list[str]) -> None:
    assert main([*upscale, "--bands", "3,2,1"]) == 6


@pytest.mark.parametrize("mode", [[], ["--embedded"]], ids=["remote", "embedded"])
def test_exit_code_of_a_raster_that_is_missing(folder: Path, mode: list[str]) -> None:
    assert main(["upscale", str(folder / "none.tif"), str(folder / "made.tif"), *mode]) == 6


@pytest.mark.parametrize("mode", [[], ["--embedded"]], ids=["remote", "embedded"])
def test_exit_code_of_a_choice_that_does_not_go_with_the_raster(scene: Path, made: Path, mode: list[str]) -> None:
    assert main(["upscale", str(scene), str(made), "--bands", "9", *mode]) == 2


def test_exit_code_of_a_pattern_without_a_match(upscale: list[str], folder: Path) -> None:
    assert main([upscale[0], str(folder / "*.tif"), *upscale[2:]]) == 6


def test_exit_code_without_what_reads_rasters(upscale: list[str]) -> None:
    ended = without("rasterio", upscale)
    expected = b"hndsr: error: rasters need the extra geo; install it with: pip install 'hndsr-client[geo]'\n"
    assert (ended.returncode, ended.stderr) == (2, expected)


def test_image_files_are_upscaled_without_what_reads_rasters(target: str, source: Path, folder: Path) -> None:
    ended = without("rasterio", ["upscale", str(source), str(folder / "made.png"), "--target", target])
    assert (ended.returncode, ended.stderr) == (0, b"")


def without(module: str, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    """How a command ends where a package is not installed."""
    return subprocess.run([sys.executable, "-c", MISSING, module, *arguments], capture_output=True, check=False)


@pytest.mark.parametrize(
    ("paths", "refusal"),
    [
        (("a.tif", "made.gif"), "says no format, accepted are .png, .jpg, .jpeg, .webp, .tif, .tiff and .zarr"),
        (("https://example.org/a.tif", "made.png"), ".tif, .tiff and .zarr are made"),
        (("a.npy", "made.tif"), "SRC and DST are either both .npy files or neither is"),
        (("a.tif", "s3://bucket/folder/"), "is written on this machine"),
        (("a.tif", "b.tif", "made.tif"), "made.tif is no folder, into which several SRC go"),
    ],
    ids=str,
)
def test_exit_code_of_paths_that_do_not_go_together(
    paths: tuple[str, ...], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (main(["upscale", *paths]), refusal in capsys.readouterr().err) == (2, True)


def test_interrupt_says_how_to_go_on_with_a_raster(upscale: list[str], service: NearestServicer) -> None:
    code, _, error = interrupted(upscale, service)
    expected = "hndsr: error: interrupted; the same command goes on with what is missing\n"
    assert (code, error) == (130, expected)


def test_interrupt_ends_lines_of_json_with_one(upscale: list[str], service: NearestServicer) -> None:
    _, output, _ = interrupted([*upscale, "--json-lines"], service)
    assert json.loads(output.splitlines()[-1])["type"] == "KeyboardInterrupt"


def interrupted(arguments: list[str], service: NearestServicer) -> tuple[int, str, str]:
    """How a command ends, and what it says, that is interrupted when its tiles are on their way."""
    service.release = threading.Event()
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert service.received.wait(20)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=20)
    return process.returncode, output.decode(), error.decode()


@pytest.mark.parametrize(
    ("option", "command"),
    [([], "the same command"), (["--restart"], "the same command without --restart")],
    ids=["first", "restart"],
)
def test_failure_that_may_pass_says_how_to_go_on_with_a_raster(
    upscale: list[str], server: FakeServer, option: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_tiles(retry_delay_s=3600, after=1)
    code = main([*upscale, *option])
    assert (code, capsys.readouterr().err.splitlines()[0]) == (4, f"hndsr: {command} goes on with what is missing")


def test_reader_that_has_gone_ends_the_command_quietly(upscale: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*COMMAND, *upscale, "--json-lines"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (6, b"")


@pytest.mark.parametrize("left_by", [None, "left"], ids=["new", "resumed"])
def test_progress_of_a_raster_is_shown_on_a_terminal(
    upscale: list[str], left_by: str | None, request: pytest.FixtureRequest
) -> None:
    if left_by is not None:
        request.getfixturevalue(left_by)
    shown = on_a_terminal([*COMMAND, *upscale])
    words = (
        ["upscaling rgb.tif", "writing made.tif", "3/3 tiles"] if left_by is None else ["(1 left by an earlier run)"]
    )
    assert [word for word in words if word not in shown] == []


def test_progress_is_not_shown_when_quiet(upscale: list[str]) -> None:
    assert not on_a_terminal([*COMMAND, *upscale, "--quiet"])


def on_a_terminal(command: list[str]) -> str:
    """What a command shows on its standard error, read while it runs."""
    reader, terminal = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command, stderr=terminal, stdout=subprocess.DEVNULL, env=environment):
        os.close(terminal)
        shown = b"".join(iter(lambda: read_end(reader), b""))
    os.close(reader)
    return shown.decode()


def read_end(reader: int) -> bytes:
    """What comes next of a terminal, nothing when nobody writes any more."""
    try:
        return os.read(reader, 65536)
    except OSError:  # Linux's way to say so
        return b""
