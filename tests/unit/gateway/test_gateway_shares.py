"""Who is next by what was spent: priorities, callers, size classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hndsr_gateway.shares import BATCH_WEIGHT, CLASS_WEIGHT, MOST_ABSENT, Path, Shares, work_before_s
from hndsr_gateway.types import Priority

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH


class SizeClasses:
    """Start-time fair queueing of size classes alone, from its definition."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[int, float] = defaultdict(float)
        self.virtual_s = 0.0

    def charge(self, path: Path, cost_s: float) -> None:
        """Count work that begins."""
        self.virtual_s = max(self.virtual_s, self.spent_s[path[2]])
        self.spent_s[path[2]] += cost_s * CLASS_WEIGHT ** path[2]

    def catch_up(self, path: Path, present: Collection[Path]) -> None:
        """Let a class start where the others stand."""
        classes = {other[2] for other in present}
        if not classes:
            self.virtual_s = max(self.spent_s.values(), default=0.0)
        if path[2] not in classes:
            self.spent_s[path[2]] = max(self.spent_s[path[2]], self.virtual_s)

    def order(self, path: Path) -> tuple[float, ...]:
        """Who has the least of it comes first."""
        return self.spent_s[path[2]], path[2]


def served(shares: Shares | SizeClasses, steps: list[Path | None]) -> list[Path]:
    """Who is let in, one after the other: each step is somebody who comes, or a turn; those left go at the end."""
    waiting, order = list[Path](), list[Path]()
    for step in [*steps, *[None] * len(steps)]:
        if step is not None:
            shares.catch_up(step, set(waiting))
            waiting.append(step)
        elif waiting:
            order.append(min(waiting, key=shares.order))
            shares.charge(order[-1], float(2 ** order[-1][2]))
            waiting.remove(order[-1])
    return order


def turns(*paths: Path, count: int) -> list[Path]:
    """The first turns, of a second each, of those who always want the next one."""
    shares, order = Shares(), list[Path]()
    for path in paths:
        shares.catch_up(path, paths)
    for _ in range(count):
        order.append(min(paths, key=shares.order))
        shares.charge(order[-1], 1.0)
    return order


@given(st.lists(st.one_of(st.none(), st.integers(-2, 4).map(lambda size: (INTERACTIVE, "", size))), max_size=40))
def test_shares_are_those_of_size_classes_when_there_is_one_caller(steps: list[Path | None]) -> None:
    assert served(Shares(), steps) == served(SizeClasses(), steps)


def test_callers_take_turns() -> None:
    order = turns((INTERACTIVE, "a", 0), (INTERACTIVE, "b", 0), count=10)
    assert [caller for _, caller, _ in order] == ["a", "b"] * 5


def test_caller_gets_no_larger_share_by_work_of_several_sizes() -> None:
    order = turns(*[(INTERACTIVE, "a", size) for size in range(5)], (INTERACTIVE, "b", 0), count=20)
    assert sum(caller == "a" for _, caller, _ in order) == 10


@pytest.mark.parametrize("callers", [("a", "a"), ("a", "b"), ("b", "a")])
def test_interactive_work_has_the_larger_share_whoever_it_is_of(callers: tuple[str, str]) -> None:
    order = turns((INTERACTIVE, callers[0], 0), (BATCH, callers[1], 0), count=90)
    assert sum(priority is INTERACTIVE for priority, *_ in order) == 90 * BATCH_WEIGHT / (BATCH_WEIGHT + 1)


def test_priority_saves_nothing_up_while_it_is_away() -> None:
    shares, batch, interactive = Shares(), (BATCH, "a", 0), (INTERACTIVE, "b", 0)
    shares.catch_up(interactive, [])
    for _ in range(100):
        shares.catch_up(batch, [])
        shares.charge(batch, 1.0)
    shares.catch_up(interactive, [batch])
    order = []
    for _ in range(2 * int(BATCH_WEIGHT) + 4):
        order.append(min([batch, interactive], key=shares.order))
        shares.charge(order[-1], 1.0)
    assert order.count(batch) == 2


def test_caller_that_comes_again_has_what_it_had_counted() -> None:
    shares, first, other = Shares(), (INTERACTIVE, "a", 0), (INTERACTIVE, "b", 0)
    shares.catch_up(first, [])
    shares.catch_up(other, [first])
    shares.charge(first, 10.0)
    shares.catch_up(first, [other])
    assert min([first, other], key=shares.order) == other


def test_first_of_callers_that_stand_equal_comes_first() -> None:
    shares, present = Shares(), [(INTERACTIVE, caller, 0) for caller in "zxya"]
    for number, path in enumerate(present):
        shares.catch_up(path, present[:number])
    assert sorted(present, key=shares.order) == present


def test_callers_that_left_are_forgotten() -> None:
    shares, present = Shares(), (INTERACTIVE, "always there", 0)
    shares.catch_up(present, [])
    for number in range(3 * MOST_ABSENT):
        passing = (INTERACTIVE, str(number), 0)
        shares.catch_up(passing, [present])
        shares.charge(passing, 1.0)
    flows = sum(len(level._flows) for level in shares._levels.values())
    assert flows <= MOST_ABSENT + 10
    assert len(shares._levels) <= 4


def test_work_before_is_all_that_came_before_on_the_same_path() -> None:
    mine = (INTERACTIVE, "a", 0)
    assert work_before_s(mine, 1.0, [(mine, 2.0), (mine, 3.0)]) == 5.0


def test_work_before_is_no_more_of_another_callers_than_of_ones_own() -> None:
    others = [((INTERACTIVE, "b", size), 100.0) for size in range(3)]
    assert work_before_s((INTERACTIVE, "a", 0), 1.0, others) == 1.0


def test_work_before_is_no_more_than_there_is() -> None:
    assert work_before_s((INTERACTIVE, "a", 0), 10.0, [((INTERACTIVE, "b", 0), 0.5)]) == 0.5


def test_work_before_counts_each_priority_by_its_share() -> None:
    interactive, batch = (INTERACTIVE, "a", 0), (BATCH, "b", 0)
    assert work_before_s(interactive, 1.0, [(batch, 1e6)]) == 1.0 / BATCH_WEIGHT
    assert work_before_s(batch, 1.0, [(interactive, 1e6)]) == BATCH_WEIGHT


def test_work_before_counts_each_size_class_by_its_share() -> None:
    small, large = (INTERACTIVE, "a", 0), (INTERACTIVE, "a", 2)
    assert work_before_s(small, 1.0, [(large, 1e6)]) == pytest.approx(CLASS_WEIGHT**-2)
