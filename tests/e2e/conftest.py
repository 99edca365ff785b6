"""Real gateway processes, with the model that costs nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

COMMAND = [sys.executable, "-m", "hndsr_gateway", "--managed", "--listen", "127.0.0.1:0"]
Gateway = tuple[subprocess.Popen[str], str]
"""The process and its address."""


@contextlib.contextmanager
def gateway_process() -> Iterator[Gateway]:
    """A managed gateway from ready to killed."""
    environment = {**os.environ, "HNDSR_MODELS": "bicubic"}
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        try:
            yield process, json.loads(process.stdout.readline())["address"]
        finally:
            process.kill()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway of the test's own, to be stopped or broken."""
    with gateway_process() as running:
        yield running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a gateway that a module's tests share."""
    with gateway_process() as (_, bound):
        yield bound
