"""Which failures of a stream another stream may mend, and how long that is tried."""

from __future__ import annotations

import math
import random
import time

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.retries import Attempts, may_succeed_later, tell_pause
from hndsr_client._core.status import CLASSES
from hndsr_client.connection import Retry
from hndsr_client.errors import AnswerError, ArgumentError, ServerError, ServiceError

# Reasons of tiles whose status the contract's table says; what else fails a tile for good is the server's fault.
_CODES = {
    "REVISION_CHANGED": "FAILED_PRECONDITION",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "OVERLOADED": "RESOURCE_EXHAUSTED",
    "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
}
_BREAKS = [
    *[("INTERNAL", what) for what in ("RST_STREAM", "HTTP/2", "deserializing", "Internal error from Core")],
    ("UNKNOWN", "Stream removed"),
]
# Where nobody has ever answered, the address may well be wrong.
FIRST_PATIENCE_S = 20.0
# A server that plans otherwise three times in a row is of another version.
MAX_BROKEN_PLANS = 3


class Recovery:
    """How often, and how long, one image is gone on with although nothing comes of it."""

    def __init__(self, retry: Retry, attempts: Attempts, *, patience_s: float) -> None:
        """Begin with nothing that failed.

        Raises:
            ArgumentError: The patience is no number, or below 0.
        """
        is_number = isinstance(patience_s, (int, float)) and not isinstance(patience_s, bool)
        if not is_number or math.isnan(patience_s) or patience_s < 0:
            raise ArgumentError(f"patience_s is {patience_s!r}, accepted is a number, 0 or more")
        self._retry, self._attempts, self._patience_s = retry, attempts, patience_s
        self._reached = False
        self.progress()

    def progress(self) -> None:
        """Forget what has failed: something has arrived and was taken."""
        self._failures = 0
        self._since_s: float | None = None

    def pause_s(self, failure: ServiceError | AnswerError, *, planned: bool) -> float:
        """How long to wait before the next stream.

        Args:
            failure: What ended the last one.
            planned: Whether any stream has come as far as to a plan.

        Raises:
            ServiceError: The failure, if another stream would not help or was tried for long enough.
            AnswerError: The same.
        """
        self._failures += 1
        if isinstance(failure, ServiceError):
            failure.attempts = self._attempts.number
        if not _may_go_on(failure) or (not planned and self._broken_plan(failure)):
            raise failure
        # Only servers of ours give a reason of their own beside the status.
        self._reached |= planned or isinstance(failure, AnswerError) or failure.reason != failure.code
        patience_s = self._patience_s if self._reached else min(self._patience_s, FIRST_PATIENCE_S)
        pause_s = self._pause_s(failure, failures=self._failures, patience_s=patience_s)
        self._attempts.number += 1
        return pause_s

    def tile_pause_s(self, failure: ServiceError) -> float:
        """How long to wait before a tile is sent again.

        Raises:
            ServiceError: The failure, if that was tried for long enough.
        """
        return self._pause_s(failure, failures=1, patience_s=self._patience_s)

    def _pause_s(self, failure: ServiceError | AnswerError, *, failures: int, patience_s: float) -> float:
        retry, delay_s = self._retry, (failure.retry_delay_s or 0.0) if isinstance(failure, ServiceError) else 0.0
        # An exponent that a float can carry, however long the patience.
        limit_s = min(retry.max_delay_s, retry.initial_delay_s * retry.multiplier ** min(failures - 1, 100))
        pause_s = delay_s + random.uniform(0.0, limit_s)  # noqa: S311  spreads load, keeps no secret
        remaining_s = self._attempts.remaining_s()
        # From the first failure on: a tile may take longer than any patience, as long as the stream lives.
        now_s = time.monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        left_s = patience_s - (now_s - self._since_s)
        if left_s <= delay_s or (remaining_s is not None and pause_s >= remaining_s):
            raise failure
        tell_pause(min(pause_s, left_s), failure)
        return min(pause_s, left_s)

    def _broken_plan(self, failure: ServiceError | AnswerError) -> bool:
        return isinstance(failure, AnswerError) and self._failures >= MAX_BROKEN_PLANS


def tile_failure(error: pb.TileError) -> ServiceError:
    """The error that a tile's stands for."""
    delay = error.retry_delay
    code = _CODES.get(error.reason, "UNAVAILABLE" if error.HasField("retry_delay") else "INTERNAL")
    return CLASSES.get(code, ServerError)(
        f"tile {error.row}, {error.column}: {error.message}",
        reason=error.reason or code,
        code=code,
        retry_delay_s=delay.seconds + delay.nanos / 1e9 if error.HasField("retry_delay") else None,
        metadata={"row": str(error.row), "column": str(error.column)},
    )


def _may_go_on(failure: ServiceError | AnswerError) -> bool:
    """Whether the way to the server failed, which may change a strip as well, or the server for now."""
    if isinstance(failure, AnswerError) or may_succeed_later(failure) or failure.reason == "CHECKSUM_MISMATCH":
        return True
    # So proxies and servers that end break the streams that they carry.
    is_broken = any(failure.reason == code and what in failure.message for code, what in _BREAKS)
    return is_broken or failure.reason in {"CANCELLED", "ABORTED"}
