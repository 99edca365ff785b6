"""A real server on a free port, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from unit.client.nearest_service import NearestService, png, serve

from hndsr_client import Client


@pytest.fixture
def service() -> NearestService:
    return NearestService()


@pytest.fixture
def target(service: NearestService) -> Iterator[str]:
    server, address = serve(service)
    yield address
    if service.release is not None:
        service.release.set()
    server.stop(None).wait()


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target, timeout_s=30) as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A PNG file of 5 x 7 px in a folder of its own."""
    folder = tmp_path / "source"
    folder.mkdir()
    path = folder / "source.png"
    path.write_bytes(png(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for what is made."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder
