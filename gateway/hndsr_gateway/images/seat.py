"""A place in the pool, and how it is kept taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from hndsr_gateway.images.child import Worker
from hndsr_gateway.images.errors import WorkerStartError
from hndsr_gateway.images.free import FreeWorkers

logger = logging.getLogger("hndsr_gateway.images")

START_TIMEOUT_S = 60.0
HOPELESS = 3
"""Workers in a row that were good for nothing before requests are refused."""

PAUSES_S = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Time before the next start, by how many in a row were good for nothing; the last for all further ones."""


class Seat:
    """Starts a worker, and another whenever it ends."""

    def __init__(self, command: Sequence[str], free: FreeWorkers, *, on_hopeless: Callable[[], None]) -> None:
        self.settled = asyncio.Event()
        """Set once the first worker is ready, or hopeless."""
        self.happened = ""
        """Why the last start failed."""
        self._command = command
        self._free = free
        self._on_hopeless = on_hopeless
        self._taken = False
        self._failures = 0

    @property
    def hopeless(self) -> bool:
        """Whether nobody should wait for this seat's next worker."""
        return not self._taken and self._failures >= HOPELESS

    @property
    def pause_s(self) -> float:
        """Time between the last worker's end and the next start."""
        return PAUSES_S[min(self._failures, len(PAUSES_S)) - 1] if self._failures else 0.0

    async def keep(self) -> None:
        """Keep a worker here until cancelled, and then end it."""
        while True:
            await asyncio.sleep(self.pause_s)
            useful = await self._run_worker()
            self._failures = 0 if useful else self._failures + 1
            if self.hopeless:
                logger.error("no image worker starts, the next attempt is in %g s: %s", self.pause_s, self.happened)
                self.settled.set()
                self._on_hopeless()

    async def _run_worker(self) -> bool:
        try:
            worker = await Worker.start(self._command, timeout_s=START_TIMEOUT_S)
        except WorkerStartError as error:
            self.happened = str(error)
            return False
        self._taken = True
        try:
            self._free.put(worker)
            self.settled.set()
            await worker.ended()
        finally:
            self._taken = False
            await worker.stop()
        self.happened = worker.obituary()
        return worker.jobs > 0
