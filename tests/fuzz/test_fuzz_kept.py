"""Every input that is kept because it found something, or seeds a format, does what it must."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import run

KEPT = sorted(path for path in run.KEPT.glob("*/*") if path.is_file())
MOST_BYTES = 200_000


# rasterio cannot log what is no text, says so on standard error, and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kept_input_is_no_finding(path: Path) -> None:
    importlib.import_module(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", run.TARGETS)
def test_target_has_seeds(name: str) -> None:
    assert importlib.import_module(name).seeds()


def test_kept_inputs_are_small_and_of_targets() -> None:
    assert {path.parent.name for path in KEPT} <= run.TARGETS.keys()
    assert sum(path.stat().st_size for path in KEPT) <= MOST_BYTES
