"""A gateway in this process, over a backend without Triton, which goes on while a target talks to it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

from fakes import FakeBackend
from in_process import Client, connected, served

from hndsr_gateway.fair_gate import FairGate
from hndsr_gateway.scheduling import Admission, StreamRoom
from hndsr_gateway.settings import Settings

Result = TypeVar("Result")


class LiveGateway:
    """A running gateway and a channel to it; `run` lets both go on until a coroutine is done.

    Attributes:
        address: Where it listens.
        backend: What it serves.
        client: Stubs over the channel.
    """

    def __init__(self, **settings: Any) -> None:
        before = _counters()
        self.backend = FakeBackend()
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        _OPEN.add(self)
        chosen = Settings(**{"listen": "127.0.0.1:0", "drain_grace_s": 0, "image_workers": 1, **settings})
        self.address: str = self.run(self._stack.enter_async_context(served(self.backend, chosen)))
        self._counters = [each for each in _counters() if each not in before]
        self.client: Client = self.run(self._stack.enter_async_context(connected(self.address)))

    def run(self, work: Coroutine[Any, Any, Result], *, timeout_s: float = 60.0) -> Result:
        """What a coroutine returns."""
        return self._loop.run_until_complete(asyncio.wait_for(work, timeout_s))

    def held(self) -> dict[str, int]:
        """What it counts as taken and is to give back, by name: streams, bytes, requests, places, tiles."""
        counts = Counter(tiles=sum(call.outcome == "running" for call in self.backend.calls))
        for each in self._counters:
            match each:
                case StreamRoom():
                    counts.update({"streams": each.count, "bytes": each._reserved_bytes})  # noqa: SLF001 - nobody else knows
                case Admission():
                    counts.update({"requests": each.count})
                case FairGate():
                    counts.update({"places": len(each._inside) + len(each._present())})  # noqa: SLF001
        return dict(+counts)

    def forget(self) -> None:
        """Let go of all that the backend remembers."""
        self.backend.calls.clear()
        self.backend.tile_errors.clear()

    def close(self) -> None:
        """Stop it."""
        _OPEN.discard(self)
        self.run(self._stack.aclose())
        self._loop.close()


_OPEN: set[LiveGateway] = set()


def close_all() -> None:
    """Stop all gateways that are open."""
    for each in tuple(_OPEN):
        each.close()


def _counters() -> list[StreamRoom | Admission | FairGate]:
    """All that gateways of this process count by."""
    return [each for each in gc.get_objects() if type(each) in {StreamRoom, Admission, FairGate}]
