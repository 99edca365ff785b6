"""Who may come in, who is worked on, and whose tile is next."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from hndsr_gateway.errors import OverloadedError, UnavailableError
from hndsr_gateway.settings import Settings

STRETCH = 4.0
"""A request is due when it has waited this many times its own work: short ones overtake long ones until then."""
LONG_SHARE = 0.75
"""Share of the places that long requests may hold; the rest is always free for short ones."""
MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0


class PriorityGate:
    """A semaphore that lets the one with the lowest key in first; equal keys in the order of their arrival."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def place(self, key: float) -> Turn:
        """One of the places, held by `async with`."""
        return Turn(self, key)

    async def enter(self, key: float) -> None:
        """Take a place as soon as it is the turn of `key`."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (key, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given a place in the moment of its end
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place to whoever is next."""
        self._drop_those_that_gave_up()
        if self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            turn.set_result(None)
        else:
            self._free += 1

    def has_before(self, key: float) -> bool:
        """Whether somebody waits whose key is lower."""
        self._drop_those_that_gave_up()
        return bool(self._waiting) and self._waiting[0][0] < key

    def _drop_those_that_gave_up(self) -> None:
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)


class Turn:
    """A place in a gate, from when it is entered to when it is left."""

    def __init__(self, gate: PriorityGate, key: float) -> None:
        self._gate, self._key = gate, key
        self._held = False

    async def __aenter__(self) -> Turn:  # noqa: PYI034 - Self is of Python 3.11
        await self._gate.enter(self._key)
        self._held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._held:
            self._gate.leave()

    async def give_way(self) -> None:
        """Let those with lower keys go first, and come back."""
        if self._gate.has_before(self._key):
            self._held = False
            self._gate.leave()
            await self._gate.enter(self._key)
            self._held = True


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that has come in."""

    size_bytes: int
    arrival_s: float
    work_s: float = 0.0
    """Device time that it needs, in seconds, as soon as that is known."""
    waits: bool = True

    @property
    def due_s(self) -> float:
        """When it would be late; who is due first goes first."""
        return self.arrival_s + STRETCH * self.work_s


class Admission:
    """Bounds how many requests there are, how many bytes wait, and how many are worked on.

    Args:
        settings: `max_concurrent_requests`, `max_queue_depth` and `max_queue_bytes`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        places = settings.max_concurrent_requests
        self._places = PriorityGate(places)
        self._long_places = PriorityGate(max(1, int(LONG_SHARE * places)))
        self._tickets: set[Ticket] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

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
                await stack.enter_async_context(self._long_places.place(ticket.due_s))
            await stack.enter_async_context(self._places.place(ticket.due_s))
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
