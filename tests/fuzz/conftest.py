"""The targets of `fuzz/`, and the end of the gateways that they started."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))

import connection_bytes
import live


@pytest.fixture(scope="session", autouse=True)
def _ended() -> Iterator[None]:
    yield
    connection_bytes.close()
    live.close_all()
