"""Buckets in a Redis that several gateways share."""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import urlsplit

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from throttled.asyncio import RedisStore
from throttled.exceptions import StoreUnavailableError

from hndsr_gateway.limits.buckets import Bucket, Buckets, Taken, take_from

logger = logging.getLogger(__name__)

TIMEOUT_S = 0.25
"""How long a call waits for Redis."""
PAUSE_S = 2.0
"""How long Redis is left alone after it did not answer."""
CONNECTIONS = 16

UNAVAILABLE = (StoreUnavailableError, OSError, asyncio.TimeoutError)


class _Store(RedisStore):
    """Redis, with connections that can be closed."""

    async def close(self) -> None:
        await self._backend.get_client().connection_pool.disconnect()  # type: ignore[attr-defined]


class SharedBuckets:
    """A Redis's buckets, and while it does not answer, others: no call is refused because of Redis.

    Args:
        url: of Redis, with what it takes to get in.
        own: what is used while Redis does not answer.
    """

    def __init__(self, url: str, own: Buckets, *, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S) -> None:
        pool = {"max_connections": CONNECTIONS, "retry": Retry(NoBackoff(), 0)}
        options = {"CONNECTION_POOL_CLASS": "redis.asyncio.BlockingConnectionPool", "CONNECTION_POOL_KWARGS": pool}
        self._store = _Store(url, options)
        self._own = own
        self._timeout_s, self._pause_s = timeout_s, pause_s
        self._address = urlsplit(url).netloc.rpartition("@")[2]
        self._next_try_s: float | None = None
        """When Redis, which did not answer, is asked again."""

    async def take(self, bucket: Bucket, count: int) -> Taken:
        """As `Buckets.take`."""
        if not self._asks():
            return await self._own.take(bucket, count)
        try:
            taken = await asyncio.wait_for(take_from(self._store, bucket, count), self._timeout_s)
        except UNAVAILABLE as error:
            self._lost(error)
            return await self._own.take(bucket, count)
        self._found()
        return taken

    async def close(self) -> None:
        """Close the connections."""
        await self._store.close()
        await self._own.close()

    def _asks(self) -> bool:
        """Whether Redis is asked: always, or as the first one after a pause."""
        if self._next_try_s is None:
            return True
        now_s = time.monotonic()
        if now_s < self._next_try_s:
            return False
        self._next_try_s = now_s + self._pause_s
        return True

    def _lost(self, error: Exception) -> None:
        if self._next_try_s is None:
            cause = error.__cause__ if isinstance(error, StoreUnavailableError) else error
            logger.warning(  # of the error its kind alone: a text of Redis's may quote what it was sent
                "Redis at %s does not answer (%s): this process counts by itself until it does",
                self._address,
                type(cause).__name__,
            )
        self._next_try_s = time.monotonic() + self._pause_s

    def _found(self) -> None:
        if self._next_try_s is not None:
            logger.info("Redis at %s answers again", self._address)
            self._next_try_s = None
