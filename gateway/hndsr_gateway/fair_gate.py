"""Whose turn it is, and where."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from hndsr_gateway.errors import UnavailableError

CLASS_RATIO = 4.0
"""Requests whose work differs by less than this are of one size class."""
CLASS_WEIGHT = 1.25
"""How much larger the share of a size class is than that of the next larger one."""
LEAST_WORK_S = 1e-3
ONLY_LANE = ("",)


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


@dataclass(slots=True, eq=False)
class Route:
    """The lanes of a gate that one caller's work can take, and the one that it keeps to while it can.

    Neighbouring tiles share windows, which are found in the cache of the endpoint that made them.
    """

    lanes: Callable[[], Collection[str]]
    """Those that it can take now."""
    lane: str | None = None
    """Where it went last."""

    @property
    def open(self) -> Collection[str]:
        """Its own lane if it still can take that, else all that it can take."""
        lanes = self.lanes()
        return (self.lane,) if self.lane is not None and self.lane in lanes else lanes


class FairGate:
    """A semaphore that size classes share by the work that they bring in; within a class the first comes first.

    It has one lane or several, each with as many places. Whoever waits keeps to the lane of its route, but goes over to
    an idle one rather than wait for others.

    Source: start-time fair queueing, Goyal et al. 1996, with a flow for each size class: a class that has been away
    starts where those that are there stand.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._inside: list[_Waiter] = []
        self._waiting: list[_Waiter] = []
        self._spent_s: defaultdict[int, float] = defaultdict(float)
        self._virtual_s = 0.0
        """What a class has spent that has always been there."""

    def place(self, ticket: Ticket, *, cost_s: float, route: Route | None = None) -> Turn:
        """One of the places, held by `async with`, for work of so many seconds each time that it is entered."""
        return Turn(self, _Waiter(ticket, cost_s, route or Route(lambda: ONLY_LANE)))

    async def enter(self, waiter: _Waiter) -> None:
        """Take a place as soon as it is the waiter's turn.

        Raises:
            UnavailableError: if no lane is left that it could take.
        """
        self._catch_up(waiter.size_class)
        waiter.turn = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self.wake()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._inside:  # it was given a place in the moment of its end
                self.leave(waiter)
            raise

    def leave(self, waiter: _Waiter) -> None:
        """Give a place to whoever is next."""
        self._inside.remove(waiter)
        self.wake()

    async def enter_again(self, waiter: _Waiter) -> None:
        """Keep the place, or give it to those whose turn comes first and take it up again after them.

        A place in a lane that vanished is not kept.
        """
        before = (other for other in self._present() if self._order(other) < self._order(waiter))
        if waiter.lane not in waiter.route.lanes() or any(waiter.lane in other.route.open for other in before):
            self.leave(waiter)
            await self.enter(waiter)
        else:
            self._charge(waiter)

    def wake(self) -> None:
        """Let in whoever can be let in: a place became free, or lanes came or went."""
        for waiter in self._present():
            if not waiter.route.lanes():
                waiter.turn.set_exception(UnavailableError())
        while True:
            chosen = self._next(self._free_of) or self._next(self._idle_for)
            if chosen is None:
                return
            waiter, waiter.lane = chosen
            waiter.route.lane = waiter.lane
            self._inside.append(waiter)
            self._charge(waiter)
            waiter.turn.set_result(None)

    def _present(self) -> list[_Waiter]:
        """Those that wait, without those that gave up."""
        self._waiting = [waiter for waiter in self._waiting if not waiter.turn.done()]
        return self._waiting

    def _next(self, lane_of: Callable[[_Waiter], str | None]) -> tuple[_Waiter, str] | None:
        for waiter in sorted(self._present(), key=self._order):
            lane = lane_of(waiter)
            if lane is not None:
                return waiter, lane
        return None

    def _free_of(self, waiter: _Waiter) -> str | None:
        """The least busy of a waiter's own lanes, if it has a free place."""
        lane = min(waiter.route.open, key=self._busy)
        return lane if self._busy(lane) < self._places else None

    def _idle_for(self, waiter: _Waiter) -> str | None:
        """A lane with a free place for a waiter whose own is taken by others alone."""
        if any(other.route is waiter.route for other in self._inside):
            return None
        lane = min(waiter.route.lanes(), key=self._busy)
        return lane if self._busy(lane) < self._places else None

    def _busy(self, lane: str) -> int:
        return sum(other.lane == lane for other in self._inside)

    def _charge(self, waiter: _Waiter) -> None:
        self._virtual_s = max(self._virtual_s, self._spent_s[waiter.size_class])
        self._spent_s[waiter.size_class] += waiter.cost_s * CLASS_WEIGHT**waiter.size_class

    def _catch_up(self, size_class: int) -> None:
        present = {other.size_class for other in (*self._inside, *self._present())}
        if not present:
            self._virtual_s = max(self._spent_s.values(), default=0.0)
        if size_class not in present:
            self._spent_s[size_class] = max(self._spent_s[size_class], self._virtual_s)

    def _order(self, waiter: _Waiter) -> tuple[float, int, float]:
        return self._spent_s[waiter.size_class], waiter.size_class, waiter.ticket.arrival_s


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who wants a place, and for how much work; `turn` and `lane` are set by the gate."""

    ticket: Ticket
    cost_s: float
    route: Route
    lane: str = ""
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

    @property
    def lane(self) -> str:
        """Where the place is."""
        return self._waiter.lane

    async def give_way(self) -> None:
        """Let those go first whose turn comes first, and come back.

        Raises:
            UnavailableError: if no lane is left.
        """
        self._held = False
        await self._gate.enter_again(self._waiter)
        self._held = True
