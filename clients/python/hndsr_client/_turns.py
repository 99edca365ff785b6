"""Files of a batch that wait for each other, where the caller may have fewer calls at once than are made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hndsr_client._core.quota import is_of_calls_at_once
from hndsr_client.errors import OverloadedError

ResultT = TypeVar("ResultT")


class Turns:
    """What is refused for the sake of others of the batch is tried again when one of them has ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active = self._ended = 0

    def take(self, call: Callable[[], ResultT]) -> ResultT:
        """Call, and again as long as others of the batch are what is in the way.

        Raises:
            HndsrError: As the call says.
        """
        with self._changed:
            self._active += 1
        try:
            while True:
                ended = self._ended
                try:
                    return call()
                except OverloadedError as error:
                    if not is_of_calls_at_once(error) or not self._another_ends(ended):
                        raise
        finally:
            with self._changed:
                self._active -= 1
                self._ended += 1
                self._changed.notify_all()

    def _another_ends(self, ended: int) -> bool:
        """Wait for it; False if all that are left wait as well, so that others have what this caller may."""
        with self._changed:
            self._active -= 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._ended != ended or not self._active)
                return self._ended != ended
            finally:
                self._active += 1


class AsyncTurns:
    """The same for tasks."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._active = self._ended = 0

    async def take(self, call: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Await what is called, as `Turns.take` does.

        Raises:
            HndsrError: As the call says.
        """
        self._active += 1
        try:
            while True:
                ended = self._ended
                try:
                    return await call()
                except OverloadedError as error:
                    if not is_of_calls_at_once(error) or not await self._another_ends(ended):
                        raise
        finally:
            self._active -= 1
            self._ended += 1
            self._notify()

    async def _another_ends(self, ended: int) -> bool:
        self._active -= 1
        self._notify()
        try:
            while self._ended == ended and self._active:
                await self._changed.wait()
            return self._ended != ended
        finally:
            self._active += 1

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
