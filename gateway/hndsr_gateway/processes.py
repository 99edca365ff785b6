"""Several processes that serve one address together: the parent keeps Triton and them, each of them serves everything.

The kernel hands every connection to one of them (SO_REUSEPORT), so a connection has one process's share of the limits.
A process reads from its standard input what to do, and stops when that is closed: also when the parent is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hndsr_gateway.errors import StartupError
from hndsr_gateway.server import FLUSH_S, Gateway, ListenError, check_free, running_triton
from hndsr_gateway.settings import Settings
from hndsr_gateway.triton.supervisor import supervised

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "hndsr_gateway", "--managed", "--child")
SHARED_LIMITS = (
    "max_concurrent_requests",
    "max_queue_depth",
    "max_queue_bytes",
    "image_workers",
    "max_inflight_tiles",
    "max_streams",
    "max_stream_bytes",
)
"""Settings that are for the gateway as a whole."""
LEAST_STREAM_BYTES = 2**20

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses before a process that ended is started again: the first, which doubles until one is ready, and the longest."""
END_S = 10.0
"""How long a process that was told to stop may take beyond what its requests may, in seconds."""


class ProcessStartError(StartupError):
    """One of the processes ended before it was ready."""

    def __init__(self, *, end: str) -> None:
        super().__init__(f"one of the processes that serve {end} before it was ready; the log says why")


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is told: its share of the settings, and what the embedded Triton wants to hear from it."""

    settings: Settings
    control_headers: Mapping[str, str]

    def line(self) -> bytes:
        """As the first line of its standard input, since lists of processes and environments are read by others."""
        chosen = self.settings.model_dump(include=self.settings.model_fields_set)
        return json.dumps({"settings": chosen, "control_headers": dict(self.control_headers)}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        """The inverse of `line`, in an environment of the same variables."""
        told = json.loads(line)
        return cls(Settings(**told["settings"]), told["control_headers"])


def share(settings: Settings, address: str, number: int) -> Settings:
    """What one of the processes goes by: an equal share of every limit, at least 1 where the whole has any."""
    whole = {name: getattr(settings, name) for name in SHARED_LIMITS}
    parts: dict[str, Any] = {name: max(min(limit, 1), limit // settings.processes) for name, limit in whole.items()}
    parts["max_stream_bytes"] = max(LEAST_STREAM_BYTES, parts["max_stream_bytes"])
    parts["metrics_listen"] = _counted_up(settings.metrics_listen, number)
    return settings.model_copy(update={**parts, "listen": address})


def _counted_up(listen: str, number: int) -> str:
    """An address with its port counted up, unless any will do."""
    host, colon, port = listen.rpartition(":")
    return f"{host}:{int(port) + number}" if colon and int(port) else listen


@contextlib.asynccontextmanager
async def running_processes(settings: Settings) -> AsyncIterator[Gateway]:
    """Start Triton and the processes, yield once all of them are ready, and stop everything.

    Raises:
        StartupError: saying what to mend.
    """
    async with contextlib.AsyncExitStack() as stack:
        await check_free(settings.listen)
        address = stack.enter_context(reserved_address(settings.listen))
        settings, triton = await stack.enter_async_context(running_triton(settings))
        headers = {} if triton is None else triton.control_headers
        supervision = None if triton is None else await stack.enter_async_context(supervised(triton))
        grace_s = settings.drain_grace_s + FLUSH_S + END_S
        orders = (Order(share(settings, address, number), headers) for number in range(settings.processes))
        kept = [KeptProcess(order.line(), grace_s=grace_s) for order in orders]
        await stack.enter_async_context(keeping(kept))
        logger.info("listening on %s, in %d processes", address, settings.processes)
        yield Gateway(address, triton, supervision)


@contextlib.contextmanager
def reserved_address(listen: str) -> Iterator[str]:
    """An address with its port, which stays bound here, so that a process can always come back to it.

    Raises:
        ListenError: if it cannot be bound.
    """
    host, _, port = listen.rpartition(":")
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, protocol, _, address = found[0]
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
        except OSError as error:
            raise ListenError(address=listen) from error
        yield f"{host}:{bound.getsockname()[1]}"


@contextlib.asynccontextmanager
async def keeping(kept: Sequence[KeptProcess]) -> AsyncIterator[None]:
    """Keep processes running, from when all are ready on; all of them have ended after it.

    Raises:
        ProcessStartError: if one ended before it was ready.
    """
    tasks = [asyncio.create_task(process.keep()) for process in kept]
    try:
        await _all_ready(kept, tasks)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _all_ready(kept: Sequence[KeptProcess], tasks: Sequence[asyncio.Task[None]]) -> None:
    ready = asyncio.create_task(_each_ready(kept))
    try:
        await asyncio.wait({ready, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
    for task in tasks:
        if task.done():
            task.result()


async def _each_ready(kept: Sequence[KeptProcess]) -> None:
    for process in kept:
        await process.ready.wait()


class KeptProcess:
    """A process that is started again whenever it ends by itself.

    Args:
        order: the first line that it is told.
        grace_s: how long it may take to end once it is told to, before it is killed.
        command: what to start; it says `{"address": …}` once it is ready.
        first_pause_s: before it is started again for the first time.
    """

    def __init__(
        self,
        order: bytes,
        *,
        grace_s: float,
        command: Sequence[str] = COMMAND,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._order, self._grace_s, self._command = order, grace_s, command
        self._first_pause_s = first_pause_s
        self.ready = asyncio.Event()
        """Set when it was ready for the first time."""

    async def keep(self) -> None:
        """Keep it running; when this is cancelled it is told to stop, and has ended.

        Raises:
            ProcessStartError: if it ends before it was ready for the first time.
        """
        pause_s = self._first_pause_s
        while True:
            try:
                end, was_ready = await self._run()
            except Exception as error:  # noqa: BLE001 - whatever it is, another process is started
                end, was_ready = f"could not be started or heard ({error!r})", False
            if not self.ready.is_set():
                raise ProcessStartError(end=end)
            pause_s = self._first_pause_s if was_ready else min(2 * pause_s, LONGEST_PAUSE_S)
            logger.error("a process that serves %s; another is started in %g s", end, pause_s)
            await asyncio.sleep(pause_s)

    async def _run(self) -> tuple[str, bool]:
        """How it ended, once it has, and whether it was ready before.

        Raises:
            OSError: if it cannot be started.
        """
        # A session of its own: a terminal's Ctrl-C is the parent's, who tells it to stop.
        process = await create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        try:
            was_ready = await self._listen(process)
            return _ending(await process.wait()), was_ready
        finally:
            await self._end(process)

    async def _listen(self, process: Process) -> bool:
        """Tell it what to do, and return once it says no more: whether it was ready."""
        orders, output = cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)
        with contextlib.suppress(ConnectionError):
            orders.write(self._order)
            await orders.drain()
        was_ready = False
        async for line in output:
            if b'"address"' in line:
                was_ready = True
                self.ready.set()
        return was_ready

    async def _end(self, process: Process) -> None:
        cast("asyncio.StreamWriter", process.stdin).close()
        try:
            await asyncio.wait_for(process.wait(), self._grace_s)
        except asyncio.TimeoutError:
            logger.warning("a process that serves did not stop in %g s and is killed", self._grace_s)
            process.kill()
            await process.wait()


def _ending(exit_code: int) -> str:
    return f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit status {exit_code}"
