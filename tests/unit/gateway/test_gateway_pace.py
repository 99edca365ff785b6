"""What is learnt of how long work takes."""

from __future__ import annotations

from hndsr_gateway.pace import LEAST, MOST, Kind, Paces

SMALL, LARGE = ("hndsr", 0), ("hndsr", 3)


def learnt(*ratios: float, kind: Kind = SMALL) -> Paces:
    """After work that took so many times what was estimated."""
    paces = Paces()
    for ratio in ratios:
        paces.learn(kind, real_s=2.0 * ratio, estimated_s=2.0)
    return paces


def test_pace_is_the_estimates_at_first() -> None:
    assert Paces().usual(SMALL) == 1.0


def test_pace_is_learnt_at_once() -> None:
    assert learnt(3.0).usual(SMALL) == 3.0


def test_pace_follows_what_takes_longer() -> None:
    assert 2.9 < learnt(*[1.0] * 10, *[3.0] * 30).usual(SMALL) <= 3.0


def test_pace_is_learnt_for_each_kind() -> None:
    assert learnt(3.0).usual(LARGE) == 1.0


def test_pace_is_within_bounds() -> None:
    assert (learnt(1e6).usual(SMALL), learnt(1e-6).usual(SMALL)) == (MOST, LEAST)


def test_cautious_pace_is_near_the_usual_one_when_all_take_the_same() -> None:
    assert 2.0 <= learnt(*[2.0] * 30).cautious(SMALL) < 2.01


def test_cautious_pace_is_longer_than_most_when_times_differ() -> None:
    assert learnt(*[1.0, 1.0, 1.0, 2.0] * 20).cautious(SMALL) > 1.6


def test_pace_takes_work_that_was_cut_off_to_heart_when_it_took_longer() -> None:
    paces = learnt(1.0)
    for _ in range(30):
        paces.learn_at_least(SMALL, real_s=5.0, estimated_s=1.0)
    assert paces.usual(SMALL) > 4.0


def test_pace_learns_nothing_of_work_that_was_cut_off_early() -> None:
    paces = learnt(1.0)
    paces.learn_at_least(SMALL, real_s=0.5, estimated_s=1.0)
    assert paces.usual(SMALL) == 1.0
