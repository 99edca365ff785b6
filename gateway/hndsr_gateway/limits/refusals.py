"""Refusals because of a quota, counted by which one it was."""

from __future__ import annotations

from hndsr_gateway.errors import QuotaExceededError
from hndsr_gateway.telemetry import metrics

REQUESTS, ADDRESS, TARGET_PX, CALLS, STREAMS = QUOTAS = ("requests", "address", "target_px", "calls", "streams")


def counted(count: int, plural: str) -> str:
    """So many of something: `1 call`, `2 calls`."""
    return f"{count:,} {plural.removesuffix('s') if count == 1 else plural}"


def refusal(which: str, *, subject: str, quota: str, left: int, retry_delay_s: float) -> QuotaExceededError:
    """The error that says so; `which` is one of `QUOTAS`, the rest as in `QuotaExceededError`."""
    metrics.quota_refusals.add(1, {"quota": which})
    return QuotaExceededError(subject=subject or "this caller", quota=quota, left=left, retry_delay_s=retry_delay_s)
