"""Buckets of one process: what they give, refuse, and forget."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import run

from hndsr_gateway.limits.buckets import Bucket, OwnBuckets, Taken

HOUR_S = 3600
MOST = 10**13
ROUNDING = 1e-6
"""Of what a bucket holds: it keeps one number of seconds, and not so many units."""


def hourly(limit: int, *, which: str = "target_px", owner: str = "key:a") -> Bucket:
    return Bucket(which, owner, limit, HOUR_S)


async def take(buckets: OwnBuckets, bucket: Bucket, *counts: int) -> list[Taken]:
    return [await buckets.take(bucket, count) for count in counts]


def test_bucket_is_full_at_first_and_empty_after_that() -> None:
    async def test() -> None:
        taken = await take(OwnBuckets(), hourly(10), 10, 1)
        assert [(one.left, bool(one.retry_delay_s)) for one in taken] == [(0, False), (0, True)]

    run(test())


def test_bucket_gives_all_of_it_or_nothing() -> None:
    async def test() -> None:
        assert [one.left for one in await take(OwnBuckets(), hourly(10), 8, 3, 2)] == [2, 2, 0]

    run(test())


def test_bucket_says_when_there_is_enough() -> None:
    async def test() -> None:
        refused = (await take(OwnBuckets(), hourly(10), 8, 4))[1]
        assert refused.retry_delay_s == pytest.approx(HOUR_S / 10 * 2, abs=60)

    run(test())


def test_bucket_gives_after_the_delay_that_it_names() -> None:
    async def test() -> None:
        buckets, bucket = OwnBuckets(), hourly(36_000)
        refused = (await take(buckets, bucket, 36_000, 1))[1]
        await asyncio.sleep(refused.retry_delay_s)
        assert not (await buckets.take(bucket, 1)).retry_delay_s

    run(test())


@pytest.mark.parametrize("other", [hourly(10, owner="key:b"), hourly(10, which="requests")])
def test_buckets_are_apart(other: Bucket) -> None:
    async def test() -> None:
        buckets = OwnBuckets()
        await buckets.take(hourly(10), 10)
        assert (await buckets.take(other, 1)).left == 9

    run(test())


def test_bucket_gives_exactly_what_it_holds_to_many_at_once() -> None:
    async def test() -> None:
        buckets, bucket = OwnBuckets(), hourly(60)
        taken = await asyncio.gather(*(buckets.take(bucket, 1) for _ in range(100)))
        assert sum(not one.retry_delay_s for one in taken) == 60

    run(test())


def test_buckets_forget_the_one_that_was_used_least_recently() -> None:
    async def test() -> None:
        buckets = OwnBuckets(2)
        for owner in ("key:a", "key:b", "key:c"):
            await buckets.take(hourly(10, owner=owner), 10)
        left = {owner: (await buckets.take(hourly(10, owner=owner), 0)).left for owner in ("key:c", "key:b", "key:a")}
        assert left == {"key:a": 10, "key:b": 0, "key:c": 0}

    run(test())


def test_buckets_of_callers_are_kept_whatever_addresses_come() -> None:
    async def test() -> None:
        buckets = OwnBuckets(2)
        await buckets.take(hourly(10), 10)
        for number in range(5):
            await buckets.take(hourly(10, which="address", owner=str(number)), 1)
        assert (await buckets.take(hourly(10), 1)).retry_delay_s

    run(test())


def test_bucket_key_does_not_tell_whose_it_is() -> None:
    assert "alice" not in hourly(10, owner="token:alice").key


@settings(deadline=None)
@given(limit=st.integers(1, MOST), parts=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_bucket_never_gives_more_than_it_holds_and_gains(limit: int, parts: list[float]) -> None:
    async def test() -> None:
        buckets, bucket, begin_s = OwnBuckets(), hourly(limit), time.monotonic()
        counts = [int(part * limit) for part in parts]
        taken = await take(buckets, bucket, *counts)
        given_out = sum(count for count, one in zip(counts, taken, strict=True) if not one.retry_delay_s)
        gained = limit * (time.monotonic() - begin_s) / HOUR_S
        assert given_out <= limit * (1 + ROUNDING) + gained

    asyncio.run(test())


@settings(deadline=None)
@given(limit=st.integers(1, MOST), parts=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_bucket_refuses_only_what_it_does_not_hold(limit: int, parts: list[float]) -> None:
    async def test() -> None:
        buckets, bucket, left = OwnBuckets(), hourly(limit), limit
        for part in parts:
            count = int(part * limit)
            taken = await buckets.take(bucket, count)
            slack = limit * ROUNDING + 1
            if taken.retry_delay_s:
                assert (count > left - slack, taken.retry_delay_s >= 0.001) == (True, True)
            else:
                left -= count
            assert taken.left >= left - slack
            left = taken.left

    asyncio.run(test())
