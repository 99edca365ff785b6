"""What callers may have: how often they may call, how much at once, and how many target pixels."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from hndsr_gateway.addresses import network_of
from hndsr_gateway.caller import Allowance, Caller, Quotas, Unlimited
from hndsr_gateway.limits.allowance import PixelAllowance
from hndsr_gateway.limits.at_once import AtOnce, Kind
from hndsr_gateway.limits.buckets import Bucket, Buckets, OwnBuckets
from hndsr_gateway.limits.refusals import ADDRESS, QUOTAS, REQUESTS, TARGET_PX, counted, refusal
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry import metrics

logger = logging.getLogger(__name__)

MINUTE_S, HOUR_S = 60, 3600
PATIENCE_S = 10.0
"""How long a stream waits for target pixels; one that comes slower than it may is not ended for it."""


class Limits:
    """Counts what callers have had.

    Args:
        settings: say what callers may have whose key says nothing else.
        buckets: where it is counted.
    """

    def __init__(self, settings: Settings, buckets: Buckets) -> None:
        self._settings, self._buckets = settings, buckets
        self._at_once = AtOnce()
        self._warns = settings.processes > 1 and not settings.redis_url
        """Whether to tell of a caller whose rate each process counts for itself."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """In Redis if there is one, else in this process."""
        own = OwnBuckets()
        if not settings.redis_url:
            return cls(settings, own)
        from hndsr_gateway.limits.shared import SharedBuckets  # noqa: PLC0415 - an extra

        return cls(settings, SharedBuckets(settings.redis_url, own))

    async def start(self) -> None:
        """Begin to count refusals at 0, and have the log say soon if Redis does not answer."""
        for which in QUOTAS:
            metrics.quota_refusals.add(0, {"quota": which})
        await self._buckets.take(Bucket(REQUESTS, "", 1, MINUTE_S), 0)

    async def close(self) -> None:
        """Close the connections to Redis, if there are any."""
        await self._buckets.close()

    async def count_address(self, peer: str) -> None:
        """Count a call from a gRPC peer, whoever makes it.

        Raises:
            QuotaExceededError: if there were too many of that address in the last minute.
        """
        limit = self._settings.address_requests_per_minute
        if limit:
            await self._count(Bucket(ADDRESS, network_of(peer), limit, MINUTE_S), subject="this address")

    @contextlib.asynccontextmanager
    async def let_in(self, caller: Caller, kind: Kind) -> AsyncIterator[Caller]:
        """Count a call of a caller while it lasts; yields the caller with what it may spend on it.

        Raises:
            QuotaExceededError: if it has as many under way as it may, or called too often in the last minute.
        """
        quotas = self._quotas(caller)
        with self._at_once.one_more(caller, kind, quotas.calls if kind is Kind.CALL else quotas.streams):
            if limit := quotas.requests_per_minute:
                await self._count(Bucket(REQUESTS, caller.id, limit, MINUTE_S), subject=caller.name)
            yield replace(caller, quotas=quotas, allowance=self._allowance(caller, quotas.target_px_per_hour, kind))

    async def _count(self, bucket: Bucket, *, subject: str) -> None:
        taken = await self._buckets.take(bucket, 1)
        if taken.retry_delay_s:
            quota = f"{counted(bucket.limit, 'requests')} per minute"
            raise refusal(
                bucket.which, subject=subject, quota=quota, left=taken.left, retry_delay_s=taken.retry_delay_s
            )

    def _quotas(self, caller: Caller) -> Quotas:
        """What holds for a caller in this process: its own, else the settings'."""
        own, settings = caller.quotas, self._settings
        if self._warns and (own.requests_per_minute or own.target_px_per_hour):
            self._warns = False
            logger.warning(
                "%s has a rate, which each of %d processes counts for itself; set HNDSR_REDIS_URL",
                caller.name,
                settings.processes,
            )
        return Quotas(
            requests_per_minute=own.requests_per_minute or settings.requests_per_minute,
            target_px_per_hour=own.target_px_per_hour or settings.target_px_per_hour,
            calls=self._share(own.calls or settings.calls_per_caller),
            streams=self._share(own.streams or settings.streams_per_caller),
        )

    def _share(self, limit: int) -> int:
        """This process's share of a limit that is for the gateway as a whole, at least 1 where there is any."""
        return max(min(limit, 1), limit // self._settings.processes)

    def _allowance(self, caller: Caller, limit_px: int, kind: Kind) -> Allowance:
        if not limit_px:
            return Unlimited()
        bucket = Bucket(TARGET_PX, caller.id, limit_px, HOUR_S)
        patience_s = PATIENCE_S if kind is Kind.STREAM else 0.0
        return PixelAllowance(self._buckets, bucket, subject=caller.name, patience_s=patience_s)
