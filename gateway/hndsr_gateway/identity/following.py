"""Files that are read again when they changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from hndsr_gateway.errors import StartupError
from hndsr_gateway.identity.errors import UnusableFileError

logger = logging.getLogger(__name__)

ContentT = TypeVar("ContentT")

State = tuple[tuple[int, int, int] | None, ...]
"""Of each file, when it was written, which it is and how long; None: it is not there."""


class Followed(Generic[ContentT]):
    """What files hold. A change that cannot be used leaves in force what was read before, and is logged once.

    Any thread may ask.

    Args:
        paths: the files.
        read: reads them.
        every_s: how long they are not looked at again, in seconds.

    Raises:
        StartupError: what `read` raises the first time.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], ContentT], *, every_s: float = 1.0) -> None:
        self._paths, self._read, self._every_s = tuple(paths), read, every_s
        self._lock = threading.Lock()
        self._looked_s = time.monotonic()
        self._used = self._complained = _state(self._paths)
        self._content = read()

    def content(self) -> ContentT:
        """What they hold now, as far as it can be used."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._looked_s >= self._every_s:
                self._looked_s = now_s
                self._look()
            return self._content

    def _look(self) -> None:
        found = _state(self._paths)
        if found == self._used:
            return
        names = ", ".join(map(str, self._paths))
        try:
            content = self._read()
        except StartupError as error:
            if found != self._complained:
                logger.error("%s changed and cannot be used, what was read before stays: %s", names, error)  # noqa: TRY400 - its message is whole
            self._complained = found
            return
        if _state(self._paths) == found:  # else it is still being written
            self._used, self._content = found, content
            logger.info("read %s again", names)


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UnusableFileError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableFileError(path=path, problem=f"cannot be read: {error.strerror or error}") from error


def _state(paths: Sequence[Path]) -> State:
    return tuple(_state_of(path) for path in paths)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
