"""Pauses that grow while something keeps failing."""

from __future__ import annotations


class Backoff:
    """Pauses from a first one on, each twice as long as the one before, up to a longest.

    Args:
        first_s: the first pause, in seconds.
        longest_s: the longest, in seconds.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to pause now, in seconds."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next_s = self._first_s
