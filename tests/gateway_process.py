"""A real gateway as a user starts it, in a process of its own, with the model that costs nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

COMMAND = [sys.executable, "-m", "hndsr_gateway", "--managed", "--listen", "127.0.0.1:0"]
GatewayProcess = tuple[subprocess.Popen[str], str]
"""The process and its address."""


@contextlib.contextmanager
def gateway_process(stderr: IO[bytes] | None = None, **variables: str) -> Iterator[GatewayProcess]:
    """A managed gateway from ready to killed, with these variables beside the inherited ones."""
    environment = {**os.environ, "HNDSR_MODELS": "bicubic", **variables}
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
    ) as process:
        assert process.stdout
        try:
            yield process, json.loads(process.stdout.readline())["address"]
        finally:
            process.kill()
