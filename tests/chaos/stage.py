"""A gateway with callers, in a folder of its own, that something is done to."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
from chaos.ports import free_port
from chaos.remains import VARIABLE, Remains
from chaos.scenario import ANY, STOPPED, Outcome, Plot, Scenario
from chaos.supervised import Supervised
from chaos.traffic import WRONG, Callers
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hndsr_gateway.triton import guard

START_S = 120.0
WELL_S = 150.0
"""How long it may take until all is well again."""
ANSWERS = 10
"""Right answers in a row that say so."""
TILES_BEFORE = 5
LOOK_S = 0.05
UNFORESEEN = "unforeseen failure"
"""What a gateway logs when it answers INTERNAL."""
SETTINGS = {
    "HNDSR_MODELS": "bicubic",
    "HNDSR_WINDOW_CACHE_MIB": "0",
    "HNDSR_HEALTH_INTERVAL_S": "0.5",
    "HNDSR_DRAIN_GRACE_S": "5",
}


class Stage:
    """What a plot acts on.

    Args:
        plot: what will be done.
        folder: where everything lies.
    """

    def __init__(self, plot: Plot, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.plot, self.folder, self.log = plot, folder, folder / "gateway.log"
        self.address = f"{plot.host}:{free_port()}"
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.fault_s = 0.0
        """When the fault was there, or was over if it lasts."""
        self.callers = Callers(folder, metadata=plot.metadata)
        self.remains = Remains(self.scratch)
        command = [*plot.wrapper, sys.executable, "-m", "hndsr_gateway", "--listen", self.address]
        environment = {**os.environ, **SETTINGS, **plot.settings, VARIABLE: str(self.scratch)}
        self.gateway = Supervised(command, environment, self.log, again=lambda _: True)

    def mark(self) -> None:
        """Say that the fault is there, or is over."""
        self.fault_s = time.monotonic()

    def below(self, name: str) -> list[psutil.Process]:
        """The processes below the gateway whose names begin so, oldest first."""
        found, top = [], self.gateway.process
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in top.children(recursive=True) if top else []:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [child] if child.name().startswith(name) else []
        return sorted(found, key=lambda process: process.pid)

    def signal(self, number: int, name: str = "") -> None:
        """Send a signal to a process below the gateway, or to the gateway, and mark it as the fault."""
        victims = self.below(name) if name else [self.gateway.process]
        self.mark()
        assert victims[0]
        victims[0].send_signal(number)

    def wait_until_served(self, timeout_s: float = START_S) -> None:
        """Return once the gateway says that it serves.

        Raises:
            TimeoutError: it does not.
        """
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(self.address) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(LOOK_S)
        raise TimeoutError(f"no service after {timeout_s:g} s: {self.log.read_text(errors='replace')[-2000:]}")

    def left(self) -> list[str]:
        """What is left some time after the last gateway was stopped: processes, files, shared memory."""
        marks = [f"_{pid}_" for pid in self.gateway.pids]
        found = self.remains.left()
        regions = [path for path in guard.SHARED_MEMORY.glob("hndsr_*") if any(mark in path.name for mark in marks)]
        return [*found, *(str(path) for path in regions if str(path) not in found)]

    def until(self, condition: Callable[[], bool], *, timeout_s: float, fault: str) -> bool:
        """Wait for a condition; it is a fault that it does not come true in time."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if condition():
                return True
            time.sleep(LOOK_S)
        self.faults.append(fault)
        return False


def play(scenario: Scenario, folder: Path) -> Outcome:
    """Bring the fault about under traffic, wait until all is well again, and look at what there is."""
    outcome, start_s = Outcome(scenario.name), time.monotonic()
    with scenario.plot(folder) as plot:
        stage = Stage(plot, folder)
        try:
            _run(stage)
            _look_at(stage, outcome)
        finally:
            stage.gateway.stop()
            stage.remains.end()
    outcome.faults += stage.faults
    outcome.notes += stage.notes
    outcome.seconds = round(time.monotonic() - start_s, 1)
    return outcome


def _run(stage: Stage) -> None:
    try:
        _act(stage)
    except Exception as error:  # noqa: BLE001 - the other faults are played all the same
        stage.faults.append(f"could not be played to its end: {error!r}")


def _act(stage: Stage) -> None:
    with contextlib.ExitStack() as stack:
        stack.callback(stage.gateway.stop)
        stage.wait_until_served()
        address = stage.address
        if stage.plot.through is not None:
            address, happened = stack.enter_context(stage.plot.through(stage.address))
            stack.callback(lambda: stage.notes.append(f"on the way: {_counted(happened)}"))
        stack.callback(stage.callers.stop)
        stage.callers.start(address)
        if not stage.callers.wait_for_tiles(TILES_BEFORE, timeout_s=START_S):
            stage.faults.append("the scene does not begin")
            return
        if not all(seen.right_after(0.0) for seen in (stage.callers.plain, stage.callers.patient)):
            stage.faults.append("nothing is right before anything is done")
            return
        stage.mark()
        stage.plot.act(stage)
        if not stage.callers.wait_until_well(stage.fault_s, answers=ANSWERS, timeout_s=WELL_S):
            stage.faults.append(f"not well again after {WELL_S:g} s")


def _look_at(stage: Stage, outcome: Outcome) -> None:
    callers, plot, faults = stage.callers, stage.plot, outcome.faults
    outcome.plain, outcome.patient = (seen.facts(stage.fault_s) for seen in (callers.plain, callers.patient))
    outcome.lasts = plot.through is not None
    outcome.scene = {
        "right": callers.scene_is_right,
        "calls": callers.scene_calls,
        "reconnections": callers.reconnections,
        "longest_pause_s": round(callers.longest_pause_s, 1),
        "refused": dict(callers.scene_errors),
    }
    if not callers.scene_is_right:
        faults.append("the scene is not right")
    for who, facts in (("plain", outcome.plain), ("patient", outcome.patient)):
        unlooked_for = set() if ANY in plot.reasons else set(facts["refused"]) - plot.reasons
        faults += [f"{who} caller: {WRONG if name == WRONG else 'refused with ' + name}" for name in unlooked_for]
    *ended, stopped = stage.gateway.exit_codes
    if not plot.endings.issuperset(ended) or stopped not in STOPPED | plot.endings:
        faults.append(f"gateways ended with {stage.gateway.exit_codes}")
    if UNFORESEEN in stage.log.read_text(errors="replace"):
        faults.append(f"{UNFORESEEN} in {stage.log.name}")
    faults += [f"left: {what}" for what in stage.left()]


def _counted(happened: Counter[str]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(happened.items())) or "nothing"
