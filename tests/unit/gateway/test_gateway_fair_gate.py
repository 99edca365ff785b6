"""The gate in front of places and tiles: who is next, and that no place is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import run, settle

from hndsr_gateway.fair_gate import FairGate, Ticket


def turns(waiting: list[tuple[float, float]], *, cancelled: int | None = None) -> list[int]:
    """In which order those with these (work, cost of a turn) pass a gate of one place; all wait from the start."""
    passed = []

    async def wait(gate: FairGate, number: int) -> None:
        work_s, cost_s = waiting[number]
        async with gate.place(Ticket(0, arrival_s=number, work_s=work_s), cost_s=cost_s) as turn:
            passed.append(number)
            for _ in range(round(work_s / cost_s) - 1):
                await turn.give_way()
                passed.append(number)

    async def test() -> None:
        gate, holder = FairGate(1), Ticket(0, arrival_s=-1.0)
        async with gate.place(holder, cost_s=0.0):
            tasks = [asyncio.create_task(wait(gate, number)) for number in range(len(waiting))]
            await settle()
            if cancelled is not None:
                tasks[cancelled].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with gate.place(holder, cost_s=0.0):
            pass

    run(test())
    return passed


@given(st.lists(st.sampled_from([0.002, 1.0, 1.5, 70.0]), min_size=1, max_size=20))
def test_gate_lets_a_size_class_in_as_it_came(works: list[float]) -> None:
    order = turns([(work_s, work_s) for work_s in works])
    for size_class in {Ticket(0, 0.0, work_s).size_class for work_s in works}:
        of_class = [number for number in order if Ticket(0, 0.0, works[number]).size_class == size_class]
        assert of_class == sorted(of_class)


def test_gate_is_shared_by_small_and_large() -> None:
    order = turns([(100.0, 4.0)] + [(1.0, 1.0)] * 60)
    large = [place for place, number in enumerate(order[:50]) if number == 0]
    assert {after - before - 1 for before, after in itertools.pairwise(large)} == {7, 8}  # 4 s times 1.25 ** 3


def test_gate_is_not_left_where_nobody_waits() -> None:
    assert turns([(3.0, 1.0)]) == [0, 0, 0]


@pytest.mark.parametrize(("before_s", "after_s"), [(1000.0, 1.0), (1.0, 1000.0)], ids=["large-first", "small-first"])
def test_gate_does_not_make_up_for_time_in_which_a_class_was_away(before_s: float, after_s: float) -> None:
    """What has had the gate for itself is not punished for it, and what comes later is not favoured."""
    before, after, passed = Ticket(0, 0.0, work_s=before_s), Ticket(0, 1.0, work_s=after_s), []

    async def wait(gate: FairGate, ticket: Ticket) -> None:
        async with gate.place(ticket, cost_s=1.0):
            passed.append(ticket)

    async def test() -> None:
        gate = FairGate(1)
        for _ in range(100):
            await wait(gate, before)
        passed.clear()
        async with gate.place(after, cost_s=1.0):
            tasks = [asyncio.create_task(wait(gate, ticket)) for ticket in (before, after, after, before)]
            await settle()
        await asyncio.gather(*tasks)
        assert {ticket is before for ticket in passed[:3]} == {True, False}

    run(test())


def test_gate_passes_over_those_that_gave_up() -> None:
    assert turns([(1.0, 1.0)] * 3, cancelled=1) == [0, 2]


def test_gate_gives_the_place_back_that_was_given_to_one_who_gave_up() -> None:
    async def test() -> None:
        gate, ticket = FairGate(1), Ticket(0, 0.0)
        async with gate.place(ticket, cost_s=1.0):
            given_up = asyncio.create_task(gate.place(ticket, cost_s=1.0).__aenter__())
            await settle()
        given_up.cancel()  # its turn has come, but it has not run since
        await asyncio.gather(given_up, return_exceptions=True)
        async with gate.place(ticket, cost_s=1.0):
            pass

    run(test())


@given(st.lists(st.tuples(st.sampled_from([0.01, 1.0, 30.0]), st.integers(0, 3)), max_size=12), st.integers(1, 3))
def test_gate_loses_no_place_whoever_gives_up(waiters: list[tuple[float, int]], places: int) -> None:
    async def wait(gate: FairGate, work_s: float) -> None:
        async with gate.place(Ticket(0, 0.0, work_s), cost_s=work_s) as turn:
            for _ in range(3):
                await asyncio.sleep(0)
                await turn.give_way()

    async def test() -> None:
        gate = FairGate(places)
        tasks = [asyncio.create_task(wait(gate, work_s)) for work_s, _ in waiters]
        for moment in range(4):
            await asyncio.sleep(0)
            for task, (_, given_up_at) in zip(tasks, waiters, strict=True):
                if given_up_at == moment and moment:
                    task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(places):
                await stack.enter_async_context(gate.place(Ticket(0, 0.0), cost_s=0.0))

    run(test())
