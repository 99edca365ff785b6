"""A run of the server that cannot begin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hndsr_gateway.triton.errors import TritonDiedError
from hndsr_gateway.triton.guarded import GuardedServer


def test_launch_says_why_the_server_could_not_be_started(tmp_path: Path) -> None:
    async def launch() -> None:
        server = await GuardedServer.prepare(exit_timeout_s=0)
        try:
            await server.launch(["/no/such/tritonserver"], {}, sockets=tmp_path)
        finally:
            await server.stop()

    with pytest.raises(TritonDiedError, match=r"No such file or directory: '/no/such/tritonserver'"):
        asyncio.run(launch())
