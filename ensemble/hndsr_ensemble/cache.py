"""A bounded memory of windows, so that neighbouring tiles do not pay for their seams twice."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from jaxtyping import Shaped


class WindowCache:
    """Least recently used windows up to `capacity_bytes` of pixels; not shared between threads."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._size_bytes = 0
        self._windows: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def get(self, key: bytes) -> Shaped[np.ndarray, "p p 3"] | None:
        """The window of that key, which becomes the most recent one."""
        window = self._windows.get(key)
        if window is not None:
            self._windows.move_to_end(key)
        return window

    def put(self, key: bytes, window: Shaped[np.ndarray, "p p 3"]) -> None:
        """Keep a window of a key that is not there yet, dropping the oldest ones as needed."""
        self._windows[key] = window
        self._size_bytes += window.nbytes
        while self._size_bytes > self._capacity_bytes:
            _, dropped = self._windows.popitem(last=False)
            self._size_bytes -= dropped.nbytes
