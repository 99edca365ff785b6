"""`make fuzz` for a few seconds, where atheris is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "fuzz" / "bin" / "python"
MENDED = ("image_files", "stream_protocol", "raster_headers")
"""The targets of which nothing that was found is open."""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="needs atheris: make fuzz installs it")
@pytest.mark.parametrize("name", MENDED)
def test_fuzz_finds_nothing_in_half_a_minute(name: str, tmp_path: Path) -> None:
    command = [PYTHON, ROOT / "fuzz" / "run.py", name, "--minutes", "0.5", "--into", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (ended.returncode, f"{name}: 0 findings" in ended.stdout) == (0, True), ended.stdout
