"""Plans that are asked for at once: one at a time, by turns of callers, and so many of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeBackend
from in_process import refusal, run, running, settle

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway import service
from hndsr_gateway.caller import Caller, called_by, current_caller
from hndsr_gateway.errors import OverloadedError
from hndsr_gateway.planning import make_plan
from hndsr_gateway.servicer import MAX_PLANS, MAX_PLANS_OF_ONE, RETRY_S, PlanTurns
from hndsr_gateway.types import Plan


class Plans:
    """Plans that wait until they may be made, and remember whose ones were begun."""

    def __init__(self) -> None:
        self.turns, self.go = PlanTurns(), threading.Event()
        self.begun: list[str] = []

    async def ask(self, *callers: str) -> list[asyncio.Task[None]]:
        """Have each caller ask for one, in this order."""
        asked = []
        for name in callers:
            with called_by(Caller(name)):
                asked.append(asyncio.create_task(self.turns.make(self._plan)))
            await settle()
        return asked

    def _plan(self) -> None:
        self.begun.append(current_caller().id)
        self.go.wait()


@pytest.fixture
def plans() -> Iterator[Plans]:
    found = Plans()
    yield found
    found.go.set()


def test_plan_is_made_for_its_caller(plans: Plans) -> None:
    async def test() -> None:
        plans.go.set()
        await asyncio.gather(*await plans.ask("alice"))
        assert plans.begun == ["alice"]

    run(test())


def test_plans_take_turns_by_callers(plans: Plans) -> None:
    async def test() -> None:
        asked = await plans.ask("alice", "alice", "alice", "bob")
        plans.go.set()
        await asyncio.gather(*asked)
        assert plans.begun.index("bob") < len(asked) - 1

    run(test())


def test_plans_do_not_keep_threads_from_other_work(plans: Plans) -> None:
    async def test() -> None:
        earlier = set(threading.enumerate())
        asked = await plans.ask(*(f"caller {number}" for number in range(MAX_PLANS)))
        begun = [thread.name.partition("_")[0] for thread in set(threading.enumerate()) - earlier]
        assert begun == ["plan"]
        plans.go.set()
        await asyncio.gather(*asked)

    run(test())


@pytest.mark.parametrize(
    ("there", "whose"),
    [
        (["alice"] * MAX_PLANS_OF_ONE, f"{MAX_PLANS_OF_ONE} plans of one caller"),
        ([f"caller {number}" for number in range(MAX_PLANS)], f"{MAX_PLANS} plans are"),
    ],
    ids=["of_one", "of_all"],
)
def test_plan_is_refused_where_too_many_wait(plans: Plans, there: list[str], whose: str) -> None:
    async def test() -> None:
        asked = await plans.ask(*there)
        (further,) = await plans.ask("alice")
        with pytest.raises(OverloadedError, match=whose):
            await further
        plans.go.set()
        await asyncio.gather(*asked)

    run(test())


def test_plan_that_is_done_makes_room(plans: Plans) -> None:
    async def test() -> None:
        asked = await plans.ask(*["alice"] * MAX_PLANS_OF_ONE)
        plans.go.set()
        await asyncio.gather(*asked)
        await asyncio.gather(*await plans.ask("alice"))
        assert len(plans.begun) == MAX_PLANS_OF_ONE + 1

    run(test())


def test_plan_that_nobody_waits_for_any_more_makes_room_and_is_not_made(plans: Plans) -> None:
    async def test() -> None:
        asked = await plans.ask(*["alice"] * MAX_PLANS_OF_ONE)
        asked[-1].cancel()
        await asyncio.wait(asked[-1:])
        (further,) = await plans.ask("alice")
        plans.go.set()
        await asyncio.gather(*asked[:-1], further)
        assert len(plans.begun) == MAX_PLANS_OF_ONE

    run(test())


def test_gateway_refuses_plans_of_one_caller_beyond_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def held(*args: Any, **kwargs: Any) -> Plan:
        go.wait()
        return make_plan(*args, **kwargs)

    async def test() -> None:
        message = pb.PlanUpscaleRequest(source_height_px=9, source_width_px=9)
        async with running(FakeBackend()) as client:
            calls = [
                asyncio.ensure_future(refusal(client.upscale.PlanUpscale(message))) for _ in range(MAX_PLANS_OF_ONE + 1)
            ]
            try:
                (refused,), others = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=20)
            finally:
                go.set()
            told = refused.result()
            await asyncio.wait(others)
        assert (told.reason, told.retry_delay_s) == ("OVERLOADED", RETRY_S)
        assert all("was answered" in str(other.exception()) for other in others)

    monkeypatch.setattr(service, "make_plan", held)
    run(test())
