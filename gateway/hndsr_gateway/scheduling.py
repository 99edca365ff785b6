"""Who may come in, who is worked on, and how many bytes they may hold."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from hndsr_gateway.caller import current_caller
from hndsr_gateway.errors import OverloadedError, UnavailableError
from hndsr_gateway.fair_gate import FairGate, Ticket
from hndsr_gateway.pace import Kind, Paces
from hndsr_gateway.settings import Settings
from hndsr_gateway.shares import work_before_s
from hndsr_gateway.types import Priority

LONG_SHARE = 0.5
"""Share of the places that long requests may hold; the rest is always free for short ones."""
MIN_RETRY_S, MAX_RETRY_S = 1.0, 30.0
STREAM_RETRY_S = 10.0
CLAIM_S = 3 * STREAM_RETRY_S
"""How long those who have streams open get no further ones, after somebody was refused for their sake."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a request takes: device time by the estimate, in seconds, and what works on it.

    `model` is empty for measuring alone. So many `places` work on requests of all callers, `own` of them on this one.
    """

    estimated_s: float
    model: str = ""
    places: int = 1
    own: int = 1


class Admission:
    """Bounds how many requests there are, how many bytes wait, how many are worked on, and how long any waits.

    Args:
        settings: `max_concurrent_requests`, `max_queue_depth` and `max_queue_bytes`.
        beside: those who share the models with requests: tiles of streams.
    """

    def __init__(self, settings: Settings, beside: Callable[[], Collection[Ticket]] = tuple) -> None:
        self._settings, self._beside = settings, beside
        places = settings.max_concurrent_requests
        self._places = FairGate(places, queue="request")
        self._long_places = FairGate(_share_of(places), queue="request")
        self._long_batch_places = FairGate(_share_of(_share_of(places)), queue="request")
        self._stays: dict[Ticket, _Stay] = {}
        self._paces = Paces()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def count(self) -> int:
        """Requests that are in."""
        return len(self._stays)

    @staticmethod
    def ticket(
        size_bytes: int, *, priority: Priority = Priority.INTERACTIVE, deadline_s: float | None = None
    ) -> Ticket:
        """Of a request of so many bytes that its caller sends now."""
        caller_id = current_caller().id
        return Ticket(size_bytes, time.monotonic(), caller_id=caller_id, priority=priority, deadline_s=deadline_s)

    @contextlib.contextmanager
    def request(self, ticket: Ticket) -> Iterator[None]:
        """Let a request in, until it is answered; to be entered in a task of its own.

        It may push another one out, so whether it can be done itself is to be checked before.

        Raises:
            OverloadedError: if there are too many, or too many bytes wait; also later, while it waits, if it has to
                make room for another caller, or can no longer be done before its deadline.
            UnavailableError: if the server is about to stop.
        """
        if self._draining:
            raise UnavailableError("the server is about to stop")
        self._make_room(ticket)
        self._make_room_for_bytes(ticket, ticket.size_bytes)
        stay = self._stays[ticket] = _Stay(_this_task())
        self._idle.clear()
        try:
            yield
        except asyncio.CancelledError:
            if stay.refusal is None:
                raise
            raise stay.refusal from None
        finally:
            stay.silence()
            del self._stays[ticket]
            if not self._stays:
                self._idle.set()

    def grow(self, ticket: Ticket, by_bytes: int) -> None:
        """Count what a request holds more than before, now that a file of it is read.

        Raises:
            OverloadedError: if too many bytes wait beside it; it is to be given up then.
        """
        self._make_room_for_bytes(ticket, ticket.size_bytes + by_bytes)
        ticket.size_bytes += by_bytes

    def expect(self, ticket: Ticket, work: Work) -> None:
        """As `check`, of one that is in; if its turn comes too late, it is refused then.

        Raises:
            OverloadedError: if it cannot be done before its deadline.
        """
        self._stays[ticket].silence()
        self.check(ticket, work)
        if ticket.deadline_s is None or not self._rivals(ticket):
            return
        own_s = self._paces.cautious(_kind(ticket)) * work.estimated_s / work.own
        late = OverloadedError("its turn did not come in time for its deadline", retry_delay_s=_retry_delay_s(own_s))
        latest_s = max(0.0, ticket.deadline_s - time.monotonic() - own_s)
        self._stays[ticket].alarm = asyncio.get_running_loop().call_later(latest_s, self._refuse, ticket, late)

    def check(self, ticket: Ticket, work: Work) -> None:
        """Say what a request takes, as far as that is known; it is refused as soon as it cannot be done in time.

        One that has the models for itself is let in whatever was learnt before, and teaches anew.

        Raises:
            OverloadedError: if it cannot be done before its deadline.
        """
        ticket.work_s, ticket.model = work.estimated_s, work.model
        ticket.done_s = ticket.worked_s = 0.0  # of another way to an answer, where one failed
        if ticket.deadline_s is None or not (others := self._rivals(ticket)):
            return
        before = ((other.path, self._rest_s(other)) for other in others)
        wait_s = work_before_s(ticket.path, self._rest_s(ticket), before) / work.places
        needed_s = wait_s + self._rest_s(ticket) / work.own
        left_s = ticket.deadline_s - time.monotonic()
        if needed_s > left_s:
            raise OverloadedError(
                f"it would take about {needed_s:.2g} s, and {max(0.0, left_s):.2g} s are left until its deadline",
                retry_delay_s=_retry_delay_s(needed_s - left_s),
            )

    @contextlib.asynccontextmanager
    async def place(self, ticket: Ticket, *, long: bool) -> AsyncIterator[None]:
        """Wait for the turn of a request whose work is known, and hold a place while it is worked on."""
        async with contextlib.AsyncExitStack() as stack:
            for gate in self._gates(ticket, long=long):
                await stack.enter_async_context(gate.place(ticket, cost_s=ticket.work_s))
            ticket.waits = False
            try:
                yield
            except BaseException:
                self._paces.learn_at_least(_kind(ticket), real_s=ticket.worked_s, estimated_s=ticket.work_s)
                raise
            self._paces.learn(_kind(ticket), real_s=ticket.worked_s, estimated_s=ticket.work_s)

    async def drain(self, grace_s: float) -> None:
        """Let nothing more in, and wait up to `grace_s` for what is there."""
        self._draining = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)

    def _gates(self, ticket: Ticket, *, long: bool) -> Iterator[FairGate]:
        if long and ticket.priority is Priority.BATCH:
            yield self._long_batch_places
        if long:
            yield self._long_places
        yield self._places

    def _before(self, ticket: Ticket) -> list[Ticket]:
        """All others that are to be answered; those of its own path only if they came before it."""
        requests = [other for other, stay in self._stays.items() if stay.refusal is None and other is not ticket]
        tiles = [other for other in self._beside() if other not in self._stays]
        return [
            *(other for other in requests if other.path != ticket.path or other.arrival_s <= ticket.arrival_s),
            *tiles,
        ]

    def _rivals(self, ticket: Ticket) -> list[Ticket]:
        """Those before it that wait for the models as it does, or are measured alone as it is."""
        return [other for other in self._before(ticket) if bool(other.model) == bool(ticket.model)]

    def _rest_s(self, ticket: Ticket) -> float:
        """How long what is left of its work takes, in the mean; what is worked on counts by the time that passed."""
        usual, now_s = self._paces.usual(_kind(ticket)), time.monotonic()
        passed_s = sum(min(now_s - running.start_s, running.cost_s * usual) for running in ticket.running)
        return max(0.0, (ticket.work_s - ticket.done_s) * usual - passed_s)

    def _make_room(self, newcomer: Ticket) -> None:
        there = sum(stay.refusal is None for stay in self._stays.values())
        limit = self._settings.max_concurrent_requests + self._settings.max_queue_depth
        if there >= limit and not self._push_out(newcomer, 1, lambda _: 1):
            raise OverloadedError(
                f"{there} requests are worked on or wait, the most at once", retry_delay_s=self._next_done_s()
            )

    def _make_room_for_bytes(self, newcomer: Ticket, size_bytes: int) -> None:
        limit_bytes = self._settings.max_queue_bytes
        while waiting_bytes := sum(ticket.size_bytes for ticket in self._waiting() if ticket is not newcomer):
            if waiting_bytes + size_bytes <= limit_bytes:
                return
            if not self._push_out(newcomer, size_bytes, lambda ticket: ticket.size_bytes):
                raise OverloadedError(
                    f"requests of {waiting_bytes:,} bytes wait, the most is {limit_bytes:,}",
                    retry_delay_s=self._next_done_s(),
                )

    def _push_out(self, newcomer: Ticket, more: int, amount: Callable[[Ticket], int]) -> bool:
        """Refuse one that waits, so that a newcomer finds room; False where there is none that has to make way.

        It is one of the caller who holds most, if that is more than the newcomer's has with it; else an interactive
        newcomer takes the place of its own caller's batch work.
        """
        waiting, held = [ticket for ticket in self._waiting() if ticket is not newcomer], Counter[str]()
        for ticket in waiting:
            held[ticket.caller_id] += amount(ticket)
        if not held:
            return False
        greedy, most = held.most_common(1)[0]
        if held[newcomer.caller_id] + more < most:
            giving = [ticket for ticket in waiting if ticket.caller_id == greedy]
        else:
            own = (ticket for ticket in waiting if ticket.caller_id == newcomer.caller_id)
            giving = [ticket for ticket in own if ticket.priority > newcomer.priority]
        if not giving:
            return False
        newest = max(giving, key=lambda ticket: (ticket.priority, ticket.arrival_s))
        self._refuse(newest, OverloadedError("others took its place", retry_delay_s=self._next_done_s()))
        return True

    def _waiting(self) -> list[Ticket]:
        staying = (ticket for ticket, stay in self._stays.items() if stay.refusal is None)
        return [ticket for ticket in staying if ticket.waits and not ticket.begun]

    def _refuse(self, ticket: Ticket, error: OverloadedError) -> None:
        """End the stay of one that has not begun."""
        stay = self._stays[ticket]
        if not ticket.begun and stay.refusal is None:
            stay.refusal = error
            stay.task.cancel()

    def _next_done_s(self) -> float:
        """About how long it takes until the next of those that are there is done."""
        return _retry_delay_s(sum(ticket.work_s for ticket in self._stays) / len(self._stays))


@dataclass(slots=True)
class _Stay:
    """What becomes of a request that is in: the task that works on it, and why it is to end."""

    task: asyncio.Task[Any]
    refusal: OverloadedError | None = None
    alarm: asyncio.TimerHandle | None = None

    def silence(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("requests are let in by tasks")
    return task


def _share_of(places: int) -> int:
    return max(1, int(LONG_SHARE * places))


def _kind(ticket: Ticket) -> Kind:
    return ticket.model, ticket.size_class


def _retry_delay_s(seconds: float) -> float:
    return round(min(max(seconds, MIN_RETRY_S), MAX_RETRY_S), 1)


@dataclass(slots=True, eq=False)
class OpenStream:
    """A stream that was let in."""

    caller_id: str
    reserved_bytes: int = 0
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is to end soon, and go on in another one: the server stops, or somebody else needs its room."""


class StreamRoom:
    """Bounds how many streams are open and how many bytes their tiles hold.

    Where a caller finds none left, and others hold more than it would, the newest stream of whoever holds most is told
    to go on later, and until the caller came again those who have streams open get no further ones.

    Args:
        settings: `max_streams`, `stream_tiles`, `stream_bytes` and `max_stream_bytes`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[OpenStream, None] = {}
        """In the order in which they came."""
        self._claims: dict[str, float] = {}
        """Until when room is kept for callers that found none."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def count(self) -> int:
        """Streams that are open."""
        return len(self._open)

    @contextlib.contextmanager
    def stream(self) -> Iterator[OpenStream]:
        """Let a stream in, until it ends.

        Raises:
            OverloadedError: if enough are open.
            UnavailableError: if the server is about to stop.
        """
        if self._draining:
            raise UnavailableError("the server is about to stop")
        stream = OpenStream(current_caller().id)
        self._check_claims(stream)
        if self.count >= self._settings.max_streams:
            self._claim(stream, 1, lambda _: 1)
            raise OverloadedError(f"{self.count} streams are open, the most at once", retry_delay_s=STREAM_RETRY_S)
        self._open[stream] = None
        self._idle.clear()
        try:
            yield stream
        finally:
            del self._open[stream]
            if not self._open:
                self._idle.set()

    @contextlib.contextmanager
    def tiles(self, stream: OpenStream, tile_bytes: int, tile_count: int) -> Iterator[int]:
        """Reserve room for a stream's tiles, so many of so many bytes each; yields for how many at once.

        Raises:
            OverloadedError: if there is none for a single one beside the other streams.
        """
        settings, reserved_bytes = self._settings, self._reserved_bytes
        free_bytes = settings.max_stream_bytes - reserved_bytes
        count = min(tile_count, settings.stream_tiles, settings.stream_bytes // tile_bytes, free_bytes // tile_bytes)
        if count < 1 and reserved_bytes:
            self._claim(stream, tile_bytes, lambda other: other.reserved_bytes)
            raise OverloadedError(
                f"the tiles of open streams hold {reserved_bytes:,} bytes, the most is {settings.max_stream_bytes:,}",
                retry_delay_s=STREAM_RETRY_S,
            )
        self._claims.pop(stream.caller_id, None)
        count = max(1, count)
        stream.reserved_bytes = count * tile_bytes
        try:
            yield count
        finally:
            stream.reserved_bytes = 0

    async def drain(self, grace_s: float) -> None:
        """Let no stream in any more, and wait up to `grace_s` for those that are open."""
        self._draining = True
        for stream in self._open:
            stream.leaving.set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)

    @property
    def _reserved_bytes(self) -> int:
        return sum(stream.reserved_bytes for stream in self._open)

    def _check_claims(self, newcomer: OpenStream) -> None:
        now_s = time.monotonic()
        self._claims = {caller_id: until_s for caller_id, until_s in self._claims.items() if until_s > now_s}
        has_some = any(stream.caller_id == newcomer.caller_id for stream in self._open)
        if has_some and self._claims.keys() - {newcomer.caller_id}:
            raise OverloadedError("other callers wait for room for a stream", retry_delay_s=STREAM_RETRY_S)

    def _claim(self, newcomer: OpenStream, more: int, amount: Callable[[OpenStream], int]) -> None:
        """See that a caller who holds less than others finds room when it comes again.

        The room of streams that leave already is for those who found none before.
        """
        staying = [stream for stream in self._open if not stream.leaving.is_set()]
        held = Counter[str]()
        for stream in staying:
            held[stream.caller_id] += amount(stream)
        greedy, most = max(held.items(), key=lambda item: item[1], default=("", 0))
        if newcomer.caller_id in self._claims or held[newcomer.caller_id] + more >= most:
            return
        self._claims[newcomer.caller_id] = time.monotonic() + CLAIM_S
        newest = [stream for stream in staying if stream.caller_id == greedy][-1]
        newest.leaving.set()
