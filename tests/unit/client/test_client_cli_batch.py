"""`hndsr batch` says how it ended with each file, and with all of them."""

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

from hndsr_client import errors
from hndsr_client._exit_codes import batch_exit_code
from hndsr_client.cli import main
from hndsr_client.testing import FakeServer
from hndsr_client.testing._png import write_png
from hndsr_client.testing._servicer import NearestServicer

COMMAND = [sys.executable, "-m", "hndsr_client.cli"]


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Two PNG files of 5 x 7 px."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(write_png(np.zeros((5, 7, 3), np.uint8)))
    return paths


@pytest.fixture
def batch(target: str, sources: list[Path], folder: Path) -> list[str]:
    """The arguments of a whole `hndsr batch`."""
    return ["batch", *map(str, sources), "--into", str(folder), "--target", target]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_batch_makes_the_files(batch: list[str], folder: Path) -> None:
    assert (main([*batch, "--scale", "2"]), names(folder)) == (0, ["a.png", "b.png"])


def test_batch_names_the_files(batch: list[str], folder: Path) -> None:
    main([*batch, "--format", "tiff", "--suffix", "_x4"])
    assert names(folder) == ["a_x4.tif", "b_x4.tif"]


def test_batch_sends_the_options(batch: list[str], service: NearestServicer) -> None:
    main([*batch, "--format", "webp", "--quality", "80", "--seed", "7"])
    sent = [(request.encoding.quality, request.parameters.options.seed) for request in service.requests]
    assert sent == [(80, 7), (80, 7)]


def test_batch_ends_with_one_line(batch: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(batch)
    assert capsys.readouterr().out.startswith("2 of 2 files upscaled, ")


def test_batch_counts_what_it_did_not_do(
    batch: list[str], sources: list[Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources[0].unlink()
    (folder / "b.png").touch()
    main([*batch, "--skip-existing"])
    assert capsys.readouterr().out.startswith("0 of 2 files upscaled, 1 skipped, 1 failed, ")


def test_batch_says_which_file_failed(
    batch: list[str], sources: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sources[0].write_bytes(b"no image")
    main(batch)
    assert (
        capsys.readouterr().err
        == f"hndsr: error: {sources[0]}: the file is no PNG, JPEG, WebP or TIFF [UNSUPPORTED_FORMAT]\n"
    )


def test_batch_names_a_missing_file_once(
    batch: list[str], sources: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sources[0].unlink()
    main(batch)
    assert capsys.readouterr().err == f"hndsr: error: {sources[0]}: no such file or directory\n"


def test_batch_is_silent_when_quiet(batch: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*batch, "--quiet"])
    assert capsys.readouterr() == ("", "")


def test_batch_prints_a_line_of_json_for_each_file(
    batch: list[str], sources: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sources[0].write_bytes(b"no image")
    main([*batch, "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(line["source"], line["status"]) for line in lines} == {
        (str(sources[0]), "failed"),
        (str(sources[1]), "done"),
    }


def test_batch_tells_programs_what_was_done(batch: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*batch, "--json", "--scale", "22/7"])
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["metadata"]["scale"], line["error"]) == ("22/7", None)


def test_batch_tells_programs_why_a_file_failed(
    batch: list[str], sources: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for source in sources:
        source.write_bytes(b"no image")
    main([*batch, "--json"])
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert line["error"] == {
        "type": "InvalidRequestError",
        "message": "the file is no PNG, JPEG, WebP or TIFF",
        "reason": "UNSUPPORTED_FORMAT",
        "retry_delay_s": None,
    }


def test_batch_tells_programs_what_was_skipped(
    batch: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.png").touch()
    (folder / "b.png").touch()
    main([*batch, "--json", "--skip-existing"])
    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["skipped", "skipped"]


def test_batch_exit_code_is_of_the_failure(batch: list[str], server: FakeServer) -> None:
    server.fail_next(code="INVALID_ARGUMENT")
    assert main(batch) == 3


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([], 0),
        ([errors.UnavailableError], 4),
        ([errors.UnavailableError, errors.DeadlineError], 5),
        ([errors.DeadlineError, errors.InvalidRequestError], 3),
        ([errors.ServerError, errors.InvalidRequestError], 1),
    ],
)
def test_batch_exit_code_is_of_what_is_least_likely_to_mend(kinds: list[type[errors.ServiceError]], code: int) -> None:
    assert batch_exit_code([kind("no") for kind in kinds]) == code


def test_batch_exit_code_of_an_existing_destination(batch: list[str], folder: Path) -> None:
    (folder / "a.png").touch()
    assert main(batch) == 6


def test_batch_exit_code_of_a_wrong_number_of_jobs(batch: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main([*batch, "--jobs", "0"])
    expected = "hndsr: error: --jobs is 0, accepted is an integer, 1 or more\n"
    assert (code, capsys.readouterr().err) == (2, expected)


def test_batch_refuses_destinations_before_it_starts_a_gateway(
    batch: list[str], sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hndsr_gateway", None)
    assert main([*batch[:3], str(sources[0]), "--into", batch[4], "--embedded"]) == 6


def test_batch_help_says_what_its_exit_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["batch", "--help"])
    assert "1, 2, 6, 3, 5, 4" in capsys.readouterr().out


def test_batch_help_says_what_keeps_the_georeference(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["batch", "--help"])
    assert "hndsr upscale SRC [SRC ...] FOLDER/" in capsys.readouterr().out


def test_batch_interrupted_ends_without_traceback_or_file(
    batch: list[str], service: NearestServicer, folder: Path
) -> None:
    service.release = threading.Event()
    with subprocess.Popen([*COMMAND, *batch], stderr=subprocess.PIPE) as command:
        assert service.received.wait(20)
        command.send_signal(signal.SIGINT)
        _, error = command.communicate(timeout=20)
    assert (command.returncode, error, names(folder)) == (130, b"hndsr: error: interrupted\n", [])


def test_batch_counts_on_a_terminal(batch: list[str]) -> None:
    shown = on_a_terminal([*COMMAND, *batch])
    assert b"0/2" in shown


def test_batch_keeps_json_out_of_the_terminal(batch: list[str]) -> None:
    assert b"metadata" not in on_a_terminal([*COMMAND, *batch, "--json"])


def test_batch_shows_failures_on_a_terminal(batch: list[str], sources: list[Path]) -> None:
    sources[0].unlink()
    assert b"no such file or directory" in on_a_terminal([*COMMAND, *batch])


def on_a_terminal(command: list[str]) -> bytes:
    """What a command shows on its standard error."""
    reader, terminal = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    subprocess.run(command, stderr=terminal, stdout=subprocess.DEVNULL, check=False, env=environment)
    os.close(terminal)
    shown = os.read(reader, 65536)
    os.close(reader)
    return shown
