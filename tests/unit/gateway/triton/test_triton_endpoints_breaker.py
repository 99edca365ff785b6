"""Endpoints whose tiles fail again and again though they describe themselves well."""

from __future__ import annotations

import asyncio

import pytest
from clock import Clock
from fleet import Fleet, fleet
from in_process import run

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton.breaker import FIRST_PAUSE_S, MOST_FAILURES

MANY = 100


async def fail(found: Fleet, host: str, count: int) -> None:
    """Have tiles fail at one endpoint, each after it has described itself well again."""
    endpoint, before = found[host], len(found[host].calls)
    endpoint.tile_errors = {number: UnavailableError() for number in range(before, before + count)}
    for _ in range(count):
        await asyncio.wait({found.upscale(endpoint=f"{host}:1")})
        await found.pool.describe()


def test_endpoint_gets_no_tiles_when_several_in_a_row_failed() -> None:
    async def test() -> None:
        async with fleet("a:1", "b:1", clock=Clock()) as found:
            await fail(found, "b", MOST_FAILURES)
            assert found.served() == "a"

    run(test())


def test_endpoint_that_rests_is_still_described() -> None:
    async def test() -> None:
        async with fleet("a:1", clock=Clock()) as found:
            await fail(found, "a", MOST_FAILURES)
            assert await found.pool.describe()

    run(test())


def test_endpoint_gets_one_tile_as_a_trial_after_its_rest() -> None:
    async def test() -> None:
        clock = Clock()
        async with fleet("a:1", "b:1", clock=clock) as found:
            await fail(found, "b", MOST_FAILURES)
            clock.now_s = FIRST_PAUSE_S
            found["b"].hold()
            trial = found.upscale(endpoint="b:1")
            await found["b"].started(MOST_FAILURES + 1)
            await found.upscale(endpoint="b:1")
            assert found["b"].outcomes()[MOST_FAILURES:] == ["running"]
            found["b"].release()
            await trial

    run(test())


def test_endpoint_gets_tiles_again_when_its_trial_succeeds() -> None:
    async def test() -> None:
        clock = Clock()
        async with fleet("a:1", "b:1", clock=clock) as found:
            await fail(found, "b", MOST_FAILURES)
            clock.now_s = FIRST_PAUSE_S
            await found.upscale(endpoint="b:1")
            found["b"].hold()
            tiles = [found.upscale(endpoint="b:1") for _ in range(2)]
            await found["b"].started(MOST_FAILURES + 3)
            found["b"].release()
            await asyncio.gather(*tiles)

    run(test())


def test_endpoint_rests_longer_when_its_trial_fails() -> None:
    async def test() -> None:
        clock = Clock()
        async with fleet("a:1", "b:1", clock=clock) as found:
            await fail(found, "b", MOST_FAILURES)
            clock.now_s = FIRST_PAUSE_S
            await fail(found, "b", 1)
            clock.now_s = 2 * FIRST_PAUSE_S
            assert found.served() == "a"

    run(test())


def test_endpoint_gets_another_trial_when_the_first_was_cancelled() -> None:
    async def test() -> None:
        clock = Clock()
        async with fleet("a:1", "b:1", clock=clock) as found:
            await fail(found, "b", MOST_FAILURES)
            clock.now_s = FIRST_PAUSE_S
            found["b"].hold()
            trial = found.upscale(endpoint="b:1")
            await found["b"].started(MOST_FAILURES + 1)
            trial.cancel()
            await asyncio.wait({trial})
            assert found.served() == "ab"

    run(test())


def test_only_endpoint_that_rests_says_for_how_long() -> None:
    async def test() -> None:
        clock = Clock()
        async with fleet("a:1", clock=clock) as found:
            await fail(found, "a", MOST_FAILURES)
            clock.now_s = 0.25 * FIRST_PAUSE_S
            with pytest.raises(UnavailableError) as refused:
                await found.upscale()
            assert refused.value.retry_delay_s == 0.75 * FIRST_PAUSE_S

    run(test())


def test_tile_that_makes_the_only_endpoint_rest_says_for_how_long() -> None:
    async def test() -> None:
        clock = Clock()
        async with fleet("a:1", clock=clock) as found:
            await fail(found, "a", MOST_FAILURES)
            clock.now_s = FIRST_PAUSE_S
            found["a"].tile_errors = {MOST_FAILURES: UnavailableError()}
            with pytest.raises(UnavailableError) as failed:
                await found.upscale()
            assert failed.value.retry_delay_s == 2 * FIRST_PAUSE_S

    run(test())


def test_tile_moves_no_more_when_too_many_have_moved() -> None:
    async def test() -> None:
        async with fleet("a:1", "b:1") as found:
            for _ in range(MANY // 2):
                await fail(found, "b", 1)
                await found.upscale(endpoint="b:1")
            moved = len(found["a"].calls)
            assert 0.1 * MANY <= moved <= 0.1 * MANY + 10

    run(test())
