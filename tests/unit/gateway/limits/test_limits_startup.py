"""Settings of limits that a gateway does not start with."""

from __future__ import annotations

from typing import Any

import pytest

from hndsr_gateway.limits import problems
from hndsr_gateway.settings import Settings

APART = "with HNDSR_PROCESSES above 1 needs HNDSR_REDIS_URL: each process would count for itself"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"processes": 4},
        {"processes": 4, "calls_per_caller": 1, "streams_per_caller": 1},
        {"requests_per_minute": 1, "target_px_per_hour": 1},
        {"processes": 4, "requests_per_minute": 1, "redis_url": "redis://cache:6379/0"},
        {"redis_url": "rediss://user:secret@cache:6380"},
        {"redis_url": "redis://[::1]:6379/3?health_check_interval=10"},
        {"redis_url": "redis://cache"},
    ],
)
def test_problems_are_none(settings: dict[str, Any]) -> None:
    assert problems(Settings(**settings)) == []


@pytest.mark.parametrize("name", ["requests_per_minute", "target_px_per_hour", "address_requests_per_minute"])
def test_problems_name_a_rate_that_processes_would_count_apart(name: str) -> None:
    assert problems(Settings(processes=2, **{name: 1})) == [f"HNDSR_{name.upper()} {APART}"]


def test_problems_name_all_rates_in_one_line() -> None:
    found = problems(Settings(processes=2, requests_per_minute=1, target_px_per_hour=1))
    assert found == [f"HNDSR_REQUESTS_PER_MINUTE and HNDSR_TARGET_PX_PER_HOUR {APART.replace('needs', 'need')}"]


@pytest.mark.parametrize(
    "url",
    [
        "cache:6379",
        "http://cache:6379",
        "redis://",
        "redis://:secret@/0",
        "redis://cache:0",
        "redis://cache:secret",
        "redis://cache/secret",
    ],
)
def test_problems_name_an_address_that_is_none_and_nothing_of_it(url: str) -> None:
    found = problems(Settings(redis_url=url))
    assert found == ["HNDSR_REDIS_URL is no address of Redis: write redis://HOST:PORT/0, or rediss:// for one with TLS"]
