"""Scenes, where they go, and disks that are full or closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import rasters
from unit.client.raster.scenes import SMALL_TILES, mounted

from hndsr_client import (
    Client,
    ServerError,
)
from hndsr_client.testing import FakeServer


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A source of 16 bits, in a folder of its own."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    return rasters.uint16(folder)


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.tif"


@pytest.fixture
def left(client: Client, server: FakeServer, scene: Path, made: Path) -> Path:
    """A job whose first two tiles are done, and whose third has failed."""
    server.fail_tiles(reason="INTERNAL", after=2)
    with pytest.raises(ServerError):
        client.upscale_raster(scene, made, **SMALL_TILES)
    return made


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 2 MiB."""
    yield from mounted(tmp_path / "disk", "size=2m")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that cannot be written to, not even by root."""
    yield from mounted(tmp_path / "disk", "ro")
