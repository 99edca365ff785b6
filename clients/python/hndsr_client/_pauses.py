"""What the command line says of pauses that last."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator

from hndsr_client._core.retries import logger


class _Lines(logging.Handler):
    """Writes a line on the standard error for a pause, but none for another that ends no later."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._until_s = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        until_s = time.monotonic() + getattr(record, "pause_s", 0.0)
        # As good as together: each pause has a random part.
        if until_s > self._until_s + 1.0:
            self._until_s = until_s
            sys.stderr.write(f"hndsr: {record.getMessage()}\n")


@contextlib.contextmanager
def telling_pauses(*, shown: bool) -> Iterator[None]:
    """Write such lines while the block runs; not shown, write none."""
    if not shown:
        yield
        return
    lines, level = _Lines(), logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
