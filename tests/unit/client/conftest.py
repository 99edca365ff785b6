"""A real server on a free port, and both kinds of client of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from unit.client.blocking import BlockingClient

from hndsr_client import Client
from hndsr_client.testing import FakeServer
from hndsr_client.testing._png import write_png
from hndsr_client.testing._servicer import NearestServicer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def service(server: FakeServer) -> NearestServicer:
    """What the server serves, for tests that look behind it."""
    return server._servicer


@pytest.fixture
def target(server: FakeServer) -> str:
    return server.target


@pytest.fixture(params=[Client, BlockingClient], ids=["sync", "async"])
def client_type(request: pytest.FixtureRequest) -> Callable[..., Client]:
    """Both kinds of client, called in the same way."""
    return request.param


@pytest.fixture
def client(target: str, client_type: Callable[..., Client]) -> Iterator[Client]:
    with client_type(target, timeout_s=30, retry=None) as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A PNG file of 5 x 7 px in a folder of its own."""
    folder = tmp_path / "source"
    folder.mkdir()
    path = folder / "source.png"
    path.write_bytes(write_png(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for what is made."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder
