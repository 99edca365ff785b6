"""A server that dies again and again, and whoever starts it again."""

from __future__ import annotations

import asyncio
import logging

import pytest
from clock import Clock
from in_process import run

from hndsr_gateway.triton import supervisor
from hndsr_gateway.triton.errors import EmbeddedTritonError, PortTakenError, TritonDiedError, TritonLostError
from hndsr_gateway.triton.supervisor import MOST_STARTS, SERVED_S, Supervisor, supervised

LOGGER = "hndsr_gateway.triton.supervisor"


class FakeServer:
    """A server that lives for given times, in seconds, and is stopped after the last of them.

    Args:
        lives_s: from each start to the end.
        failures: what the first starts after a death fail with, None for one that does not.
    """

    def __init__(self, clock: Clock, *lives_s: float, failures: tuple[Exception | None, ...] = ()) -> None:
        self._clock, self._lives_s, self._failures = clock, list(lives_s), list(failures)
        self.starts = 0

    async def start(self) -> None:
        """Fail as long as it should."""
        self.starts += 1
        if self._failures and (failure := self._failures.pop(0)):
            raise failure

    async def wait(self) -> None:
        """Live, and die unless that was the last life."""
        self._clock.now_s += self._lives_s.pop(0)
        if self._lives_s:
            raise TritonDiedError(exit_code=137, dead_model=None, last_lines=["bye"])


@pytest.fixture
def pauses_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made, which take no time."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        made.append(seconds)
        await sleep(0)

    monkeypatch.setattr(supervisor.asyncio, "sleep", pause)
    return made


def supervise(*lives_s: float, failures: tuple[Exception | None, ...] = ()) -> FakeServer:
    """A server after all its lives."""
    clock = Clock()
    server = FakeServer(clock, *lives_s, failures=failures)
    run(Supervisor(server, clock=clock).run())
    return server


@pytest.mark.usefixtures("pauses_s")
def test_server_that_is_stopped_is_not_started_again() -> None:
    assert supervise(1.0).starts == 0


@pytest.mark.usefixtures("pauses_s")
def test_server_is_started_again_whenever_it_dies() -> None:
    assert supervise(1.0, 1.0, 1.0).starts == 2


def test_pauses_double_while_a_server_dies_early(pauses_s: list[float]) -> None:
    supervise(*[1.0] * 9)
    assert pauses_s == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_pauses_begin_anew_after_a_server_that_lived_long(pauses_s: list[float]) -> None:
    supervise(1.0, 1.0, SERVED_S, 1.0, 1.0)
    assert pauses_s == [0.5, 1.0, 0.5, 1.0]


@pytest.mark.parametrize("failure", [PortTakenError(), OSError("no memory")], ids=str)
def test_start_that_fails_is_made_again_after_a_longer_pause(failure: Exception, pauses_s: list[float]) -> None:
    assert (supervise(1.0, 1.0, failures=(failure, failure)).starts, pauses_s) == (3, [0.5, 1.0, 2.0])


@pytest.mark.usefixtures("pauses_s")
def test_server_is_lost_when_too_many_starts_in_a_row_fail() -> None:
    with pytest.raises(TritonLostError, match=r"5 times in a row; .* took a port"):
        supervise(1.0, 1.0, failures=(PortTakenError(),) * MOST_STARTS)


@pytest.mark.usefixtures("pauses_s")
def test_server_is_not_lost_when_starts_fail_that_are_not_in_a_row() -> None:
    some = (PortTakenError(),) * (MOST_STARTS - 1)
    assert supervise(1.0, 1.0, 1.0, failures=(*some, None, *some)).starts == 2 * MOST_STARTS


@pytest.mark.usefixtures("pauses_s")
def test_each_death_is_one_error_with_its_cause_and_each_return_says_how_long_it_took(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        supervise(1.0, 1.0)
    told = [(record.levelname, record.message.partition(";")[0]) for record in caplog.records if record.name == LOGGER]
    assert told == [
        ("ERROR", "Triton died and is started again: tritonserver ended with code 137"),
        ("INFO", "Triton runs again after 0.0 s"),
    ]


@pytest.mark.usefixtures("pauses_s")
def test_each_start_that_fails_is_a_warning_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    supervise(1.0, 1.0, failures=(EmbeddedTritonError("no luck"),))
    assert "Triton does not start (1 of 5 times): no luck" in caplog.messages


def test_supervision_ends_with_its_context_also_in_a_pause() -> None:
    async def test() -> None:
        async with supervised(FakeServer(Clock(), 1.0, 1.0)) as task:
            await asyncio.sleep(0)
        assert task.cancelled()

    run(test())


def test_supervision_that_failed_does_not_disturb_the_end_of_its_context() -> None:
    class Odd(FakeServer):
        async def wait(self) -> None:
            raise TritonLostError(starts=5, cause="no luck")

    async def test() -> None:
        async with supervised(Odd(Clock())) as task:
            await asyncio.wait({task})

    run(test())
