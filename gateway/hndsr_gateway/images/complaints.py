"""What a worker writes to its standard error: into the gateway's log, but no flood of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque

from hndsr_gateway.images.exchange import printable

logger = logging.getLogger("hndsr_gateway.images")

LINES_PER_JOB = 100
LAST_LINES = 20
LONGEST_LINE_BYTES = 1000
_BLOCK_BYTES = 1 << 16
"""A pipe holds no more than this: one such block is all that a dead process can have left."""


class Complaints:
    """Reads one end of a pipe until it is closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._left = LINES_PER_JOB
        self._rest = b""
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The newest lines, oldest first."""
        return tuple(self._last)

    def begin(self) -> None:
        """Take what comes now as said of another job."""
        self._last.clear()
        self._left = LINES_PER_JOB

    def close(self) -> None:
        """Read what is left, and close this end."""
        self._read()
        self._take_line(self._rest)
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            block = os.read(self._descriptor, _BLOCK_BYTES)
            if not block:
                asyncio.get_running_loop().remove_reader(self._descriptor)
            self._take(block)

    def _take(self, block: bytes) -> None:
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._take_line(line)

    def _take_line(self, raw: bytes) -> None:
        line = printable(raw[:LONGEST_LINE_BYTES].decode(errors="replace").rstrip())
        if not line:
            return
        self._last.append(line)
        self._left -= 1
        if self._left >= 0:
            logger.debug("image worker: %s", line)
        elif self._left == -1:
            logger.debug("image worker: and more, until its next image")
