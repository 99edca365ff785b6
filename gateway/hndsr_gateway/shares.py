"""How those who want the same share it: priorities first, then the callers of each, then the sizes of their work."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass

from hndsr_gateway.types import Priority

BATCH_WEIGHT = 8.0
"""How much larger the share of interactive work is than that of batch work."""
CLASS_WEIGHT = 1.25
"""How much larger the share of a size class is than that of the next larger one."""
MOST_ABSENT = 1024
"""How many callers that have gone may be remembered, for what they had before others."""

Path = tuple[Priority, str, int]
"""Whose work it is: priority, caller, size class."""


class Shares:
    """What was spent by whom, as a tree of levels: priorities, callers of one priority, size classes of one caller.

    On each level those who are there share by the work that they bring in; who has been away starts where those that
    are there stand, and among callers that stand equal the first comes first.

    Source: hierarchical start-time fair queueing, Goyal et al. 1996.
    """

    def __init__(self) -> None:
        self._levels: dict[tuple[Hashable, ...], _Level] = {}
        """By the path to them; levels that nobody is on are forgotten."""

    def charge(self, path: Path, cost_s: float) -> None:
        """Count work that begins."""
        for depth, (key, weight) in enumerate(zip(path, _weights(path), strict=True)):
            self._levels.setdefault(path[:depth], _Level()).charge(key, cost_s * weight)

    def catch_up(self, path: Path, present: Collection[Path]) -> None:
        """Let a newcomer start where those that are there stand, on each level where it is not there itself."""
        peopled = {other[:depth] for other in present for depth in range(len(other))}
        self._levels = {place: level for place, level in self._levels.items() if place in peopled}
        for depth, key in enumerate(path):
            beside = {other[depth] for other in present if other[:depth] == path[:depth]}
            self._levels.setdefault(path[:depth], _Level()).catch_up(key, beside)

    def order(self, path: Path) -> tuple[float, ...]:
        """Who has the least of it comes first."""
        priorities, callers, classes = (self._levels.get(path[:depth]) or _Level() for depth in range(3))
        priority, caller, size_class = path
        return (
            *(priorities.spent_s(priority), priority),
            *(callers.spent_s(caller), callers.joined(caller)),
            *(classes.spent_s(size_class), size_class),
        )


@dataclass(slots=True)
class _Flow:
    spent_s: float
    joined: int
    """The number of its coming: by it those that stand equal are told apart."""


class _Level:
    """What those on one level have spent."""

    def __init__(self) -> None:
        self._flows: dict[Hashable, _Flow] = {}
        self._virtual_s = 0.0
        """What somebody has spent who has always been there."""
        self._numbers = itertools.count()

    def spent_s(self, key: Hashable) -> float:
        return self._flows[key].spent_s if key in self._flows else self._virtual_s

    def joined(self, key: Hashable) -> int:
        return self._flows[key].joined if key in self._flows else 0

    def charge(self, key: Hashable, cost_s: float) -> None:
        start_s = self.spent_s(key)
        self._virtual_s = max(self._virtual_s, start_s)
        self._flows[key] = _Flow(start_s + cost_s, self.joined(key))

    def catch_up(self, key: Hashable, present: Collection[Hashable]) -> None:
        if key not in present:
            self._flows[key] = _Flow(max(self.spent_s(key), self._virtual_s), next(self._numbers))
        self._forget({key, *present})

    def _forget(self, present: set[Hashable]) -> None:
        """Forget those that have gone: all that owe nothing, and of too many the others, too."""
        owing = {key: flow for key, flow in self._flows.items() if key in present or flow.spent_s > self._virtual_s}
        if len(owing) > len(present) + MOST_ABSENT:
            owing = {key: flow for key, flow in owing.items() if key in present}
        self._flows = owing


def work_before_s(path: Path, own_s: float, others: Iterable[tuple[Path, float]]) -> float:
    """About how much of others' work is done before a newcomer's own is, in seconds.

    All that came before it on its own path is; of what lies beside that on each level, no more than the share that it
    has meanwhile.

    Args:
        path: of the newcomer.
        own_s: its work.
        others: paths and work of those who are there.
    """
    beside: list[defaultdict[Hashable, float]] = [defaultdict(float) for _ in path]
    total_s, weights = own_s, dict[tuple[int, Hashable], float]()
    for other, work_s in others:
        depth = next((depth for depth in range(len(path)) if other[depth] != path[depth]), None)
        if depth is None:
            total_s += work_s
        else:
            beside[depth][other[depth]] += work_s
            weights[depth, other[depth]] = _weights(other)[depth]
    for depth in reversed(range(len(path))):
        own_weight = _weights(path)[depth]
        shares = {key: own_weight / weights[depth, key] for key in beside[depth]}
        total_s += sum(min(work_s, total_s * shares[key]) for key, work_s in beside[depth].items())
    return total_s - own_s


def _weights(path: Path) -> tuple[float, float, float]:
    """By how much a second of work counts on each level: the more, the smaller the share."""
    priority, _, size_class = path
    return BATCH_WEIGHT if priority is Priority.BATCH else 1.0, 1.0, CLASS_WEIGHT**size_class
