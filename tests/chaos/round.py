"""A round of chaos: real processes, of which some are killed while an image is upscaled."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from chaos.ports import free_port
from chaos.remains import VARIABLE, Remains
from chaos.script import CLIENT, GATEWAY, STUB, TRITON, Kill, Script
from chaos.supervised import Supervised
from oracle import upscale

from hndsr_gateway.__main__ import EXIT_STARTUP, EXIT_TRITON_DIED
from hndsr_gateway.triton import guard

CLIENT_PROGRAM = Path(__file__).with_name("client.py")
PACE_S = 0.06
"""The client dawdles after each tile, so that kills find something to interrupt."""
ROUND_S = 120.0
LOOK_S = 0.02
ENDINGS = {-signal.SIGKILL, EXIT_STARTUP, EXIT_TRITON_DIED}
"""How a gateway may end of which something was killed."""
STOPPED = {0, -signal.SIGTERM}
"""How the last one may end."""
UNFORESEEN = "unforeseen failure"
"""What a gateway logs when it answers INTERNAL."""
PROGRAMS = {TRITON: "tritonserver", STUB: guard.STUB[:15]}


@dataclass
class Outcome:
    """How a round went."""

    faults: list[str] = field(default_factory=list)
    """Everything that is not as it must be."""
    killed: int = 0
    gateways: int = 0
    clients: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        counts = f"{self.killed} killed, {self.clients} clients, {self.gateways} gateways, {self.seconds:.1f} s"
        return f"{counts}; {'; '.join(self.faults) or 'well'}"


class Round:
    """One image on its way, in a folder of its own."""

    def __init__(self, script: Script, folder: Path) -> None:
        self._script, self._folder = script, folder
        self._images, scratch = folder / "images", folder / "scratch"
        for made in (self._images, scratch):
            made.mkdir()
        right = upscale(script.source(), model="bicubic", scale=script.scale, mask=script.mask())
        self._expected = {"target.npy": right.pixels} | ({"target_mask.npy": right.mask} if script.masked else {})
        self._save_sources()
        self._environment = {**os.environ, "HNDSR_MODELS": "bicubic", VARIABLE: str(scratch)}
        self._address = f"127.0.0.1:{free_port()}"
        self._told = 0
        self._tiles = threading.Condition()
        self._remains = Remains(scratch)
        self.outcome = Outcome()

    def play(self) -> Outcome:
        """Begin, kill, wait for the end, and look at what there is."""
        start_s = time.monotonic()
        self._until_s = start_s + ROUND_S
        try:
            self._look_at(*self._run())
        finally:
            self._remains.end()
        self.outcome.seconds = time.monotonic() - start_s
        return self.outcome

    def _run(self) -> tuple[Supervised, Supervised]:
        with contextlib.ExitStack() as stack:
            gateway = self._start_gateway()
            stack.callback(gateway.stop)
            client = self._start_client()
            stack.callback(client.stop)
            for kill in self._script.kills:
                self._kill(kill, gateway, client)
            if not client.ended.wait(max(0.0, self._until_s - time.monotonic())):
                self.outcome.faults.append(f"no end after {ROUND_S:g} s")
        return gateway, client

    def _start_gateway(self) -> Supervised:
        command = [sys.executable, "-m", "hndsr_gateway", "--listen", self._address]
        return Supervised(command, self._environment, self._folder / "gateway.log", again=lambda _: True)

    def _start_client(self) -> Supervised:
        images = self._images
        command = [sys.executable, str(CLIENT_PROGRAM), self._address]
        command += [str(images / "source.npy"), str(images / "target.npy")]
        command += ["--scale", self._script.scale, "--pace-s", str(PACE_S)]
        if self._script.masked:
            command += ["--mask", str(images / "mask.npy"), "--mask-sink", str(images / "target_mask.npy")]
        return Supervised(
            command,
            self._environment,
            self._folder / "client.log",
            again=lambda code: code == -signal.SIGKILL,
            on_line=lambda _: self._tell(),
        )

    def _tell(self) -> None:
        with self._tiles:
            self._told += 1
            self._tiles.notify_all()

    def _kill(self, kill: Kill, gateway: Supervised, client: Supervised) -> None:
        aim, before = self._told + kill.after_tiles, client.ended.is_set
        self._wait_for(lambda: self._told >= aim or before())
        client.ended.wait(kill.delay_s)
        victims: list[psutil.Process] = []

        def found() -> bool:
            victims[:] = _victims(kill.victim, gateway, client)
            return bool(victims) or before()

        self._wait_for(found)
        if victims and not before():
            with contextlib.suppress(psutil.NoSuchProcess):
                victims[kill.which % len(victims)].kill()
                self.outcome.killed += 1

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        with self._tiles:
            while not condition() and time.monotonic() < self._until_s:
                self._tiles.wait(LOOK_S)

    def _look_at(self, gateway: Supervised, client: Supervised) -> None:
        self.outcome.clients, self.outcome.gateways = len(client.exit_codes), len(gateway.exit_codes)
        *ended, stopped = gateway.exit_codes
        faults = self.outcome.faults
        if client.exit_codes[-1] != 0:
            faults.append(f"the client ended with {client.exit_codes[-1]}")
        else:
            faults += self._wrong_files()
        if not ENDINGS.issuperset(ended) or stopped not in ENDINGS | STOPPED:
            faults.append(f"gateways ended with {gateway.exit_codes}")
        if UNFORESEEN in (self._folder / "gateway.log").read_text(errors="replace"):
            faults.append(f"{UNFORESEEN} in gateway.log")
        faults += [f"left: {what}" for what in self._remains.left()]

    def _save_sources(self) -> None:
        np.save(self._images / "source.npy", self._script.source())
        if (mask := self._script.mask()) is not None:
            np.save(self._images / "mask.npy", mask)
            np.save(self._images / "target_mask.npy", np.zeros_like(self._expected["target_mask.npy"]))

    def _wrong_files(self) -> list[str]:
        wrong = [f"{name} is wrong" for name, array in self._expected.items() if not self._holds(name, array)]
        known = {"source.npy", *self._expected} | ({"mask.npy"} if self._script.masked else set())
        return wrong + [f"left: {path.name}" for path in self._images.iterdir() if path.name not in known]

    def _holds(self, name: str, array: np.ndarray | None) -> bool:
        path = self._images / name
        return array is not None and path.is_file() and _digest(np.load(path)) == _digest(array)


def _digest(array: np.ndarray) -> tuple[str, tuple[int, ...], str]:
    return array.dtype.name, array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _victims(kind: str, gateway: Supervised, client: Supervised) -> list[psutil.Process]:
    """Processes of a kind that run now, oldest first."""
    chosen = (client if kind == CLIENT else gateway).process
    if chosen is None or kind in {CLIENT, GATEWAY}:
        return [] if chosen is None else [chosen]
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in chosen.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [child] if child.name().startswith(PROGRAMS[kind]) else []
    return sorted(found, key=lambda process: process.pid)
