"""Decoded images in a bounded part of the memory, shared by the threads that cut crops from them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

import numpy as np
from jaxtyping import UInt8

Decode = Callable[[], UInt8[np.ndarray, "h w 3"]]


class DecodedImages:
    """Images by number, those kept that were used last; each is decoded by one thread for all that wait for it.

    Args:
        limit_bytes: of all that are kept. Images that threads still cut from come on top, one for each at most.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._lock = limit_bytes, Lock()
        self._kept: dict[int, tuple[int, Future[UInt8[np.ndarray, "h w 3"]]]] = {}

    def get(self, number: int, size_bytes: int, decode: Decode) -> UInt8[np.ndarray, "h w 3"]:
        """An image, decoded if it is not there.

        Args:
            number: of the image.
            size_bytes: that it takes.
            decode: makes it; what that raises, all who wait for the image meet, and the next caller tries again.
        """
        with self._lock:
            found = self._kept.pop(number, None)
            entry = found or (size_bytes, Future())
            self._make_room(size_bytes)
            self._kept[number] = entry
        image = entry[1]
        if found is None:
            try:
                image.set_result(decode())
            except BaseException as error:  # noqa: BLE001 - handed to every waiting thread, this one included
                with self._lock:
                    self._kept.pop(number, None)
                image.set_exception(error)
        return image.result()

    def _make_room(self, size_bytes: int) -> None:
        taken = sum(size for size, _ in self._kept.values())
        while self._kept and taken + size_bytes > self._limit_bytes:
            taken -= self._kept.pop(next(iter(self._kept)))[0]
