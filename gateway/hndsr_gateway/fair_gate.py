"""Whose turn it is, and where."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.shares import Path, Shares
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.telemetry.tracing import span
from hndsr_gateway.types import Priority

CLASS_RATIO = 4.0
"""Requests whose work differs by less than this are of one size class."""
LEAST_WORK_S = 1e-3
ONLY_LANE = ("",)
LOOK_S = 0.1
"""How often lanes are looked for while somebody has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """Work that goes on: since when, by the monotonic clock, and how long it takes by the estimate."""

    start_s: float
    cost_s: float


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that has come in."""

    size_bytes: int
    arrival_s: float
    work_s: float = 0.0
    """Device time that it needs, in seconds, as soon as that is known."""
    waits: bool = True
    caller_id: str = ""
    priority: Priority = Priority.INTERACTIVE
    deadline_s: float | None = None
    """When its caller gives up, by the monotonic clock."""
    model: str = ""
    """What works on it; empty: it is measured alone."""
    paid_px: int = 0
    """Target pixels that its caller has spent on it."""
    begun: bool = False
    """Whether any of its work has begun."""
    done_s: float = 0.0
    """How much of `work_s` is done."""
    worked_s: float = 0.0
    """How long that took."""
    running: list[Running] = field(default_factory=list)
    """What is worked on now."""

    @property
    def size_class(self) -> int:
        """The order of magnitude of its work."""
        return math.floor(math.log(max(self.work_s, LEAST_WORK_S), CLASS_RATIO))

    @property
    def path(self) -> Path:
        """Among whose work it counts."""
        return self.priority, self.caller_id, self.size_class

    @contextlib.contextmanager
    def working(self, cost_s: float) -> Iterator[None]:
        """Have work on so much of it counted, whether it succeeds or not."""
        running = Running(time.monotonic(), cost_s)
        self.running.append(running)
        self.begun = True
        try:
            yield
        finally:
            self.running.remove(running)
            self.worked_s += time.monotonic() - running.start_s
            self.done_s += cost_s


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
    """A semaphore that priorities, callers and size classes share as `Shares` says; else the first comes first.

    It has one lane or several, each with as many places and shares of its own. Whoever waits keeps to the lane of its
    route, but goes over to an idle one rather than wait for others.

    Args:
        places: in each lane.
        queue: what those who wait are called in metrics; empty: they are not counted.
        patience_s: how long those who have no lane wait for one: an endpoint that failed may be back in a moment.
    """

    def __init__(self, places: int, *, queue: str = "", patience_s: float = 2.0) -> None:
        self._places, self._patience_s = places, patience_s
        self._queue = {"queue": queue} if queue else None
        self._inside: list[_Waiter] = []
        self._waiting: list[_Waiter] = []
        self._shares: defaultdict[str, Shares] = defaultdict(Shares)
        self._look: asyncio.TimerHandle | None = None

    def place(self, ticket: Ticket, *, cost_s: float, route: Route | None = None) -> Turn:
        """One of the places, held by `async with`, for work of so many seconds each time that it is entered."""
        return Turn(self, _Waiter(ticket, cost_s, route or Route(lambda: ONLY_LANE)))

    @property
    def tickets(self) -> set[Ticket]:
        """Of those who are in it or wait for it."""
        return {waiter.ticket for waiter in (*self._inside, *self._present())}

    async def enter(self, waiter: _Waiter) -> None:
        """Take a place as soon as it is the waiter's turn.

        Raises:
            UnavailableError: if there has been no lane that it could take for too long.
        """
        waiter.path = waiter.ticket.path
        for lane in waiter.route.open:
            self._catch_up(lane, waiter.path)
        waiter.turn, waiter.lost_s = asyncio.get_running_loop().create_future(), None
        self._waiting.append(waiter)
        self.wake()
        try:
            with self._observed():
                await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._inside:  # it was given a place in the moment of its end
                self.leave(waiter)
            raise

    @contextlib.contextmanager
    def _observed(self) -> Iterator[None]:
        """Count a wait."""
        if self._queue is None:
            yield
            return
        start_s = time.monotonic()
        metrics.queue_depth.add(1, self._queue)
        try:
            with span("queue", {"hndsr.queue": self._queue["queue"]}):
                yield
        finally:
            metrics.queue_depth.add(-1, self._queue)
            metrics.queue_wait.record(time.monotonic() - start_s, self._queue)

    def leave(self, waiter: _Waiter) -> None:
        """Give a place to whoever is next."""
        self._inside.remove(waiter)
        self.wake()

    async def enter_again(self, waiter: _Waiter) -> None:
        """Keep the place, or give it to those whose turn comes first and take it up again after them.

        A place in a lane that vanished is not kept.
        """
        lane = waiter.lane
        mine = self._order(lane, waiter)
        before = (other for other in self._present() if self._order(lane, other) < mine)
        if lane not in waiter.route.lanes() or any(lane in other.route.open for other in before):
            self.leave(waiter)
            await self.enter(waiter)
        else:
            self._charge(waiter)

    def wake(self) -> None:
        """Let in whoever can be let in: a place became free, or lanes came or went."""
        self._refuse_the_lost()
        while chosen := self._next(_is_at_home) or self._next(self._is_kept_out):
            waiter, lane = chosen
            if waiter.route.lane not in {None, lane}:
                self._catch_up(lane, waiter.path)
            waiter.lane = waiter.route.lane = lane
            self._inside.append(waiter)
            self._charge(waiter)
            waiter.turn.set_result(None)

    def _refuse_the_lost(self) -> None:
        """Refuse those who had no lane for too long, and look again soon for those who have none."""
        loop = asyncio.get_running_loop()
        for waiter in self._present():
            if waiter.route.lanes():
                waiter.lost_s = None
            elif waiter.lost_s is None:
                waiter.lost_s = loop.time()
            elif loop.time() - waiter.lost_s > self._patience_s:
                waiter.turn.set_exception(UnavailableError())
        if self._look is not None:
            self._look.cancel()
        lost = any(waiter.lost_s is not None for waiter in self._present())
        self._look = loop.call_later(LOOK_S, self.wake) if lost else None

    def _present(self) -> list[_Waiter]:
        """Those that wait, without those that gave up."""
        self._waiting = [waiter for waiter in self._waiting if not waiter.turn.done()]
        return self._waiting

    def _next(self, may_take: Callable[[_Waiter, str], bool]) -> tuple[_Waiter, str] | None:
        """Who is let in next, and where: the least busy lane with a free place that somebody may take."""
        waiting = self._present()
        lanes = dict.fromkeys(lane for waiter in waiting for lane in waiter.route.lanes())
        for lane in sorted(lanes, key=self._busy):
            able = [waiter for waiter in waiting if may_take(waiter, lane)] if self._busy(lane) < self._places else []
            if able:
                path = min({waiter.path for waiter in able}, key=self._shares[lane].order)
                return min((waiter for waiter in able if waiter.path == path), key=_arrival_s), lane
        return None

    def _is_kept_out(self, waiter: _Waiter, lane: str) -> bool:
        """Whether a waiter may go over to a lane, since its own is taken by others alone."""
        return lane in waiter.route.lanes() and all(other.route is not waiter.route for other in self._inside)

    def _busy(self, lane: str) -> int:
        return sum(other.lane == lane for other in self._inside)

    def _order(self, lane: str, waiter: _Waiter) -> tuple[float, ...]:
        return *self._shares[lane].order(waiter.path), _arrival_s(waiter)

    def _charge(self, waiter: _Waiter) -> None:
        self._shares[waiter.lane].charge(waiter.path, waiter.cost_s)

    def _catch_up(self, lane: str, path: Path) -> None:
        inside = {other.path for other in self._inside if other.lane == lane}
        waiting = {other.path for other in self._present() if lane in other.route.open}
        self._shares[lane].catch_up(path, inside | waiting)


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who wants a place, and for how much work; `turn`, `path` and `lane` are set by the gate."""

    ticket: Ticket
    cost_s: float
    route: Route
    lane: str = ""
    lost_s: float | None = None
    """Since when there is no lane that it could take, by the loop's clock."""
    turn: asyncio.Future[None] = field(init=False)
    path: Path = field(init=False)


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

    def working(self) -> AbstractContextManager[None]:
        """Have the work that it is held for counted on the ticket."""
        return self._waiter.ticket.working(self._waiter.cost_s)

    async def give_way(self) -> None:
        """Let those go first whose turn comes first, and come back.

        Raises:
            UnavailableError: if no lane is left.
        """
        self._held = False
        await self._gate.enter_again(self._waiter)
        self._held = True


def _arrival_s(waiter: _Waiter) -> float:
    return waiter.ticket.arrival_s


def _is_at_home(waiter: _Waiter, lane: str) -> bool:
    """Whether a lane is a waiter's own, or it has none yet."""
    return lane in waiter.route.open
