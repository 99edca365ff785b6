"""Target pixels that a caller may still have."""

from __future__ import annotations

import asyncio
import time

from hndsr_gateway.errors import BeyondQuotaError
from hndsr_gateway.limits.buckets import Bucket, Buckets
from hndsr_gateway.limits.refusals import refusal


class PixelAllowance:
    """An `Allowance` of the target pixels in a bucket.

    Args:
        buckets: where that is.
        bucket: an hour's pixels of the caller.
        subject: the caller's name.
        patience_s: how long to wait for what is missing, in seconds. Who spends while others wait goes after them.
    """

    def __init__(self, buckets: Buckets, bucket: Bucket, *, subject: str, patience_s: float) -> None:
        self._buckets, self._bucket = buckets, bucket
        self._subject, self._patience_s = subject, patience_s
        self._turn = asyncio.Lock()

    async def spend_target_px(self, count: int) -> None:
        """Take so many target pixels, once they are there.

        Raises:
            BeyondQuotaError: if the caller can never have as many at once.
            QuotaExceededError: if there will not be as many within its patience; nothing is taken then.
        """
        limit_px = self._bucket.limit
        if count > limit_px:
            raise BeyondQuotaError(target_px=count, limit_px=limit_px)
        async with self._turn:
            latest_s = time.monotonic() + self._patience_s
            while (taken := await self._buckets.take(self._bucket, count)).retry_delay_s:
                if time.monotonic() + taken.retry_delay_s > latest_s:
                    quota = f"{limit_px:,} target px per hour, of which this needs {count:,}"
                    raise refusal(
                        self._bucket.which,
                        subject=self._subject,
                        quota=quota,
                        left=taken.left,
                        retry_delay_s=taken.retry_delay_s,
                    )
                await asyncio.sleep(taken.retry_delay_s)
