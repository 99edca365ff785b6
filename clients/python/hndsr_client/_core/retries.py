"""Whether a call that failed is tried again, and when: decided here, waited for by the clients."""

from __future__ import annotations

import logging
import random
import threading
import time

from hndsr_client._core.quota import is_of_calls_at_once
from hndsr_client._core.status import TLS_REASON
from hndsr_client.connection import Retry, RetryBudget
from hndsr_client.errors import ServiceError

# A server that asks for more is not waited for.
MAX_PAUSE_S = 600.0
# A shorter pause is no news.
MIN_TOLD_PAUSE_S = 5.0

logger = logging.getLogger("hndsr_client")


class Budget:
    """The retries that a client has left. Threads may share it."""

    def __init__(self, budget: RetryBudget | None) -> None:
        self._budget = budget
        self._tokens = 0.0 if budget is None else budget.tokens
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more retry may be made; if so, it is counted."""
        if self._budget is None:
            return True
        with self._lock:
            allowed = self._tokens > self._budget.tokens / 2
            self._tokens -= allowed
        return allowed

    def give_back(self) -> None:
        """Count a call that succeeded."""
        if self._budget is not None:
            with self._lock:
                self._tokens = min(self._budget.tokens, self._tokens + self._budget.tokens_per_success)


class Attempts:
    """The attempts of one call, which share its time.

    Attributes:
        timeout_s: What the call was allowed, None for any time.
        number: Which attempt is being made, from 1.
    """

    def __init__(self, retry: Retry | None, budget: Budget, *, timeout_s: float | None) -> None:
        self._retry = Retry(max_attempts=1) if retry is None else retry
        self._budget = budget
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.timeout_s = timeout_s
        self.number = 1

    def remaining_s(self) -> float | None:
        """What is left of the call's time."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def succeed(self) -> None:
        """Say that the call was answered."""
        self._budget.give_back()

    def pause_s(self, failure: ServiceError) -> float | None:
        """How long to wait before the next attempt, which begins with that; None: there is none, raise the failure."""
        if self.number >= self._retry.max_attempts or not may_succeed_later(failure):
            return None
        pause_s = (failure.retry_delay_s or 0.0) + self._jitter_s()
        remaining_s = self.remaining_s()
        if pause_s > MAX_PAUSE_S or (remaining_s is not None and pause_s >= remaining_s):
            return None
        # A server that lets in as many calls as it may is well.
        if not is_of_calls_at_once(failure) and not self._budget.take():
            return None
        self.number += 1
        tell_pause(pause_s, failure)
        return pause_s

    def _jitter_s(self) -> float:
        """Full jitter, so that clients that failed together do not come back together."""
        retry = self._retry
        limit_s = min(retry.max_delay_s, retry.initial_delay_s * retry.multiplier ** (self.number - 1))
        return random.uniform(0.0, limit_s)  # noqa: S311  spreads load, keeps no secret


def tell_pause(pause_s: float, failure: Exception) -> None:
    """Log a pause that lasts."""
    if pause_s >= MIN_TOLD_PAUSE_S:
        reason = failure.reason if isinstance(failure, ServiceError) else type(failure).__name__
        logger.info("waiting %.0f s: %s: %s", pause_s, reason, failure, extra={"pause_s": pause_s})


def may_succeed_later(failure: ServiceError) -> bool:
    """Whether the same request may well be answered if it is sent again.

    Source: AIP-194, and the contract: OVERLOADED is the server's own queue, QUOTA_EXCEEDED what this caller may have,
    each with the delay after which there is room again.
    """
    if (failure.retry_delay_s or 0.0) < 0.0 or failure.reason == TLS_REASON:
        return False
    has_room_later = failure.reason in {"OVERLOADED", "QUOTA_EXCEEDED"} and failure.retry_delay_s is not None
    return failure.code == "UNAVAILABLE" or (failure.code == "RESOURCE_EXHAUSTED" and has_room_later)
