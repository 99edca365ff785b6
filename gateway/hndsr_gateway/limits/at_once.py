"""Calls and streams of one caller at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from enum import Enum

from hndsr_gateway.caller import Caller
from hndsr_gateway.limits.refusals import CALLS, STREAMS, counted, refusal

RETRY_DELAY_S = 1.0
"""When to try again where nobody knows when one of those that are under way ends."""


class Kind(str, Enum):
    """What is let in."""

    CALL = CALLS
    STREAM = STREAMS


class AtOnce:
    """How many of each kind every caller has under way in this process."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Kind]] = Counter()

    @contextlib.contextmanager
    def one_more(self, caller: Caller, kind: Kind, limit: int) -> Iterator[None]:
        """Count one while it lasts; a limit of 0 is none.

        Raises:
            QuotaExceededError: if as many are under way.
        """
        place = (caller.id, kind)
        if limit and self._counts[place] >= limit:
            quota = f"{counted(limit, kind.value)} at once"
            raise refusal(kind.value, subject=caller.name, quota=quota, left=0, retry_delay_s=RETRY_DELAY_S)
        self._counts[place] += 1
        try:
            yield
        finally:
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]
