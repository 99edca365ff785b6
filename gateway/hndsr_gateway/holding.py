"""How many of something there may be, in all and of each owner."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from hndsr_gateway.errors import OverloadedError

RETRY_DELAY_S = 5.0


class Holding:
    """Counts what is held, and refuses more.

    Args:
        what: it is, in the plural, for messages.
        most: in all.
        of_one: of one owner.
    """

    def __init__(self, what: str, *, most: int, of_one: int) -> None:
        self._what, self._most, self._of_one = what, most, of_one
        self._held: Counter[str] = Counter()

    @contextlib.contextmanager
    def one_more(self, owner: str) -> Iterator[None]:
        """Count one while it lasts.

        Raises:
            OverloadedError: if there are as many as there may be.
        """
        self.check(owner)
        self.take(owner)
        try:
            yield
        finally:
            self.release(owner)

    def check(self, owner: str) -> None:
        """Refuse another one of an owner who has as many as he may, or where there are too many.

        Raises:
            OverloadedError: saying how many there are.
        """
        if (count := self._held[owner]) >= self._of_one:
            raise OverloadedError(f"{count} {self._what} of one caller, the most at once", retry_delay_s=RETRY_DELAY_S)
        if (count := sum(self._held.values())) >= self._most:
            raise OverloadedError(f"{count} {self._what}, the most at once", retry_delay_s=RETRY_DELAY_S)

    def take(self, owner: str) -> None:
        """Count one."""
        self._held[owner] += 1

    def release(self, owner: str) -> None:
        """Count one less."""
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
