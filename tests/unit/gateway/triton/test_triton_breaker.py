"""When an endpoint gets no work for a while, when it gets some again, and how many tiles may move."""

from __future__ import annotations

import pytest
from clock import Clock

from hndsr_gateway.triton.backoff import Backoff
from hndsr_gateway.triton.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, MOST_FAILURES, Breaker, MoveBudget

AT_ONCE = 10


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> Breaker:
    """One that has opened just now."""
    breaker = Breaker(clock)
    for _ in range(MOST_FAILURES):
        breaker.failed()
    return breaker


def test_backoff_doubles_up_to_the_longest() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_backoff_begins_anew_after_a_reset() -> None:
    backoff = Backoff(1.0, 5.0)
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_breaker_opens_with_the_last_of_several_failures_in_a_row(clock: Clock) -> None:
    breaker = Breaker(clock)
    assert [breaker.failed() for _ in range(MOST_FAILURES)] == [False] * (MOST_FAILURES - 1) + [True]


def test_breaker_stays_closed_while_some_succeed(clock: Clock) -> None:
    breaker = Breaker(clock)
    for _ in range(MOST_FAILURES):
        breaker.failed()
        breaker.succeeded()
    assert (breaker.closed, breaker.left_s) == (True, 0.0)


def test_breaker_counts_down_while_it_is_open(clock: Clock, opened: Breaker) -> None:
    clock.now_s = FIRST_PAUSE_S / 4
    assert (opened.closed, opened.left_s) == (False, FIRST_PAUSE_S * 3 / 4)


def test_breaker_wants_a_trial_after_its_pause(clock: Clock, opened: Breaker) -> None:
    clock.now_s = FIRST_PAUSE_S
    assert (opened.closed, opened.left_s) == (False, 0.0)


def test_breaker_closes_when_its_trial_succeeds(clock: Clock, opened: Breaker) -> None:
    clock.now_s = FIRST_PAUSE_S
    opened.succeeded()
    assert opened.closed


def test_breaker_rests_longer_with_each_trial_that_fails(clock: Clock, opened: Breaker) -> None:
    pauses_s = [opened.left_s]
    for _ in range(6):
        clock.now_s += opened.left_s
        opened.failed()
        pauses_s.append(opened.left_s)
    assert pauses_s == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_breaker_does_not_count_what_fails_while_it_is_open(clock: Clock, opened: Breaker) -> None:
    clock.now_s = FIRST_PAUSE_S / 2
    opened.failed()
    assert opened.left_s == FIRST_PAUSE_S / 2


def test_breaker_needs_several_failures_again_once_it_has_closed(clock: Clock, opened: Breaker) -> None:
    clock.now_s = FIRST_PAUSE_S
    opened.succeeded()
    assert not opened.failed()


def test_budget_allows_some_moves_at_once() -> None:
    budget = MoveBudget()
    assert [budget.take() for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]


def test_budget_allows_one_more_for_every_ten_tiles() -> None:
    budget = MoveBudget()
    for _ in range(AT_ONCE):
        budget.take()
    moves = 0
    for _ in range(100):
        budget.earn()
        moves += budget.take()
    assert moves in {9, 10}


def test_budget_holds_no_more_than_some_moves() -> None:
    budget = MoveBudget()
    for _ in range(1000):
        budget.earn()
    assert sum(budget.take() for _ in range(100)) == AT_ONCE
