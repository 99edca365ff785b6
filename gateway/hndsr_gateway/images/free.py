"""The line in front of the workers: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from hndsr_gateway.errors import GatewayError
from hndsr_gateway.images.child import Worker


class FreeWorkers:
    """Workers without a job, and whoever waits for one; at most one of the two exists at a time."""

    def __init__(self) -> None:
        self._workers: deque[Worker] = deque()
        self._waiting: deque[asyncio.Future[Worker]] = deque()

    def put(self, worker: Worker) -> None:
        """Hand a worker to the first who waits, or keep it; a dead one is dropped."""
        if not worker.alive:
            return
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(worker)
                return
        self._workers.append(worker)

    async def take(self) -> Worker:
        """A worker, as soon as all who came before have one.

        Raises:
            GatewayError: what `refuse_all` was given meanwhile.
        """
        while self._workers:
            worker = self._workers.popleft()
            if worker.alive:
                return worker
        turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.put(turn.result())
            raise

    def refuse_all(self, error: Callable[[], GatewayError]) -> None:
        """Have everyone who waits give up, each with an error of its own."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error())
