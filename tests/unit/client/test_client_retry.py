"""Calls are tried again where that is safe and may help, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from unit.client.test_client_embedded import fake

from hndsr_client import (
    ArgumentError,
    AsyncClient,
    Client,
    DeadlineError,
    EmbeddedGatewayError,
    OverloadedError,
    Retry,
    RetryBudget,
    ServiceError,
    UnavailableError,
)
from hndsr_client._core.retries import MAX_PAUSE_S, Attempts, Budget, may_succeed_later
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

IMAGE = np.zeros((5, 7, 3), np.uint8)
COMPARED = np.zeros((9, 9, 3), np.uint8)
QUICK = Retry(initial_delay_s=0.001, max_delay_s=0.002)
OVERLOADED = {"code": "RESOURCE_EXHAUSTED", "reason": "OVERLOADED", "retry_delay_s": 0.001}
ANSWERED_LATER = [
    {"code": "UNAVAILABLE"},
    {"code": "UNAVAILABLE", "reason": "BACKEND_UNAVAILABLE", "retry_delay_s": 0.001},
    OVERLOADED,
    OVERLOADED | {"reason": "QUOTA_EXCEEDED"},
]
ANSWERED_ONCE = [
    {"code": "DEADLINE_EXCEEDED"},
    {"code": "INVALID_ARGUMENT", "reason": "IMAGE_DAMAGED"},
    {"code": "INTERNAL", "reason": "INTERNAL", "retry_delay_s": 0.001},
    {"code": "ABORTED"},
    {"code": "CANCELLED"},
    {"code": "UNKNOWN"},
    {"code": "FAILED_PRECONDITION", "reason": "REVISION_CHANGED"},
    {"code": "RESOURCE_EXHAUSTED"},
    {"code": "RESOURCE_EXHAUSTED", "reason": "QUOTA_EXCEEDED"},
    {"code": "RESOURCE_EXHAUSTED", "reason": "ANOTHER", "retry_delay_s": 0.001},
    {"code": "RESOURCE_EXHAUSTED", "reason": "OVERLOADED"},
    {"code": "UNAVAILABLE", "reason": "BACKEND_UNAVAILABLE", "retry_delay_s": -1.0},
]
# Interrupts itself as soon as the first attempt has failed.
INTERRUPTED = """
import os, signal, sys, threading
from hndsr_client import Client, Retry
from hndsr_client.testing import FakeServer
with FakeServer() as server, Client(server.target, retry=Retry(initial_delay_s=300, max_delay_s=300)) as client:
    server.fail_next(code="UNAVAILABLE", reason="BACKEND_UNAVAILABLE", retry_delay_s=300)
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    client.info()
"""


@pytest.fixture
def retrying(server: FakeServer, client_type: Callable[..., Client]) -> Iterator[Client]:
    with client_type(server.target, timeout_s=30, retry=QUICK) as client:
        yield client


def failure(**facts: object) -> ServiceError:
    return ServiceError(**{"message": "no", "code": "UNAVAILABLE", "reason": "UNAVAILABLE", **facts})


def attempts(retry: Retry | None = QUICK, *, timeout_s: float | None = None) -> Attempts:
    return Attempts(retry, Budget(None if retry is None else retry.budget), timeout_s=timeout_s)


@pytest.mark.parametrize("refusal", ANSWERED_LATER, ids=str)
def test_call_is_tried_again(retrying: Client, server: FakeServer, refusal: dict[str, object]) -> None:
    server.fail_next(**refusal, times=3)
    assert retrying.info().default_model == "nearest"


@pytest.mark.parametrize("refusal", ANSWERED_ONCE, ids=str)
def test_call_is_tried_once(retrying: Client, server: FakeServer, refusal: dict[str, object]) -> None:
    server.fail_next(**refusal)
    with pytest.raises(ServiceError) as caught:
        retrying.info()
    assert (caught.value.attempts, len(server.requests)) == (1, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.info(),
        lambda client: client.plan(5, 7),
        lambda client: client.upscale(IMAGE),
        lambda client: client.upscale_encoded(IMAGE),
        lambda client: client.compare(COMPARED, COMPARED),
    ],
    ids=["info", "plan", "upscale", "upscale_encoded", "compare"],
)
def test_every_call_is_tried_again(retrying: Client, server: FakeServer, call: Callable[[Client], object]) -> None:
    server.fail_next()
    call(retrying)
    assert len(server.requests) == 2


def test_call_is_tried_again_with_the_same_request(retrying: Client, server: FakeServer) -> None:
    server.fail_next()
    retrying.upscale(IMAGE, scale=3.14, seed=7)
    first, second = server.requests
    assert first.message == second.message


def test_call_gives_up_with_the_last_error(retrying: Client, server: FakeServer) -> None:
    server.fail_next(times=3)
    server.fail_next(**OVERLOADED)
    with pytest.raises(OverloadedError) as caught:
        retrying.info()
    assert caught.value.attempts == 4


def test_attempts_of_too_many_calls_at_once_take_no_budget() -> None:
    budget = Budget(RetryBudget(tokens=1.0))
    refused = failure(
        code="RESOURCE_EXHAUSTED", reason="QUOTA_EXCEEDED", message="0 left of 1 call at once", retry_delay_s=0.001
    )
    assert Attempts(QUICK, budget, timeout_s=None).pause_s(refused) is not None
    assert budget.take()


def test_call_is_tried_once_when_told(server: FakeServer, client_type: Callable[..., Client]) -> None:
    server.fail_next()
    with client_type(server.target, retry=None) as client, pytest.raises(UnavailableError):
        client.info()
    assert len(server.requests) == 1


def test_deadline_covers_all_attempts(server: FakeServer, client_type: Callable[..., Client]) -> None:
    server.fail_next()
    server.delay_next(0.0)
    server.delay_next(600)
    with client_type(server.target, timeout_s=0.5, retry=QUICK) as client, pytest.raises(DeadlineError) as caught:
        client.info()
    assert caught.value.attempts == 2


@pytest.mark.parametrize("reason", ["OVERLOADED", "QUOTA_EXCEEDED"])
def test_pause_past_the_deadline_is_not_begun(retrying: Client, server: FakeServer, reason: str) -> None:
    server.fail_next(**OVERLOADED | {"reason": reason, "retry_delay_s": 31.0})
    with pytest.raises(OverloadedError) as caught:
        retrying.info(timeout_s=30)
    assert (caught.value.attempts, caught.value.retry_delay_s) == (1, 31.0)


def test_close_ends_a_pause(server: FakeServer, service: NearestServicer, client_type: Callable[..., Client]) -> None:
    server.fail_next(**OVERLOADED | {"retry_delay_s": 300.0})
    with client_type(server.target, retry=QUICK) as client, ThreadPoolExecutor() as threads:
        call = threads.submit(client.info)
        assert service.received.wait(20)
        client.close()
        assert isinstance(call.exception(), UnavailableError)


def test_interrupt_ends_a_pause() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGINT


def test_cancelling_a_task_ends_its_pause(server: FakeServer, service: NearestServicer) -> None:
    server.fail_next(**OVERLOADED | {"retry_delay_s": 300.0})

    async def cancelled() -> bool:
        async with AsyncClient(server.target) as client:
            task = asyncio.create_task(client.info())
            await asyncio.to_thread(service.received.wait, 20)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

    assert asyncio.run(cancelled())


def test_call_of_an_embedded_gateway_that_ended_is_tried_once(client_type: Callable[..., Client]) -> None:
    with client_type.embedded(_command=fake("serve"), retry=Retry(initial_delay_s=300, max_delay_s=300)) as client:
        os.kill(client._gateway._process.pid, signal.SIGKILL)
        with pytest.raises(EmbeddedGatewayError, match="killed by signal 9"):
            client.info()


def test_budget_ends_retries_when_half_of_it_is_spent(server: FakeServer, client_type: Callable[..., Client]) -> None:
    server.fail_next(times=100)
    with client_type(server.target, retry=QUICK) as client:
        for _ in range(10):
            with pytest.raises(UnavailableError):
                client.info()
    assert len(server.requests) == 10 + 5


def test_budget_is_filled_by_success(server: FakeServer, client_type: Callable[..., Client]) -> None:
    retry = Retry(initial_delay_s=0.001, max_attempts=2, budget=RetryBudget(tokens=2, tokens_per_success=1))
    with client_type(server.target, retry=retry) as client:
        for _ in range(5):
            server.fail_next()
            client.info()
    assert len(server.requests) == 10


def test_budget_never_holds_more_than_at_first() -> None:
    budget = Budget(RetryBudget(tokens=2, tokens_per_success=10))
    budget.give_back()
    assert [budget.take() for _ in range(3)] == [True, False, False]


def test_budget_is_shared_by_threads_without_losing_count() -> None:
    budget = Budget(RetryBudget(tokens=200))
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: budget.take(), range(400)))
    assert sum(taken) == 100


def test_budget_may_be_left_out() -> None:
    budget = Budget(None)
    assert all(budget.take() for _ in range(1000))


@pytest.mark.parametrize(
    ("number", "limit_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 16.0), (7, 20.0), (99, 20.0)]
)
def test_pause_is_a_random_part_of_a_growing_limit(number: int, limit_s: float) -> None:
    pauses = []
    for _ in range(200):
        one = attempts(Retry(max_attempts=100, budget=None))
        one.number = number
        pauses.append(one.pause_s(failure()))
    assert 0 <= min(pauses) < limit_s / 2 < max(pauses) <= limit_s


def test_pause_is_no_shorter_than_the_server_asks_for() -> None:
    pauses = [attempts(Retry()).pause_s(failure(retry_delay_s=3.0)) for _ in range(50)]
    assert 3.0 <= min(pauses) < max(pauses) <= 3.5


def test_pause_is_never_beyond_what_anybody_waits_for() -> None:
    assert attempts().pause_s(failure(retry_delay_s=MAX_PAUSE_S + 1)) is None


def test_pause_counts_the_attempt_that_follows() -> None:
    one = attempts()
    one.pause_s(failure())
    assert one.number == 2


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_attempts_share_the_time_of_their_call(timeout_s: float | None) -> None:
    remaining_s = attempts(timeout_s=timeout_s).remaining_s()
    assert remaining_s is None if timeout_s is None else 0 < remaining_s <= timeout_s


def test_tls_that_will_never_do_is_not_tried_again() -> None:
    assert not may_succeed_later(failure(reason="TLS_FAILED"))


@pytest.mark.parametrize(
    "change",
    [
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"max_attempts": 2.5},
        {"max_attempts": True},
        {"initial_delay_s": -1},
        {"initial_delay_s": float("nan")},
        {"max_delay_s": float("inf")},
        {"max_delay_s": "1"},
        {"multiplier": 0.5},
    ],
    ids=str,
)
def test_retry_refuses_what_is_no_plan(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(change))} is"):
        Retry(**change)


@pytest.mark.parametrize("change", [{"tokens": 0}, {"tokens_per_success": -0.1}], ids=str)
def test_budget_refuses_what_is_none(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(change))} is"):
        RetryBudget(**change)


def test_client_reaches_a_server_that_comes_back() -> None:
    with FakeServer() as first:
        target = first.target
        client = Client(target, retry=Retry(max_attempts=100, initial_delay_s=0.1, max_delay_s=0.1, budget=None))
        client.info()
    with client, ThreadPoolExecutor() as threads:
        call = threads.submit(client.info)
        with FakeServer(port=int(target.rpartition(":")[2])):
            assert call.result().default_model == "nearest"


def test_threads_share_a_client_that_tries_again(server: FakeServer) -> None:
    server.fail_next(times=4)
    barrier = threading.Barrier(4)

    def call(client: Client) -> str:
        barrier.wait()
        return client.info().default_model

    with Client(server.target, retry=QUICK) as client, ThreadPoolExecutor(4) as threads:
        assert set(threads.map(call, [client] * 4)) == {"nearest"}
