"""Who may come in, who is worked on, and whose tile is next."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from hndsr_gateway.errors import OverloadedError, UnavailableError
from hndsr_gateway.settings import Settings

CLASS_RATIO = 4.0
"""Requests whose work differs by less than this are of one size class."""
CLASS_WEIGHT = 1.25
"""How much larger the share of a size class is than that of the next larger one."""
LEAST_WORK_S = 1e-3
LONG_SHARE = 0.5
"""Share of the places that long requests may hold; the rest is always free for short ones."""
MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that has come in."""

    size_bytes: int
    arrival_s: float
    work_s: float = 0.0
    """Device time that it needs, in seconds, as soon as that is known."""
    waits: bool = True

    @property
    def size_class(self) -> int:
        """The order of magnitude of its work."""
        return math.floor(math.log(max(self.work_s, LEAST_WORK_S), CLASS_RATIO))


class FairGate:
    """A semaphore that size classes share by the work that they bring in; within a class the first comes first.

    Source: start-time fair queueing, Goyal et al. 1996, with a flow for each size class: a class that has been away
    starts where those that are there stand.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._inside: Counter[int] = Counter()
        self._waiting: list[_Waiter] = []
        self._spent_s: defaultdict[int, float] = defaultdict(float)
        self._virtual_s = 0.0
        """What a class has spent that has always been there."""

    def place(self, ticket: Ticket, *, cost_s: float) -> Turn:
        """One of the places, held by `async with`, for work of so many seconds each time that it is entered."""
        return Turn(self, _Waiter(ticket, cost_s))

    async def enter(self, waiter: _Waiter) -> None:
        """Take a place as soon as it is the waiter's turn."""
        self._catch_up(waiter.size_class)
        if self._free:
            self._free -= 1
            self._let_in(waiter)
            return
        waiter.turn = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if not waiter.turn.cancelled():  # it was given a place in the moment of its end
                self.leave(waiter)
            raise

    def leave(self, waiter: _Waiter) -> None:
        """Give a place to whoever is next."""
        self._inside[waiter.size_class] -= 1
        self._forget_those_that_gave_up()
        if not self._waiting:
            self._free += 1
            return
        following = min(self._waiting, key=self._order)
        self._waiting.remove(following)
        self._let_in(following)
        following.turn.set_result(None)

    async def enter_again(self, waiter: _Waiter) -> None:
        """Keep the place, or give it to those whose turn comes first and take it up again after them."""
        self._forget_those_that_gave_up()
        if any(self._order(other) < self._order(waiter) for other in self._waiting):
            self.leave(waiter)
            await self.enter(waiter)
        else:
            self._charge(waiter)

    def _let_in(self, waiter: _Waiter) -> None:
        self._inside[waiter.size_class] += 1
        self._charge(waiter)

    def _charge(self, waiter: _Waiter) -> None:
        self._virtual_s = max(self._virtual_s, self._spent_s[waiter.size_class])
        self._spent_s[waiter.size_class] += waiter.cost_s * CLASS_WEIGHT**waiter.size_class

    def _forget_those_that_gave_up(self) -> None:
        self._waiting = [waiter for waiter in self._waiting if not waiter.turn.done()]

    def _catch_up(self, size_class: int) -> None:
        present = {other for other, count in self._inside.items() if count}
        present |= {other.size_class for other in self._waiting}
        if not present:
            self._virtual_s = max(self._spent_s.values(), default=0.0)
        if size_class not in present:
            self._spent_s[size_class] = max(self._spent_s[size_class], self._virtual_s)

    def _order(self, waiter: _Waiter) -> tuple[float, int, float]:
        return self._spent_s[waiter.size_class], waiter.size_class, waiter.ticket.arrival_s


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who wants a place, and for how much work; `turn` is set by the gate."""

    ticket: Ticket
    cost_s: float
    turn: asyncio.Future[None] = field(init=False)

    @property
    def size_class(self) -> int:
        return self.ticket.size_class


class Turn:
    """A place in a gate, from when it is entered to when it is left."""

    def __init__(self, gate: FairGate, waiter: _Waiter) -> None:
        self._gate, self._waiter = gate, waiter
        self._held = False

    async def __aenter__(self) -> Turn:  # noqa: PYI034 - Self is of Python 3.11
        await self._gate.enter(self._waiter)
        self._held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._held:
            self._gate.leave(self._waiter)

    async def give_way(self) -> None:
        """Let those go first whose turn comes first, and come back."""
        self._held = False
        await self._gate.enter_again(self._waiter)
        self._held = True


class Admission:
    """Bounds how many requests there are, how many bytes wait, and how many are worked on.

    Args:
        settings: `max_concurrent_requests`, `max_queue_depth` and `max_queue_bytes`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        places = settings.max_concurrent_requests
        self._places = FairGate(places)
        self._long_places = FairGate(max(1, int(LONG_SHARE * places)))
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
