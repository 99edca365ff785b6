"""The command says how long there is to wait, when a call is refused and while it waits itself."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hndsr_client import ServiceError
from hndsr_client._core.retries import logger, tell_pause
from hndsr_client._messages import duration, error_message
from hndsr_client._pauses import telling_pauses
from hndsr_client.cli import main
from hndsr_client.testing import FakeServer

# Longer than any call waits by itself.
QUOTA = {"reason": "QUOTA_EXCEEDED", "message": "it has 0 left", "retry_delay_s": 1000.5}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.25, "0.25 s"), (1.0, "1 s"), (170.2, "171 s"), (600.0, "600 s"), (601.0, "11 min"), (3600.0, "60 min")],
)
def test_duration_is_rounded_up(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_command_says_how_long_there_is_to_wait(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.fail_next(**QUOTA)
    main(["info", "--target", server.target])
    assert capsys.readouterr().err == "hndsr: error: it has 0 left; that is in 17 min [QUOTA_EXCEEDED]\n"


@pytest.mark.parametrize("delay_s", [None, 0.0, -1.0])
def test_error_message_says_nothing_of_a_delay_that_is_none(delay_s: float | None) -> None:
    assert error_message(ServiceError("no", reason="OVERLOADED", retry_delay_s=delay_s)) == "no [OVERLOADED]"


def test_batch_tells_programs_how_long_there_is_to_wait(
    server: FakeServer, source: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_next(**QUOTA)
    main(["batch", str(source), "--into", str(folder), "--target", server.target, "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["retry_delay_s"] == 1000.5


def test_error_message_names_the_option_of_smaller_tiles() -> None:
    error = ServiceError("a tile has 4,000,000 px", reason="IMAGE_TOO_LARGE")
    assert "a lower --tile-cores makes tiles smaller" in error_message(error)


def test_error_message_names_the_option_of_fewer_calls() -> None:
    error = ServiceError("it has 0 left of 2 calls at once", reason="QUOTA_EXCEEDED")
    assert "a lower --jobs makes fewer calls at once" in error_message(error)


def tell(*pauses_s: float) -> None:
    for pause_s in pauses_s:
        tell_pause(pause_s, ServiceError("it has 0 left", reason="QUOTA_EXCEEDED"))


def test_pause_that_lasts_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with telling_pauses(shown=True):
        tell(112.0)
    assert capsys.readouterr().err == "hndsr: waiting 112 s: QUOTA_EXCEEDED: it has 0 left\n"


def test_pauses_that_last_together_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with telling_pauses(shown=True):
        tell(112.0, 60.0, 112.5)
    assert capsys.readouterr().err.count("waiting") == 1


def test_pause_that_is_short_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with telling_pauses(shown=True):
        tell(4.9)
    assert capsys.readouterr().err == ""


def test_pause_is_no_line_where_none_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with telling_pauses(shown=False):
        tell(112.0)
    assert capsys.readouterr().err == ""


def test_pauses_are_told_no_longer_than_wanted() -> None:
    with telling_pauses(shown=True):
        pass
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


@pytest.mark.parametrize("array", [False, True], ids=["call", "stream"])
def test_command_says_that_it_waits(
    server: FakeServer,
    tmp_path: Path,
    source: Path,
    array: bool,  # noqa: FBT001  a case
) -> None:
    np.save(tmp_path / "source.npy", np.zeros((5, 7, 3), np.uint8))
    paths = ["source.npy", "made.npy"] if array else [str(source), str(tmp_path / "made.png")]
    server.fail_next(**QUOTA | {"retry_delay_s": 60.0})
    command = [sys.executable, "-m", "hndsr_client.cli", "upscale", *paths, "--target", server.target]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        process.kill()
    assert line.startswith("hndsr: waiting 60 s: QUOTA_EXCEEDED: it has 0 left")
