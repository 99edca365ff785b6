"""Runs that take turns, so that what slows the machine for a while slows all that are compared."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Rounds:
    """How often something is timed: until `budget_s` is over, but no fewer and no more rounds than these."""

    least: int = 2
    most: int = 7
    budget_s: float = 20.0


def seconds(work: Work) -> float:
    """How long something takes."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(prepare: Mapping[str, Callable[[int], Work]], rounds: Rounds) -> dict[str, list[float]]:
    """The seconds of each contender in rounds of all of them; every second round runs backwards.

    Args:
        prepare: by name; given the number of a run, what is to be timed. What it does before it returns is not timed.
        rounds: how many; a further one is begun only if it is expected to fit into the budget.
    """
    taken: dict[str, list[float]] = {name: [] for name in prepare}
    order, began, run = list(prepare), time.perf_counter(), 0
    for done in range(rounds.most):
        spent = time.perf_counter() - began
        if done >= rounds.least and spent * (done + 1) / done > rounds.budget_s:
            break
        for name in order:
            taken[name].append(seconds(prepare[name](run)))
            run += 1
        order.reverse()
    return taken


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile and the longest; a percentile of few values is the longest."""
    ordered = sorted(values)
    places = {"p50_s": 0.50, "p95_s": 0.95, "p99_s": 0.99}
    return {
        **{name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in places.items()},
        "max_s": ordered[-1],
    }


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(values))
