"""A bounded memory of windows, so that neighbouring tiles do not pay for their seams twice."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from jaxtyping import Shaped

LASTING_SHARE = 0.75
"""Share of the cache up to which windows for the next row of tiles outlast the others."""


class WindowCache:
    """Windows up to `capacity_bytes` of pixels; not shared between threads.

    Those that the next row of tiles will need are dropped last, so that a row of windows has to fit where tiles come
    row by row, not a row of tiles. Of the others the least recently used one is dropped first.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._passing, self._lasting = _Windows(), _Windows()

    def get(self, key: bytes, *, for_good: bool = False) -> Shaped[np.ndarray, "p p 3"] | None:
        """The window of that key.

        Args:
            key: of all that decides the window.
            for_good: whether no tile is expected to need it after this one.
        """
        window = self._lasting.windows.get(key)
        if window is not None and for_good:
            self._passing.add(key, self._lasting.take(key))
        elif window is None and (window := self._passing.windows.get(key)) is not None:
            self._passing.windows.move_to_end(key)
        return window

    def put(self, key: bytes, window: Shaped[np.ndarray, "p p 3"], *, lasting: bool = False) -> None:
        """Keep a window of a key that is not there yet, dropping others as needed.

        Args:
            key: of all that decides the window.
            window: its samples.
            lasting: whether the next row of tiles will need it.
        """
        (self._lasting if lasting else self._passing).add(key, window)
        while self._passing.size_bytes + self._lasting.size_bytes > self._capacity_bytes:
            too_many = self._lasting.size_bytes > LASTING_SHARE * self._capacity_bytes
            (self._lasting if too_many or not self._passing.windows else self._passing).drop()


class _Windows:
    """Windows from the oldest to the newest, and their size."""

    def __init__(self) -> None:
        self.windows: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self.size_bytes = 0

    def add(self, key: bytes, window: np.ndarray) -> None:
        self.windows[key] = window
        self.size_bytes += window.nbytes

    def take(self, key: bytes) -> np.ndarray:
        window = self.windows.pop(key)
        self.size_bytes -= window.nbytes
        return window

    def drop(self) -> None:
        self.take(next(iter(self.windows)))
