"""Who is let in: how often, how much at once, by which quotas."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from in_process import run

from hndsr_gateway.caller import Caller, Quotas, Unlimited
from hndsr_gateway.errors import BeyondQuotaError, QuotaExceededError
from hndsr_gateway.limits import Kind, Limits
from hndsr_gateway.limits.limits import PATIENCE_S
from hndsr_gateway.settings import Settings

ALICE = Caller(id="key:a", name="alice")
BOB = Caller(id="key:b", name="bob")


def limits(**settings: Any) -> Limits:
    return Limits.of(Settings(**settings))


async def call(limits: Limits, caller: Caller = ALICE, kind: Kind = Kind.CALL) -> Caller:
    async with limits.let_in(caller, kind) as let_in:
        return let_in


async def is_let_in(limits: Limits, caller: Caller) -> bool:
    try:
        await call(limits, caller)
    except QuotaExceededError:
        return False
    return True


async def attempts(limits: Limits, count: int, caller: Caller = ALICE) -> list[bool]:
    """Which of so many calls one after the other are let in."""
    return [await is_let_in(limits, caller) for _ in range(count)]


def test_limits_let_everything_in_where_none_are_set() -> None:
    async def test() -> None:
        free = limits()
        assert all(await attempts(free, 50))
        assert isinstance((await call(free)).allowance, Unlimited)

    run(test())


def test_limits_count_calls_of_a_minute() -> None:
    run_attempts = attempts(limits(requests_per_minute=2), 4)
    assert asyncio.run(run_attempts) == [True, True, False, False]


def test_limits_say_whose_calls_were_too_many() -> None:
    async def test() -> None:
        few = limits(requests_per_minute=1)
        await call(few)
        with pytest.raises(QuotaExceededError, match=r"alice has 0 left of 1 request per minute") as refused:
            await call(few)
        assert refused.value.retry_delay_s == pytest.approx(60, abs=30)

    run(test())


def test_limits_count_each_caller_for_itself() -> None:
    async def test() -> None:
        few = limits(requests_per_minute=1)
        assert [await attempts(few, 2, ALICE), await attempts(few, 2, BOB)] == [[True, False]] * 2

    run(test())


def test_limits_prefer_what_the_key_says() -> None:
    generous = Caller(id="key:c", name="carol", quotas=Quotas(requests_per_minute=3))
    assert asyncio.run(attempts(limits(requests_per_minute=1), 4, generous)) == [True, True, True, False]


def test_limits_count_one_kind_at_once() -> None:
    async def test() -> None:
        one = limits(calls_per_caller=1)
        async with one.let_in(ALICE, Kind.CALL), one.let_in(ALICE, Kind.STREAM), one.let_in(BOB, Kind.CALL):
            with pytest.raises(QuotaExceededError, match=r"alice has 0 left of 1 call at once"):
                await call(one)

    run(test())


def test_limits_count_streams_at_once() -> None:
    async def test() -> None:
        two = limits(streams_per_caller=2)
        async with two.let_in(ALICE, Kind.STREAM), two.let_in(ALICE, Kind.STREAM):
            with pytest.raises(QuotaExceededError, match=r"0 left of 2 streams at once"):
                await call(two, kind=Kind.STREAM)

    run(test())


def test_limits_let_in_again_when_one_is_over() -> None:
    async def test() -> None:
        one = limits(calls_per_caller=1)
        for _ in range(3):
            with contextlib.suppress(RuntimeError):
                async with one.let_in(ALICE, Kind.CALL):
                    raise RuntimeError
        await call(one)

    run(test())


def test_limits_do_not_count_a_call_of_one_who_has_too_many_under_way() -> None:
    async def test() -> None:
        both = limits(calls_per_caller=1, requests_per_minute=2)
        async with both.let_in(ALICE, Kind.CALL):
            assert await attempts(both, 3) == [False] * 3
        assert await attempts(both, 2) == [True, False]

    run(test())


def test_limits_do_not_keep_a_place_for_one_who_calls_too_often() -> None:
    async def test() -> None:
        both = limits(calls_per_caller=1, requests_per_minute=1)
        assert await attempts(both, 3) == [True, False, False]
        with pytest.raises(QuotaExceededError, match="per minute"):
            await call(both)

    run(test())


@pytest.mark.parametrize(("processes", "let_in"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_limits_at_once_are_shared_by_processes(processes: int, let_in: int) -> None:
    async def test() -> None:
        share = limits(calls_per_caller=4, processes=processes)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(let_in):
                await stack.enter_async_context(share.let_in(ALICE, Kind.CALL))
            with pytest.raises(QuotaExceededError, match=rf"0 left of {let_in} calls? at once"):
                await call(share)

    run(test())


def test_limits_count_target_pixels_over_calls() -> None:
    async def test() -> None:
        pixels = limits(target_px_per_hour=1_000)
        await (await call(pixels)).allowance.spend_target_px(900)
        with pytest.raises(QuotaExceededError, match=r"alice has 1\d\d left of 1,000 target px per hour"):
            await (await call(pixels)).allowance.spend_target_px(200)
        await (await call(pixels, BOB)).allowance.spend_target_px(900)

    run(test())


def test_limits_refuse_for_good_what_exceeds_the_key_alone() -> None:
    async def test() -> None:
        small = Caller(id="key:c", name="carol", quotas=Quotas(target_px_per_hour=1_000))
        with pytest.raises(BeyondQuotaError):
            await (await call(limits(target_px_per_hour=10**9), small)).allowance.spend_target_px(1_001)

    run(test())


def test_limits_have_streams_wait_for_pixels_but_not_calls() -> None:
    async def test() -> None:
        pixels = limits(target_px_per_hour=360_000)
        stream = (await call(pixels, kind=Kind.STREAM)).allowance
        await stream.spend_target_px(360_000)
        await stream.spend_target_px(10)
        with pytest.raises(QuotaExceededError) as refused:
            await (await call(pixels)).allowance.spend_target_px(800)
        assert refused.value.retry_delay_s < PATIENCE_S

    run(test())


def test_limits_count_addresses_by_network() -> None:
    async def test() -> None:
        few = limits(address_requests_per_minute=2)
        await few.count_address("ipv6:[2001:db8::1]:1")
        await few.count_address("ipv6:[2001:db8::2]:2")
        await few.count_address("ipv4:192.0.2.7:1")
        with pytest.raises(QuotaExceededError, match=r"this address has 0 left of 2 requests per minute"):
            await few.count_address("ipv6:[2001:db8::3]:3")

    run(test())


def test_limits_count_no_addresses_where_that_is_not_set() -> None:
    async def test() -> None:
        free = limits(requests_per_minute=1)
        for _ in range(10):
            await free.count_address("ipv4:192.0.2.7:1")

    run(test())


@pytest.mark.parametrize(
    ("quotas", "warnings"), [(Quotas(requests_per_minute=100), 1), (Quotas(calls=5), 0), (Quotas(), 0)]
)
def test_limits_warn_once_when_processes_count_a_rate_apart(
    quotas: Quotas, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asyncio.run(attempts(limits(processes=2), 3, Caller(id="key:c", name="carol", quotas=quotas)))
    assert [record.message for record in caplog.records if "HNDSR_REDIS_URL" in record.message] == [
        "carol has a rate, which each of 2 processes counts for itself; set HNDSR_REDIS_URL"
    ] * warnings
