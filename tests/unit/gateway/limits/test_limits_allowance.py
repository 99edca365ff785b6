"""Target pixels of one caller: spent, waited for, refused."""

from __future__ import annotations

import asyncio
import time

import pytest
from in_process import run

from hndsr_gateway.errors import BeyondQuotaError, QuotaExceededError
from hndsr_gateway.limits.allowance import PixelAllowance
from hndsr_gateway.limits.buckets import Bucket, OwnBuckets

HOUR_S = 3600
LIMIT_PX = 3_600_000
"""1,000 px in a second."""


def allowance(*, patience_s: float = 0.0, limit_px: int = LIMIT_PX) -> PixelAllowance:
    bucket = Bucket("target_px", "key:a", limit_px, HOUR_S)
    return PixelAllowance(OwnBuckets(), bucket, subject="survey", patience_s=patience_s)


def test_allowance_gives_an_hour_at_once() -> None:
    run(allowance().spend_target_px(LIMIT_PX))


def test_allowance_says_what_is_left_and_what_was_asked_for() -> None:
    async def test() -> None:
        spent = allowance(limit_px=1_000_000)
        await spent.spend_target_px(600_000)
        with pytest.raises(
            QuotaExceededError,
            match=r"survey has 4\d\d,\d\d\d left of 1,000,000 target px per hour, of which this needs 640,000",
        ) as refused:
            await spent.spend_target_px(640_000)
        assert (refused.value.subject, refused.value.retry_delay_s) == ("survey", pytest.approx(864, abs=60))

    run(test())


def test_allowance_refuses_for_good_what_an_hour_does_not_hold() -> None:
    async def test() -> None:
        with pytest.raises(BeyondQuotaError, match=r"the target has 4,000,000 px, this caller may have 3,600,000"):
            await allowance(patience_s=1e9).spend_target_px(4_000_000)

    run(test())


def test_allowance_takes_nothing_when_it_refuses() -> None:
    async def test() -> None:
        spent = allowance()
        await spent.spend_target_px(LIMIT_PX // 2)
        for _ in range(3):
            with pytest.raises(QuotaExceededError):
                await spent.spend_target_px(LIMIT_PX * 3 // 4)
        await spent.spend_target_px(LIMIT_PX // 2)

    run(test())


def test_allowance_waits_for_what_comes_within_its_patience() -> None:
    async def test() -> None:
        spent, begin_s = allowance(patience_s=30), time.monotonic()
        await spent.spend_target_px(LIMIT_PX)
        await spent.spend_target_px(200)
        assert time.monotonic() - begin_s >= 0.2

    run(test())


def test_allowance_does_not_wait_when_that_would_not_help() -> None:
    async def test() -> None:
        spent = allowance(patience_s=30)
        await spent.spend_target_px(LIMIT_PX)
        with pytest.raises(QuotaExceededError) as refused:
            await asyncio.wait_for(spent.spend_target_px(LIMIT_PX // 2), 15)
        assert refused.value.retry_delay_s == pytest.approx(HOUR_S / 2, abs=60)

    run(test())


def test_allowance_serves_those_who_wait_in_their_order() -> None:
    async def test() -> None:
        spent, served = allowance(patience_s=30), []

        async def spend(number: int) -> None:
            await spent.spend_target_px(50)
            served.append(number)

        await spent.spend_target_px(LIMIT_PX)
        await asyncio.gather(*(spend(number) for number in range(5)))
        assert served == [0, 1, 2, 3, 4]

    run(test())


def test_allowance_has_patience_with_each_one_when_it_is_its_turn() -> None:
    async def test() -> None:
        spent = allowance(patience_s=0.5)
        await spent.spend_target_px(LIMIT_PX)
        await asyncio.gather(*(spent.spend_target_px(300) for _ in range(5)))

    run(test())


def test_allowance_lets_the_next_one_wait_when_one_is_cancelled() -> None:
    async def test() -> None:
        spent = allowance(patience_s=30)
        await spent.spend_target_px(LIMIT_PX)
        first = asyncio.create_task(spent.spend_target_px(20_000))
        second = asyncio.create_task(spent.spend_target_px(200))
        await asyncio.sleep(0)
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    run(test())
