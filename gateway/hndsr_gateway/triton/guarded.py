"""One run of the server under its guard, from the order to run it to the last line of its log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from hndsr_gateway.triton import guard
from hndsr_gateway.triton.errors import ModelLoadError, PortTakenError, TritonDiedError
from hndsr_gateway.triton.server_log import ServerLog
from hndsr_gateway.triton.workspace import Workspace, create_workspace

_GUARD_SLACK_S = guard.SLACK_S + guard.REAP_S + 2.0
_LOG_END_S = 1.0
_LOOK_S = 0.1


class GuardedServer:
    """A guard process and the server it runs: prepared, launched, ended; each once."""

    def __init__(self, guarding: Process, workspace: Workspace, *, exit_timeout_s: int) -> None:
        self.workspace = workspace
        self.log = ServerLog()
        self.pid = 0
        """The server's process id, 0 before it runs."""
        self.stopping = False
        """Whether its end was asked for."""
        self._guard = guarding
        self._order = cast("asyncio.StreamWriter", guarding.stdin)
        self._exit_timeout_s = exit_timeout_s
        self._dead_model: str | None = None
        self._unpacking_folders: list[str] | None = None
        self._told = asyncio.Event()
        self._readers = [
            asyncio.create_task(self.log.read(cast("asyncio.StreamReader", guarding.stderr))),
            asyncio.create_task(self._listen(cast("asyncio.StreamReader", guarding.stdout))),
        ]

    @classmethod
    async def prepare(cls, *, exit_timeout_s: int) -> GuardedServer:
        """Start a guard that waits for its order, and make the work folder that belongs to it."""
        program = [sys.executable, "-I", "-S", str(Path(guard.__file__))]
        guarding = await create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
        return cls(guarding, create_workspace(guarding.pid), exit_timeout_s=exit_timeout_s)

    async def launch(self, arguments: Sequence[str], environment: Mapping[str, str], *, sockets: Path) -> None:
        """Have the guard start the server.

        Args:
            arguments: its command line.
            environment: its variables.
            sockets: folder that goes with this process, should it be killed, not with the server.

        Raises:
            TritonDiedError: the server could not be started.
        """
        self._unpacking_folders = sorted(guard.unpacking_folders())
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "name": self.workspace.name,
            "work_folder": str(self.workspace.folder),
            "owner": os.getpid(),
            "owners_folder": str(sockets),
            "exit_timeout_s": self._exit_timeout_s,
            "unpacking_folders": self._unpacking_folders,
        }
        with contextlib.suppress(ConnectionError):
            self._order.write(json.dumps(order).encode() + b"\n")
            await self._order.drain()
        await self._told.wait()
        if not self.pid:
            raise await self.died()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        try:
            while line := await stream.readline():
                facts = json.loads(line)
                self.pid = facts.get("pid", self.pid)
                self._dead_model = facts.get("dead_model", self._dead_model)
                self._told.set()
        finally:
            self._told.set()

    async def check(self) -> None:
        """Return while nothing speaks against the server becoming ready.

        Raises:
            ModelLoadError: a model did not load, or its process died.
            PortTakenError: another program listens where the server was to listen.
            TritonDiedError: the server ended.
        """
        ended = self._guard.returncode is not None
        died = await self.died() if ended else None
        if self.log.failures:
            raise ModelLoadError(causes=self.log.failures)
        if self.log.port_taken:
            raise PortTakenError
        if self._dead_model is not None:
            raise ModelLoadError(causes={self._dead_model: "its process died (a crash, or too little memory)"})
        if died is not None:
            raise died

    async def died(self) -> TritonDiedError:
        """How the server ended, once it has."""
        code = await self.ended()
        return TritonDiedError(exit_code=code, dead_model=self._dead_model, last_lines=self.log.last_lines)

    async def ended(self) -> int:
        """The exit code, once the guard has ended, everything of the server is gone, and its log is read."""
        code = await self._exit_code()
        self._clear()
        await asyncio.wait(self._readers, timeout=_LOG_END_S)
        return code

    async def _exit_code(self) -> int:
        """The guard's, once it has ended.

        asyncio's own `wait` goes on while anybody holds the guard's pipes, as a model's process does that outlives it.
        """
        while (code := self._guard.returncode) is None:  # noqa: ASYNC110 - asyncio tells of this in no other way
            await asyncio.sleep(_LOOK_S)
        return code

    def _clear(self) -> None:
        """Do what the guard does in its end; there is something to do only if the guard itself was killed."""
        guard.clear(self.workspace.name, self.workspace.folder)
        if self._unpacking_folders is not None:
            guard.clear_unpacking_folders(self.workspace.name, older=self._unpacking_folders)

    async def stop(self) -> None:
        """Let running requests finish within the exit timeout, and return when nothing of the server is left."""
        self.stopping = True
        self._order.close()
        try:
            await asyncio.wait_for(self._exit_code(), self._exit_timeout_s + _GUARD_SLACK_S)
        except asyncio.TimeoutError:
            self._guard.kill()
        await self.ended()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def abort(self) -> None:
        """End the server at once."""
        if self.pid and self._guard.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await self.stop()
