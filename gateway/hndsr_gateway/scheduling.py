"""Who may come in, who is worked on, and how many bytes they may hold."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from hndsr_gateway.errors import OverloadedError, UnavailableError
from hndsr_gateway.fair_gate import FairGate, Ticket
from hndsr_gateway.settings import Settings

LONG_SHARE = 0.5
"""Share of the places that long requests may hold; the rest is always free for short ones."""
MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0
STREAM_RETRY_S = 10.0


class Admission:
    """Bounds how many requests there are, how many bytes wait, and how many are worked on.

    Args:
        settings: `max_concurrent_requests`, `max_queue_depth` and `max_queue_bytes`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        places = settings.max_concurrent_requests
        self._places = FairGate(places, queue="request")
        self._long_places = FairGate(max(1, int(LONG_SHARE * places)), queue="request")
        self._tickets: set[Ticket] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def count(self) -> int:
        """Requests that are in."""
        return len(self._tickets)

    @contextlib.contextmanager
    def request(self, size_bytes: int) -> Iterator[Ticket]:
        """Let a request of so many bytes in, until it is answered.

        Raises:
            OverloadedError: if there are too many, or too many bytes wait.
            UnavailableError: if the server is about to stop.
        """
        if self._draining:
            raise UnavailableError("the server is about to stop")
        self._check_room(size_bytes)
        ticket = Ticket(size_bytes, time.monotonic())
        self._tickets.add(ticket)
        self._idle.clear()
        try:
            yield ticket
        finally:
            self._tickets.remove(ticket)
            if not self._tickets:
                self._idle.set()

    def grow(self, ticket: Ticket, by_bytes: int) -> None:
        """Count what a request holds more than before, now that a file of it is read.

        Raises:
            OverloadedError: if too many bytes wait beside it; it is to be given up then.
        """
        self._check_bytes(ticket.size_bytes + by_bytes, beside=ticket)
        ticket.size_bytes += by_bytes

    @contextlib.asynccontextmanager
    async def place(self, ticket: Ticket, *, work_s: float, long: bool) -> AsyncIterator[None]:
        """Wait for the turn of a request whose work is known, and hold a place while it is worked on."""
        ticket.work_s = work_s
        async with contextlib.AsyncExitStack() as stack:
            if long:
                await stack.enter_async_context(self._long_places.place(ticket, cost_s=work_s))
            await stack.enter_async_context(self._places.place(ticket, cost_s=work_s))
            ticket.waits = False
            yield

    async def drain(self, grace_s: float) -> None:
        """Let nothing more in, and wait up to `grace_s` for what is there."""
        self._draining = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)

    def _check_room(self, size_bytes: int) -> None:
        there, limit = len(self._tickets), self._settings.max_concurrent_requests + self._settings.max_queue_depth
        if there >= limit:
            raise OverloadedError(
                f"{there} requests are worked on or wait, the most at once", retry_delay_s=self._retry_delay_s()
            )
        self._check_bytes(size_bytes)

    def _check_bytes(self, size_bytes: int, *, beside: Ticket | None = None) -> None:
        waiting_bytes = sum(ticket.size_bytes for ticket in self._tickets if ticket.waits and ticket is not beside)
        if waiting_bytes and waiting_bytes + size_bytes > self._settings.max_queue_bytes:
            raise OverloadedError(
                f"requests of {waiting_bytes:,} bytes wait, the most is {self._settings.max_queue_bytes:,}",
                retry_delay_s=self._retry_delay_s(),
            )

    def _retry_delay_s(self) -> float:
        """About how long it takes until the next of those that are there is done."""
        mean_work_s = sum(ticket.work_s for ticket in self._tickets) / len(self._tickets)
        return round(min(max(mean_work_s, MIN_RETRY_S), MAX_RETRY_S), 1)


class StreamRoom:
    """Bounds how many streams are open and how many bytes their tiles hold.

    Args:
        settings: `max_streams`, `stream_tiles`, `stream_bytes` and `max_stream_bytes`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.count = 0
        """Streams that are open."""
        self._reserved_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = asyncio.Event()
        """Set when the server is about to stop."""

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Let a stream in, until it ends.

        Raises:
            OverloadedError: if enough are open.
            UnavailableError: if the server is about to stop.
        """
        if self.draining.is_set():
            raise UnavailableError("the server is about to stop")
        if self.count >= self._settings.max_streams:
            raise OverloadedError(f"{self.count} streams are open, the most at once", retry_delay_s=STREAM_RETRY_S)
        self.count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._idle.set()

    @contextlib.contextmanager
    def tiles(self, tile_bytes: int, tile_count: int) -> Iterator[int]:
        """Reserve room for a stream's tiles, so many of so many bytes each; yields for how many at once.

        Raises:
            OverloadedError: if there is none for a single one beside the other streams.
        """
        settings = self._settings
        free_bytes = settings.max_stream_bytes - self._reserved_bytes
        count = min(tile_count, settings.stream_tiles, settings.stream_bytes // tile_bytes, free_bytes // tile_bytes)
        if count < 1 and self._reserved_bytes:
            raise OverloadedError(
                f"the tiles of open streams hold {self._reserved_bytes:,} bytes, the most is "
                f"{settings.max_stream_bytes:,}",
                retry_delay_s=STREAM_RETRY_S,
            )
        count = max(1, count)
        self._reserved_bytes += count * tile_bytes
        try:
            yield count
        finally:
            self._reserved_bytes -= count * tile_bytes

    async def drain(self, grace_s: float) -> None:
        """Let no stream in any more, and wait up to `grace_s` for those that are open."""
        self.draining.set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)
