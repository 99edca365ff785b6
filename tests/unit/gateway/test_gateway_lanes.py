"""The lanes of the gate in front of the tiles: who takes which, and what happens when they come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import run, settle

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.fair_gate import FairGate, Route, Ticket, Turn


class Lanes:
    """A gate whose lanes a test chooses, and those who are in it."""

    def __init__(self, *lanes: str, places: int = 1, patience_s: float = 0.0) -> None:
        self.lanes = list(lanes)
        self.gate = FairGate(places, patience_s=patience_s)
        self._arrivals = 0
        self._turns: list[Turn] = []

    def route(self, lane: str | None = None) -> Route:
        """A route over all lanes there are, perhaps bound to one."""
        return Route(lambda: self.lanes, lane)

    def turn(self, route: Route, *, work_s: float = 0.0) -> Turn:
        """A place that is not taken yet."""
        self._arrivals += 1
        return self.gate.place(Ticket(0, float(self._arrivals), work_s=work_s), cost_s=1.0, route=route)

    async def enter(self, route: Route) -> Turn:
        """Take a place."""
        turn = self.turn(route)
        await asyncio.wait_for(turn.__aenter__(), 1)
        return turn

    async def enter_later(self, route: Route) -> asyncio.Task[Turn]:
        """Wait for a place; has it when the task is done."""
        task = asyncio.create_task(self.turn(route).__aenter__())
        await settle()
        return task

    async def leave(self, turn: Turn) -> None:
        """Give a place back."""
        await turn.__aexit__(None, None, None)
        await settle()

    async def become(self, *lanes: str) -> None:
        """Have other lanes from now on."""
        self.lanes = list(lanes)
        self.gate.wake()
        await settle()


def test_unbound_work_goes_to_the_least_busy_lane() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b", "c", places=2)
        taken = [(await lanes.enter(lanes.route())).lane for _ in range(6)]
        assert taken == ["a", "b", "c"] * 2

    run(test())


def test_work_keeps_to_its_lane_when_another_is_less_busy() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b", places=2)
        route = lanes.route()
        assert [(await lanes.enter(route)).lane for _ in range(2)] == ["a", "a"]

    run(test())


def test_work_comes_back_to_its_lane() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        route = lanes.route("b")
        for _ in range(3):
            turn = await lanes.enter(route)
            assert turn.lane == "b"
            await lanes.leave(turn)

    run(test())


def test_work_waits_for_its_lane_when_its_own_is_there() -> None:
    """To leave its lane because of its own tiles would cost their seams."""

    async def test() -> None:
        lanes = Lanes("a", "b")
        route = lanes.route()
        first = await lanes.enter(route)
        second = await lanes.enter_later(route)
        assert not second.done()
        await lanes.leave(first)
        assert second.result().lane == "a"

    run(test())


def test_work_waits_for_its_lane_when_its_own_is_there_beside_others() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b", places=2)
        route = lanes.route("a")
        await lanes.enter(lanes.route("a"))
        await lanes.enter(route)
        assert not (await lanes.enter_later(route)).done()

    run(test())


def test_work_moves_to_an_idle_lane_when_others_hold_its_own() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        await lanes.enter(lanes.route("a"))
        assert (await lanes.enter(lanes.route("a"))).lane == "b"

    run(test())


def test_work_that_moved_belongs_where_it_is() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        route = lanes.route("a")
        other = await lanes.enter(lanes.route("a"))
        await lanes.leave(await lanes.enter(route))
        await lanes.leave(other)
        assert (await lanes.enter(route)).lane == "b"

    run(test())


def test_work_waits_when_no_lane_is_idle() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        held = [await lanes.enter(lanes.route(name)) for name in "ab"]
        waiting = await lanes.enter_later(lanes.route("a"))
        assert not waiting.done()
        await lanes.leave(held[1])
        assert waiting.result().lane == "b"

    run(test())


def test_lane_goes_to_those_who_belong_there_when_others_came_before() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        held = [await lanes.enter(lanes.route(name)) for name in "ab"]
        stranger = await lanes.enter_later(lanes.route("a"))
        resident = await lanes.enter_later(lanes.route("b"))
        await lanes.leave(held[1])
        assert (stranger.done(), resident.done()) == (False, True)

    run(test())


def test_work_stays_in_its_lane_when_it_gives_way_to_nobody() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        turn = await lanes.enter(lanes.route("b"))
        await turn.give_way()
        assert turn.lane == "b"

    run(test())


def test_work_gives_way_to_those_of_its_lane_only() -> None:
    """Who waits for another lane would not be let in."""

    async def test() -> None:
        lanes = Lanes("a", "b")
        first = lanes.turn(lanes.route("b"))  # it came before the one that gives way
        turn = await lanes.enter(lanes.route("a"))
        route = lanes.route("b")
        await lanes.enter(route)
        waiting = asyncio.create_task(first.__aenter__())
        await settle()
        await asyncio.wait_for(turn.give_way(), 1)
        assert (turn.lane, waiting.done()) == ("a", False)

    run(test())


def test_waiting_work_moves_when_its_lane_vanishes() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        route = lanes.route("a")
        await lanes.enter(route)
        waiting = await lanes.enter_later(route)
        other = await lanes.enter(lanes.route("b"))
        await lanes.become("b")
        assert not waiting.done()
        await lanes.leave(other)
        assert waiting.result().lane == "b"

    run(test())


def test_waiting_work_is_let_in_when_a_lane_comes() -> None:
    async def test() -> None:
        lanes = Lanes("a")
        await lanes.enter(lanes.route())
        waiting = await lanes.enter_later(lanes.route())
        await lanes.become("a", "b")
        assert waiting.result().lane == "b"

    run(test())


def test_work_is_refused_when_no_lane_is_there() -> None:
    async def test() -> None:
        lanes = Lanes()
        with pytest.raises(UnavailableError):
            await lanes.enter(lanes.route("a"))

    run(test())


def test_waiting_work_is_refused_when_no_lane_is_left() -> None:
    async def test() -> None:
        lanes = Lanes("a")
        await lanes.enter(lanes.route())
        waiting = [await lanes.enter_later(lanes.route()) for _ in range(2)]
        await lanes.become()
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
        assert [type(error) for error in found] == [UnavailableError] * 2

    run(test())


def test_work_of_other_lanes_goes_on_waiting_when_some_have_none_left() -> None:
    async def test() -> None:
        lanes = Lanes("a")
        held = await lanes.enter(lanes.route())
        waiting = await lanes.enter_later(lanes.route())
        without = await lanes.enter_later(Route(list))
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(without, 1)
        assert not waiting.done()
        await lanes.leave(held)
        assert waiting.done()

    run(test())


def test_gate_is_free_when_lanes_come_back() -> None:
    async def test() -> None:
        lanes = Lanes("a")
        held = await lanes.enter(lanes.route())
        waiting = await lanes.enter_later(lanes.route())
        await lanes.become()
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(waiting, 1)
        await lanes.leave(held)
        await lanes.become("a")
        assert (await lanes.enter(lanes.route())).lane == "a"

    run(test())


def test_work_waits_for_a_lane_that_comes_back_in_time() -> None:
    async def test() -> None:
        lanes = Lanes(patience_s=60)
        waiting = await lanes.enter_later(lanes.route())
        lanes.lanes = ["a"]  # nobody tells the gate
        assert (await asyncio.wait_for(waiting, 1)).lane == "a"

    run(test())


def test_size_class_owes_nothing_in_one_lane_for_what_it_spent_in_another() -> None:
    async def test() -> None:
        lanes, worked = Lanes("a", "b"), Counter[str]()

        async def work(name: str, route: Route, work_s: float) -> None:
            while sum(worked.values()) < 200:
                async with lanes.turn(route, work_s=work_s):
                    worked[name] += 1
                    await asyncio.sleep(0)

        held = await lanes.enter(lanes.route("a"))
        callers = [("alone", lanes.route("b"), 1e3), ("long", lanes.route("a"), 1e3), ("short", lanes.route("a"), 1.0)]
        tasks = [asyncio.create_task(work(*caller)) for caller in callers for _ in range(2)]
        await settle()
        await lanes.leave(held)
        await asyncio.gather(*tasks)
        assert worked["long"] > 10

    run(test())


def test_work_goes_on_in_another_lane_when_its_own_has_vanished() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        turn = await lanes.enter(lanes.route("a"))
        await lanes.become("b")
        await turn.give_way()
        assert turn.lane == "b"

    run(test())


def test_work_waits_for_a_place_when_its_own_lane_has_vanished_and_the_others_are_full() -> None:
    async def test() -> None:
        lanes = Lanes("a", "b")
        turn, other = await lanes.enter(lanes.route("a")), await lanes.enter(lanes.route("b"))
        await lanes.become("b")
        waiting = asyncio.create_task(turn.give_way())
        await settle()
        assert not waiting.done()
        await lanes.leave(other)
        await asyncio.wait_for(waiting, 1)

    run(test())


def test_work_is_refused_when_it_gives_way_and_no_lane_is_left() -> None:
    async def test() -> None:
        lanes = Lanes("a")
        turn = await lanes.enter(lanes.route())
        await lanes.become()
        with pytest.raises(UnavailableError):
            await turn.give_way()
        await lanes.leave(turn)
        await lanes.become("a")
        await lanes.enter(lanes.route())

    run(test())


STEPS = st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel", "lanes"]), st.integers(0, 99)), max_size=40)


@dataclass(frozen=True)
class State:
    """A gate between two steps."""

    fullest: int
    """Most places that are taken in a lane."""
    idle: int
    """Those that wait though their own lane, or for want of one any lane, has a free place."""


def states(steps: list[tuple[str, int]], places: int) -> list[State]:
    """A gate after each step, where nobody is left in the end."""
    found = []

    async def test() -> None:
        lanes = Lanes("a", "b", "c", places=places)
        routes = [lanes.route() for _ in range(3)]
        tasks: list[asyncio.Task[Turn]] = []
        for step, number in steps:
            inside = [task for task in tasks if task.done() and not task.cancelled() and not task.exception()]
            if step == "enter":
                tasks.append(await lanes.enter_later(routes[number % 3]))
            elif step == "lanes":
                await lanes.become(*[name for bit, name in enumerate("abc") if number >> bit & 1])
            elif step == "leave" and inside:
                task = inside[number % len(inside)]
                tasks.remove(task)
                await lanes.leave(task.result())
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
                await settle()
            found.append(state(lanes.gate, places))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(test())
    return found


def state(gate: FairGate, places: int) -> State:
    busy = Counter(waiter.lane for waiter in gate._inside)
    waiting = gate._present()
    idle = [waiter for waiter in waiting if any(busy[lane] < places for lane in waiter.route.open)]
    return State(max(busy.values(), default=0), len(idle))


@given(STEPS, st.integers(1, 2))
@settings(deadline=None)
def test_lanes_hold_no_more_than_their_places_whatever_happens(steps: list[tuple[str, int]], places: int) -> None:
    assert max((found.fullest for found in states(steps, places)), default=0) <= places


@given(STEPS, st.integers(1, 2))
@settings(deadline=None)
def test_nobody_waits_for_a_lane_with_a_free_place_whatever_happens(steps: list[tuple[str, int]], places: int) -> None:
    assert [found for found in states(steps, places) if found.idle] == []
