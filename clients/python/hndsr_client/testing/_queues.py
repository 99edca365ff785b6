"""What tests ask of calls to come."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

ItemT = TypeVar("ItemT")


def taken(queue: deque[ItemT]) -> ItemT | None:
    """What comes next, each to one of the threads; None where nothing does."""
    try:
        return queue.popleft()
    except IndexError:
        return None
