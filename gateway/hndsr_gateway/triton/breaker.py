"""What keeps an endpoint that fails from being asked in vain: a circuit breaker, and a budget for moving tiles."""

from __future__ import annotations

import time
from collections.abc import Callable

from hndsr_gateway.triton.backoff import Backoff

MOST_FAILURES = 3
"""Failures in a row that open a breaker."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""How long it stays open: at first, which doubles with each trial that fails, and at most."""

MOVES_PER_TILE, MOVES_AT_ONCE = 0.1, 10.0
"""Moves that a budget earns with each tile, and how many it can hold."""


class Breaker:
    """Closed while work succeeds; open for a pause after failures in a row; then one piece of work is the trial.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._failures = 0
        self._open_until_s: float | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing speaks against work; else a trial has to succeed first."""
        return self._open_until_s is None

    @property
    def left_s(self) -> float:
        """How long it lets nothing through, in seconds; 0: not at all."""
        return 0.0 if self._open_until_s is None else max(0.0, self._open_until_s - self._clock())

    def succeeded(self) -> None:
        """Count work that succeeded."""
        self._failures, self._open_until_s = 0, None
        self._backoff.reset()

    def failed(self) -> bool:
        """Count work that failed; whether that opened it. What was begun before it opened says nothing new."""
        self._failures += 1
        if self.left_s or (self.closed and self._failures < MOST_FAILURES):
            return False
        self._open_until_s = self._clock() + self._backoff.next_s()
        return True


class MoveBudget:
    """Moves to other endpoints that may still be made: a share of all tiles, so that load never doubles."""

    def __init__(self) -> None:
        self._moves = MOVES_AT_ONCE

    def earn(self) -> None:
        """Count a tile."""
        self._moves = min(MOVES_AT_ONCE, self._moves + MOVES_PER_TILE)

    def take(self) -> bool:
        """Whether one more may be made; if so, it is counted."""
        allowed = self._moves >= 1
        self._moves -= allowed
        return allowed
