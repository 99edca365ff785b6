"""A gateway of several processes as a user starts it: one address, one Triton, and nothing left of any of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from gateway_process import GatewayProcess, gateway_process

from hndsr_client import Client

PROCESSES = 2
SETTINGS = {"HNDSR_PROCESSES": str(PROCESSES), "HNDSR_DRAIN_GRACE_S": "2"}
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton and its models exchange tensors


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    """A gateway of the test's own, to be stopped."""
    with gateway_process(**SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def lasting() -> Iterator[GatewayProcess]:
    """A gateway that tests share."""
    with gateway_process(**SETTINGS) as running:
        yield running


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Wait for a condition."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return condition()


def listening(gateway: GatewayProcess) -> set[int]:
    """The processes that take connections at the address."""
    port, found = int(gateway[1].rpartition(":")[2]), set()
    for process in psutil.Process(gateway[0].pid).children():
        with contextlib.suppress(psutil.Error):
            if any(c.laddr.port == port and c.status == "LISTEN" for c in process.net_connections("tcp")):
                found.add(process.pid)
    return found


def answers(gateway: GatewayProcess) -> bool:
    """Whether a connection of its own is served."""
    with Client(gateway[1]) as client:
        return client.upscale(np.zeros((8, 8, 3), np.uint8), model="bicubic", scale=2).image.shape == (16, 16, 3)


def sockets(processes: list[psutil.Process]) -> Path:
    """The folder of the socket that Triton, one of these processes, listens at."""
    option = "--grpc-address=unix:"
    (server,) = (process for process in processes if process.name() == "tritonserver")
    return next(Path(word.removeprefix(option)).parent for word in server.cmdline() if word.startswith(option))


def regions(owners: list[psutil.Process]) -> list[str]:
    """Shared memory that is named after one of these processes."""
    marks = [f"_{owner.pid}_" for owner in owners]
    return [path.name for path in SHARED_MEMORY.glob("hndsr*") if any(mark in path.name for mark in marks)]


def test_every_process_takes_connections(lasting: GatewayProcess) -> None:
    assert len(listening(lasting)) == PROCESSES


def test_every_connection_is_served(lasting: GatewayProcess) -> None:
    assert all(answers(lasting) for _ in range(8))


def test_process_that_was_killed_is_replaced(lasting: GatewayProcess) -> None:
    killed, kept = sorted(listening(lasting))
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: len(listening(lasting) - {killed}) == PROCESSES)
    assert kept in listening(lasting)


def test_there_is_one_triton(lasting: GatewayProcess) -> None:
    below = psutil.Process(lasting[0].pid).children(recursive=True)
    assert [child.name() for child in below].count("tritonserver") == 1


def test_gateway_leaves_nothing_when_terminated(gateway: GatewayProcess) -> None:
    process, _ = gateway
    below = psutil.Process(process.pid).children(recursive=True)
    folder = sockets(below)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert not any(child.is_running() for child in below)
    assert not folder.exists()


def test_gateway_leaves_nothing_when_killed(gateway: GatewayProcess) -> None:
    process, _ = gateway
    below = psutil.Process(process.pid).children(recursive=True)
    folder = sockets(below)
    process.kill()
    assert until(lambda: not any(child.is_running() for child in below))
    assert until(lambda: not (regions(below) or folder.exists()))
