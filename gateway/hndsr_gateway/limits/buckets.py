"""Token buckets: what is not used gathers up to one period's worth, and may then be used at once."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from throttled.asyncio import BaseStore, MemoryStore, RateLimiterType, Throttled, per_duration

PREFIX = "hndsr"
MAX_BUCKETS = 2**16
"""Buckets of one kind that a process keeps; of more, the one used least recently is forgotten: it is full again."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Somebody's bucket: it holds `limit`, and from empty it is full again after so many seconds."""

    which: str
    owner: str
    limit: int
    period_s: int

    @property
    def key(self) -> str:
        """Its name in a store, which does not tell whose it is."""
        return f"{self.which}:{hashlib.sha256(self.owner.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an attempt to take something."""

    left: int
    retry_delay_s: float = 0.0
    """When there will be enough, in seconds; 0: it was taken."""


class Buckets(Protocol):
    """Buckets of all owners, all of them full at first."""

    async def take(self, bucket: Bucket, count: int) -> Taken:
        """Take all of it, or nothing; more than `bucket.limit` is never there."""

    async def close(self) -> None:
        """Let go of what it holds."""


async def take_from(store: BaseStore, bucket: Bucket, count: int) -> Taken:
    """Take of a bucket that a store of throttled-py keeps, by the generic cell rate algorithm."""
    quota = per_duration(timedelta(seconds=bucket.period_s), bucket.limit)
    limiter = Throttled(using=RateLimiterType.GCRA.value, quota=quota, store=store, key_prefix=PREFIX)
    result = await limiter.limit(bucket.key, count)
    # Rounded up, and never to nothing: who comes back by then should not come too early.
    delay_s = max(1, math.ceil(result.state.retry_after * 1000)) / 1000 if result.limited else 0.0
    return Taken(result.state.remaining, delay_s)


class OwnBuckets:
    """Buckets of this process, by its monotonic clock: so many of each kind, since addresses cost nothing to have."""

    def __init__(self, count: int = MAX_BUCKETS) -> None:
        self._stores: defaultdict[str, BaseStore] = defaultdict(lambda: MemoryStore(options={"MAX_SIZE": count}))

    async def take(self, bucket: Bucket, count: int) -> Taken:
        """As `Buckets.take`."""
        return await take_from(self._stores[bucket.which], bucket, count)

    async def close(self) -> None:
        """Nothing is held."""
