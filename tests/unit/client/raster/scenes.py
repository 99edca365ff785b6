"""What the tests of whole rasters share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL_TILES = {"scale": 4, "cores_per_tile": 1, "patience_s": 0}
"""Of 90 x 120 px these make four tiles."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mounted(disk: Path, options: str) -> Iterator[Path]:
    """A disk in memory, made for a test and taken away after it."""
    disk.mkdir()
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", options, "hndsr-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a disk here")
    yield disk
    subprocess.run(["/usr/bin/umount", str(disk)], check=True)
