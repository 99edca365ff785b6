"""A run of the server that cannot begin, and one whose guard is killed."""

from __future__ import annotations

import asyncio
import os
import signal
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


def test_end_is_noticed_when_the_guard_is_killed_and_somebody_holds_its_pipes(tmp_path: Path) -> None:
    holder = tmp_path / "holder"
    program = f"setsid sleep 300 & echo $! >{holder}.part; mv {holder}.part {holder}; exec sleep 300"

    async def died() -> TritonDiedError:
        server = await GuardedServer.prepare(exit_timeout_s=0)
        try:
            await server.launch(["/bin/sh", "-c", program], {"PATH": os.defpath}, sockets=tmp_path)
            while not holder.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
            os.kill(server._guard.pid, signal.SIGKILL)
            return await asyncio.wait_for(server.died(), 30)
        finally:
            if holder.exists():
                os.kill(int(holder.read_text()), signal.SIGKILL)
            await server.stop()

    assert "-9" in str(asyncio.run(died()))
