"""Keeps the embedded Triton running: one that died is started again, at the same addresses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from hndsr_gateway.telemetry import metrics
from hndsr_gateway.triton.backoff import Backoff
from hndsr_gateway.triton.errors import EmbeddedTritonError, TritonDiedError, TritonLostError

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses before a start: the first, which doubles until one has served for long enough, and the longest."""

SERVED_S = 60.0
"""How long one has to serve before the pauses begin anew, in seconds."""

MOST_STARTS = 5
"""Starts in a row that may fail."""


class Server(Protocol):
    """What can be started again, as `EmbeddedTriton`."""

    async def start(self) -> None:
        """Start it, where it was before.

        Raises:
            EmbeddedTritonError: it does not start.
        """

    async def wait(self) -> None:
        """Return when it is stopped.

        Raises:
            TritonDiedError: it ended by itself.
        """


class Supervisor:
    """Starts a server again whenever it dies.

    Args:
        server: runs.
        first_pause_s: before it is started again for the first time.
        clock: seconds that only go forward.
    """

    def __init__(
        self, server: Server, *, first_pause_s: float = FIRST_PAUSE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server, self._clock = server, clock
        self._backoff = Backoff(first_pause_s, LONGEST_PAUSE_S)

    async def run(self) -> None:
        """Return when the server is stopped.

        Raises:
            TritonLostError: it died and could not be started `MOST_STARTS` times in a row.
        """
        metrics.triton_restarts.add(0)
        while True:
            started_s = self._clock()
            try:
                await self._server.wait()
            except TritonDiedError as error:
                died_s = self._clock()
                if died_s - started_s >= SERVED_S:
                    self._backoff.reset()
                logger.error("Triton died and is started again: %s", error)  # noqa: TRY400 - its message is whole
                await self._start_again()
                metrics.triton_restarts.add(1)
                logger.info("Triton runs again after %.1f s", self._clock() - died_s)
            else:
                return

    async def _start_again(self) -> None:
        for number in range(1, MOST_STARTS + 1):
            await asyncio.sleep(self._backoff.next_s())
            try:
                await self._server.start()
            except (EmbeddedTritonError, OSError) as error:
                if number == MOST_STARTS:
                    raise TritonLostError(starts=MOST_STARTS, cause=str(error)) from error
                logger.warning("Triton does not start (%d of %d times): %s", number, MOST_STARTS, error)
            else:
                return


@contextlib.asynccontextmanager
async def supervised(server: Server) -> AsyncIterator[asyncio.Task[None]]:
    """Keep a server running that was started; yields what ends when it is stopped, or with `TritonLostError`."""
    task = asyncio.create_task(Supervisor(server).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
