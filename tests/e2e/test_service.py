"""The commands as a user types them: every process is real, and none is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

COMMANDS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "HNDSR_MODELS": "bicubic"}
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton and its models exchange tensors


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Wait for a condition."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small PNG."""
    path = tmp_path / "source.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All processes below one."""
    return psutil.Process(process.pid).children(recursive=True)


def regions(owners: list[psutil.Process]) -> list[str]:
    """Shared memory of embedded Tritons that is named after one of these processes."""
    marks = [f"_{owner.pid}_" for owner in owners]
    return [path.name for path in SHARED_MEMORY.glob("hndsr*") if any(mark in path.name for mark in marks)]


def started_with(variable: str, value: str) -> list[psutil.Process]:
    """Processes that have a variable in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(variable) == value:
                found.append(process)
    return found


def hndsr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the client's command."""
    command = [str(COMMANDS / "hndsr"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | environment, check=False)


def test_upscale_embedded_writes_the_picture(picture: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.png"
    result = hndsr("upscale", str(picture), str(target), "--embedded", "--scale", "2.5")
    assert result.returncode == 0, result.stderr
    with Image.open(target) as image:
        assert image.size == (125, 100)


def test_upscale_embedded_leaves_no_process_and_no_file(picture: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    hndsr("upscale", str(picture), str(tmp_path / "target.png"), "--embedded", TMPDIR=str(scratch))
    assert not started_with("TMPDIR", str(scratch))
    assert not list(scratch.iterdir())


def test_upscale_against_a_running_gateway_equals_the_sdk(
    gateway: tuple[subprocess.Popen[str], str], picture: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target.png"
    result = hndsr("upscale", str(picture), str(target), "--target", gateway[1], "--json")
    assert result.returncode == 0, result.stderr
    from hndsr_client import Client  # noqa: PLC0415 - the client of this one test

    with Client(gateway[1]) as client, Image.open(target) as image:
        np.testing.assert_array_equal(np.asarray(image), client.upscale(picture).image)


def test_gateway_stops_cleanly_when_stdin_closes(gateway: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = gateway
    children = descendants(process)
    assert process.stdin
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    assert not any(child.is_running() for child in children)


def test_gateway_stops_cleanly_when_terminated(gateway: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = gateway
    children = descendants(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert not any(child.is_running() for child in children)


def test_killed_gateway_leaves_no_process_and_no_shared_memory(gateway: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = gateway
    children = descendants(process)
    assert regions(children)
    process.kill()
    assert until(lambda: not any(child.is_running() for child in children))
    assert until(lambda: not regions(children))


def test_misspelt_setting_stops_the_start() -> None:
    environment = {**ENVIRONMENT, "HNDSR_MAX_TARGET_PIXELS": "1"}
    command = [sys.executable, "-m", "hndsr_gateway"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert "HNDSR_MAX_TARGET_PIXELS" in result.stderr


def test_unknown_model_stops_the_start() -> None:
    command = [sys.executable, "-m", "hndsr_gateway"]
    environment = {**ENVIRONMENT, "HNDSR_MODELS": "swinir"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 3
    assert "swinir" in result.stderr
