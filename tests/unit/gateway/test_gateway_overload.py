"""More than can be done: who is turned away, when, and for whom."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from fakes import FakeBackend
from in_process import raw, refusal, request, run, running, scene, settle

from hndsr_gateway.caller import Caller, called_by
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import GatewayError, OverloadedError, QuotaExceededError
from hndsr_gateway.fair_gate import Running
from hndsr_gateway.jobs import UpscaleAnswer, UpscaleRequest
from hndsr_gateway.scheduling import Admission, Work
from hndsr_gateway.server import image_workers
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import Parameters, Priority, Raster

SMALL, OTHER = (8, 8), (8, 9)
"""Sizes of images of a single window."""
INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH
LONG_S = 60.0
"""More than any test takes."""


class Callers:
    """A service, and calls of several callers to it; `ended` says how they did, in their order."""

    def __init__(self, service: UpscaleService) -> None:
        self._service = service
        self.ended: list[str] = []

    async def call(
        self,
        caller: Caller | str = "a",
        size: tuple[int, int] = SMALL,
        *,
        priority: Priority = INTERACTIVE,
        in_s: float | None = None,
        **parameters: Any,
    ) -> asyncio.Task[UpscaleAnswer]:
        """A call that has come in, to be answered within so many seconds."""
        deadline_s = None if in_s is None else time.monotonic() + in_s
        message = UpscaleRequest(
            Raster(scene(size)), Parameters(**{"model": "bicubic", **parameters}), priority=priority
        )
        who = Caller(id=caller) if isinstance(caller, str) else caller
        with called_by(who):
            task = asyncio.create_task(self._service.upscale(message, deadline_s=deadline_s))
        task.add_done_callback(lambda _: self.ended.append(f"{who.id} {outcome(task)}"))
        await settle()
        return task


def outcome(task: asyncio.Task[Any]) -> str:
    """How a call ended: `done`, or the reason."""
    error = task.exception()
    return "done" if error is None else error.reason if isinstance(error, GatewayError) else type(error).__name__


@contextlib.asynccontextmanager
async def callers(backend: FakeBackend, **settings: Any) -> AsyncIterator[Callers]:
    """Callers of a service of its own."""
    catalogue = Catalogue(backend, default_model="bicubic")
    await catalogue.refresh()
    chosen = Settings(**settings)
    yield Callers(UpscaleService(backend, catalogue, image_workers(chosen), chosen))
    backend.release()


def held(**options: Any) -> FakeBackend:
    """A backend that keeps every tile until it is released."""
    backend = FakeBackend(**{"window_s": 1.0, **options})
    backend.hold()
    return backend


def test_caller_with_a_thousand_requests_delays_anothers_first_one_by_what_is_worked_on() -> None:
    backend = held()

    async def test() -> None:
        async with callers(backend, max_concurrent_requests=4, max_queue_depth=2000) as there:
            flood = [await there.call("a") for _ in range(1000)]
            other = await there.call("b", OTHER)
            backend.release()
            await asyncio.gather(*flood, other)

    run(test())
    assert [call.size for call in backend.calls].index(OTHER) <= 4


def test_callers_share_by_work_whatever_the_number_of_their_requests() -> None:
    backend = held()

    async def test() -> None:
        async with callers(backend) as there:
            calls = [await there.call("a") for _ in range(40)] + [await there.call("b", OTHER) for _ in range(10)]
            backend.release()
            await asyncio.gather(*calls)

    run(test())
    order = [call.size for call in backend.calls]
    assert order[8:20].count(OTHER) >= 5  # after those that held the places before


def test_request_is_refused_at_once_when_it_cannot_be_done_in_time() -> None:
    backend = held(window_s=10.0)

    async def test() -> None:
        async with callers(backend) as there:
            await there.call()
            late = await there.call(in_s=15.0)
            assert outcome(late) == "OVERLOADED"

    run(test())


def test_request_that_cannot_be_done_in_time_is_told_when_it_could() -> None:
    backend = held(window_s=4.0)

    async def test() -> None:
        async with callers(backend) as there:
            for _ in range(3):
                await there.call()
            error = (await there.call(in_s=7.0)).exception()
            assert isinstance(error, OverloadedError)
            # 12 s of others' work, less what is done of it, and 4 s of its own are 9 s more than it has.
            assert 8.5 < error.retry_delay_s < 11.5

    run(test())


def test_request_is_let_in_when_it_can_be_done_in_time() -> None:
    backend = held()

    async def test() -> None:
        async with callers(backend) as there:
            await there.call()
            waiting = await there.call(in_s=LONG_S)
            backend.release()
            await waiting

    run(test())


def test_request_is_let_in_when_it_is_alone_whatever_it_takes() -> None:
    """What was learnt may be wrong, and is learnt anew."""

    async def test() -> None:
        async with callers(FakeBackend(window_s=1e3)) as there:
            await (await there.call(in_s=LONG_S))

    run(test())


def test_request_without_deadline_waits() -> None:
    backend = held(window_s=1e6)

    async def test() -> None:
        async with callers(backend) as there:
            calls = [await there.call() for _ in range(20)]
            backend.release()
            await asyncio.gather(*calls)

    run(test())


def test_request_of_another_caller_does_not_wait_for_all_of_a_flood() -> None:
    backend = held()

    async def test() -> None:
        async with callers(backend) as there:
            for _ in range(50):
                await there.call("a")
            assert outcome(await there.call("a", in_s=10.0)) == "OVERLOADED"
            waiting = await there.call("b", in_s=10.0)
            backend.release()
            await waiting

    run(test())


def test_interactive_request_does_not_wait_for_all_of_the_batch() -> None:
    backend = held()

    async def test() -> None:
        async with callers(backend) as there:
            for _ in range(50):
                await there.call(priority=BATCH)
            assert outcome(await there.call(priority=BATCH, in_s=10.0)) == "OVERLOADED"
            waiting = await there.call(in_s=10.0)
            backend.release()
            await waiting

    run(test())


def test_request_counts_on_as_many_as_are_worked_on_at_once() -> None:
    async def test() -> None:
        backend = held()
        async with callers(backend, max_inflight_tiles=4) as there:
            for _ in range(12):
                await there.call()
            waiting = await there.call(in_s=6.0)
            assert not waiting.done()
            backend.release()
            await waiting

    run(test())


def test_waiting_request_is_given_up_before_it_begins_too_late() -> None:
    backend = held(window_s=0.01)

    async def test() -> None:
        async with callers(backend) as there:
            first = await there.call()
            late = await there.call(size=OTHER, in_s=0.2)
            await asyncio.wait([late])
            assert outcome(late) == "OVERLOADED"
            backend.release()
            await first

    run(test())
    assert [call.size for call in backend.calls] == [SMALL]


def test_request_is_let_in_when_it_is_done_in_time_in_the_mean() -> None:
    """What is rarer ends when its turn comes too late."""

    async def test() -> None:
        admission = Admission(Settings())
        ticket = admission.ticket(0, deadline_s=time.monotonic() + 1.3 * LONG_S)
        with admission.request(admission.ticket(0)), admission.request(ticket):
            admission.expect(ticket, Work(LONG_S))

    run(test())


def test_request_is_given_up_at_once_when_only_its_mean_is_in_time_and_it_cannot_begin() -> None:
    async def test() -> None:
        admission = Admission(Settings())
        ticket = admission.ticket(0, deadline_s=time.monotonic() + 1.3 * LONG_S)

        async def wait() -> None:
            with admission.request(ticket):
                admission.expect(ticket, Work(LONG_S))
                await asyncio.Event().wait()

        with admission.request(admission.ticket(0)), pytest.raises(OverloadedError, match="turn"):
            await asyncio.create_task(wait())

    run(test())


def test_request_waits_for_what_is_left_of_a_tile_that_runs() -> None:
    async def test() -> None:
        admission, first = Admission(Settings()), Admission.ticket(0)
        with admission.request(first):
            admission.expect(first, Work(LONG_S, "m"))
            late = admission.ticket(0, deadline_s=time.monotonic() + 1.5 * LONG_S)
            first.running.append(Running(time.monotonic(), LONG_S))
            with pytest.raises(OverloadedError):
                admission.check(late, Work(LONG_S, "m"))
            first.running[:] = [Running(time.monotonic() - 0.8 * LONG_S, LONG_S)]
            admission.check(late, Work(LONG_S, "m"))

    run(test())


def test_request_that_has_begun_is_not_given_up() -> None:
    async def test() -> None:
        admission = Admission(Settings())
        ticket = admission.ticket(0, deadline_s=time.monotonic() + 0.1)
        with admission.request(admission.ticket(0)), admission.request(ticket):
            admission.expect(ticket, Work(0.05))
            ticket.begun = True
            await asyncio.sleep(0.2)

    run(test())


def test_request_is_refused_by_what_others_have_really_taken() -> None:
    backend = FakeBackend(window_s=0.01, delay_s=0.25)

    async def test() -> None:
        async with callers(backend) as there:
            await (await there.call())
            backend.hold()
            await there.call()
            assert outcome(await there.call(in_s=0.3)) == "OVERLOADED"

    run(test())


def test_request_is_refused_by_what_others_were_cut_off_after() -> None:
    """Else nothing would be learnt where everything begins too late."""
    backend = held(window_s=0.01)

    async def test() -> None:
        async with callers(backend) as there:
            cut = await there.call()
            await asyncio.sleep(0.25)
            cut.cancel()
            await settle()
            await there.call()
            assert outcome(await there.call(in_s=0.3)) == "OVERLOADED"

    run(test())


def test_deadline_of_a_call_counts() -> None:
    backend = held(window_s=100.0)

    async def test() -> None:
        async with running(backend, tile_timeout_s=1e9) as client:
            first = client.upscale.Upscale(request(raw(scene(SMALL))))
            await backend.started(1)
            found = await refusal(client.upscale.Upscale(request(raw(scene(SMALL))), timeout=150))
            first.cancel()
            assert (found.code, found.reason, found.retry_delay_s) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OVERLOADED",
                30.0,
            )

    run(test())


QUEUE = {"max_concurrent_requests": 1, "max_queue_depth": 4}


def test_full_queue_makes_room_for_a_caller_who_holds_less() -> None:
    backend = held()

    async def test() -> None:
        async with callers(backend, **QUEUE) as there:
            flood = [await there.call("a") for _ in range(5)]
            other = await there.call("b")
            await settle()
            assert [task.done() for task in flood] == [False] * 4 + [True]
            assert there.ended == ["a OVERLOADED"]
            backend.release()
            await asyncio.gather(*flood[:4], other)

    run(test())


def test_full_queue_makes_no_room_for_what_cannot_be_done_in_time() -> None:
    async def test() -> None:
        async with callers(held(), **QUEUE) as there:
            for _ in range(5):
                await there.call("a")
            await there.call("b", in_s=0.5)
            assert there.ended == ["b OVERLOADED"]

    run(test())


def test_full_queue_is_shared_equally() -> None:
    async def test() -> None:
        async with callers(held(), **QUEUE) as there:
            for caller in "aaaaabbbbbb":
                await there.call(caller)
            assert there.ended == ["a OVERLOADED"] * 2 + ["b OVERLOADED"] * 4

    run(test())


def test_full_queue_has_room_for_interactive_work_of_a_caller_whose_batch_fills_it() -> None:
    async def test() -> None:
        async with callers(held(), **QUEUE) as there:
            batch = [await there.call(priority=BATCH) for _ in range(5)]
            interactive = await there.call()
            assert (batch[-1].done(), interactive.done()) == (True, False)

    run(test())


def test_full_queue_has_no_room_for_more_batch_of_a_caller_whose_batch_fills_it() -> None:
    async def test() -> None:
        async with callers(held(), **QUEUE) as there:
            batch = [await there.call(priority=BATCH) for _ in range(6)]
            assert [task.done() for task in batch] == [False] * 5 + [True]

    run(test())


def test_waiting_bytes_make_room_for_a_caller_who_holds_less() -> None:
    async def test() -> None:
        async with callers(held(), max_concurrent_requests=1, max_queue_bytes=4 * 8 * 8 * 3) as there:
            for caller in "aaaaab":
                await there.call(caller)
            assert there.ended == ["a OVERLOADED"]

    run(test())


def test_long_batch_leaves_places_for_long_interactive_work() -> None:
    backend, long, other = held(), (400, 10), (400, 11)

    async def test() -> None:
        async with callers(backend, max_concurrent_requests=4, tile_time_s=1e-6) as there:
            batch = [await there.call(size=long, priority=BATCH) for _ in range(4)]
            interactive = await there.call(size=other)
            backend.release()
            await asyncio.gather(*batch, interactive)

    run(test())
    assert [call.size for call in backend.calls].index(other) == 1


@dataclass
class Account:
    """An allowance of so many target pixels, and what was spent of it."""

    left: int = 10**9
    spent: list[int] = field(default_factory=list)

    async def spend_target_px(self, count: int) -> None:
        """Spend, if there is as much left."""
        if count > self.left:
            raise QuotaExceededError(subject="a", quota="target pixels", left=self.left, retry_delay_s=1.0)
        self.left -= count
        self.spent.append(count)


def test_request_spends_its_targets_pixels() -> None:
    account = Account()

    async def test() -> None:
        async with callers(FakeBackend()) as there:
            await (await there.call(Caller(id="a", allowance=account), scale="2"))

    run(test())
    assert account.spent == [16 * 16]


def test_request_is_refused_when_its_target_has_more_pixels_than_are_left() -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with callers(backend) as there:
            call = await there.call(Caller(id="a", allowance=Account(left=255)), scale="2")
            assert outcome(call) == "QUOTA_EXCEEDED"

    run(test())
    assert backend.calls == []


def test_request_spends_nothing_when_it_cannot_be_done_in_time() -> None:
    account = Account()

    async def test() -> None:
        async with callers(held(window_s=10.0)) as there:
            await there.call()
            late = await there.call(Caller(id="a", allowance=account), in_s=1.0)
            assert outcome(late) == "OVERLOADED"

    run(test())
    assert account.spent == []


def test_request_spends_nothing_when_it_is_refused_while_it_waits() -> None:
    account = Account()

    async def test() -> None:
        async with callers(held(), max_concurrent_requests=1, max_queue_depth=1) as there:
            await there.call("b")
            waiting = await there.call(Caller(id="a", allowance=account), priority=BATCH)
            await there.call("a")
            assert outcome(waiting) == "OVERLOADED"

    run(test())
    assert account.spent == []


def test_request_teaches_what_it_worked_and_not_how_long_it_waited_meanwhile() -> None:
    async def test() -> None:
        admission = Admission(Settings())
        first, second = admission.ticket(0), admission.ticket(0)
        with admission.request(first):
            admission.expect(first, Work(0.02))
            async with admission.place(first, long=False):
                with first.working(0.02):
                    pass
                await asyncio.sleep(0.3)  # as for others that are measured
        with admission.request(second):
            admission.expect(second, Work(0.02))
            admission.check(admission.ticket(0, deadline_s=time.monotonic() + 0.2), Work(0.02))

    run(test())
