"""Processes that end, or stand still."""

from __future__ import annotations

import contextlib
import signal
import time

import psutil
from chaos.stage import Stage

from hndsr_gateway.triton import guard

TRITON, STUB = "tritonserver", guard.STUB[:15]
STILL_S = 8.0
"""How long Triton stands still."""


def kill_triton(stage: Stage) -> None:
    """Triton itself."""
    stage.signal(signal.SIGKILL, TRITON)


def kill_model(stage: Stage) -> None:
    """The process of a model."""
    stage.signal(signal.SIGKILL, STUB)


def kill_guard(stage: Stage) -> None:
    """What starts Triton, and clears up after it."""
    (server, *_) = stage.below(TRITON)
    parent = server.parent()
    assert parent
    stage.mark()
    parent.kill()


def stop_triton(stage: Stage) -> None:
    """Triton stands still for a while; the fault is over when it goes on."""
    (server, *_) = stage.below(TRITON)
    server.suspend()
    try:
        time.sleep(STILL_S)
    finally:
        stage.mark()
        with contextlib.suppress(psutil.NoSuchProcess):
            server.resume()


def kill_gateway(stage: Stage) -> None:
    """The gateway; another one is started, as systemd would do."""
    stage.signal(signal.SIGKILL)


def restart_gateway(stage: Stage) -> None:
    """The gateway is told to stop, as when another version is rolled out; another one is started."""
    stage.signal(signal.SIGTERM)


def kill_process(stage: Stage) -> None:
    """Of several processes that serve the address, the one with the most connections."""
    gateway = stage.gateway.process
    assert gateway
    serving = [child for child in gateway.children() if _listens(child, stage.address)]
    busiest = max(serving, key=lambda child: _count(child, stage.address, "ESTABLISHED"))
    others = len(serving) - 1
    connections = _count(busiest, stage.address, "ESTABLISHED")
    stage.mark()
    busiest.kill()
    stage.until(
        lambda: len([one for one in gateway.children() if one != busiest and _listens(one, stage.address)]) > others,
        timeout_s=30.0,
        fault="no other process was started",
    )
    again_s = time.monotonic() - stage.fault_s
    stage.notes.append(f"{connections} of 3 connections were its own; all processes serve again after {again_s:.1f} s")


def _listens(process: psutil.Process, address: str) -> bool:
    return _count(process, address, "LISTEN") > 0


def _count(process: psutil.Process, address: str, status: str) -> int:
    """How many sockets of a process at an address are in a state."""
    port = int(address.rpartition(":")[2])
    with contextlib.suppress(psutil.Error):
        return sum(one.laddr.port == port and one.status == status for one in process.net_connections("tcp"))
    return 0
