"""Ways to the gateway that are bad: they delay, cut, turn bits, or swallow everything for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from chaos.proxy import Faults, proxied
from chaos.scenario import ANY, AWAY, Plot
from chaos.stage import Stage

SUFFERED_S = 15.0
"""How long the callers are on a bad way before it is looked at how they do."""
CUTTING = Faults(delay_s=0.02, cuts_per_mib=0.3, half_closes_per_mib=0.3)
TURNING = Faults(flips_per_mib=0.3)
BROKEN = AWAY | {"INTERNAL", "UNKNOWN", "CANCELLED", "AnswerError"}
"""How gRPC itself says that what came was no answer."""
VANISHED_S = 30.0
"""How long nothing comes through."""
NETWORKS = ("203.0.113", "198.51.100", "192.0.2")
"""Of the addresses for documentation; the first that this machine has no part in is taken.

Source: RFC 5737.
"""


@contextlib.contextmanager
def cutting(_: Path) -> Iterator[Plot]:
    """Connections end, wholly or one way, and every chunk is late."""
    yield Plot(_suffer, through=lambda address: _through(address, CUTTING), reasons=BROKEN)


@contextlib.contextmanager
def turning(_: Path) -> Iterator[Plot]:
    """Bits turn, as behind a way that TCP's own checksum does not cover."""
    yield Plot(_suffer, through=lambda address: _through(address, TURNING), reasons=frozenset({ANY}))


def _suffer(stage: Stage) -> None:
    time.sleep(SUFFERED_S)
    stage.mark()


@contextlib.contextmanager
def _through(target: str, faults: Faults) -> Iterator[tuple[str, Counter[str]]]:
    """A proxy in a thread of its own: its address, and what has happened there."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    enough, found = asyncio.Event(), []

    async def serve() -> None:
        async with proxied(target, faults, seed=1) as way:
            found.append(way)
            ready.set()
            await enough.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        ready.wait()
        yield found[0]
    finally:
        loop.call_soon_threadsafe(enough.set)
        thread.join()
        loop.close()


def missing_networks() -> str:
    """What is missing to have a network of one's own."""
    try:
        with _network(f"hndsr{os.getpid()}"):
            return ""
    except (OSError, StopIteration, subprocess.CalledProcessError):
        return "a network namespace (root, iproute2)"


@contextlib.contextmanager
def vanishing(_: Path) -> Iterator[Plot]:
    """A gateway in a network namespace of its own, from which no packet comes back for a while."""
    name = f"hndsr{os.getpid()}"
    with _network(name) as (ours, theirs):

        def act(stage: Stage) -> None:
            _ip("-n", name, "route", "add", "blackhole", f"{ours}/32")
            time.sleep(VANISHED_S)
            _ip("-n", name, "route", "del", "blackhole", f"{ours}/32")
            stage.mark()

        settings = {"HNDSR_INSECURE": "plaintext,anonymous"}
        yield Plot(act, settings, wrapper=("ip", "netns", "exec", name), host=theirs)


@contextlib.contextmanager
def _network(name: str) -> Iterator[tuple[str, str]]:
    """A network namespace with one other end here: the addresses of this end and of that one."""
    taken = [one.address for addresses in psutil.net_if_addrs().values() for one in addresses]
    chosen = next(net for net in NETWORKS if not any(address.startswith(f"{net}.") for address in taken))
    here, there = f"{chosen}.1", f"{chosen}.2"
    ours, theirs = f"{name}a"[-15:], f"{name}b"[-15:]
    _ip("netns", "add", name)
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _ip("addr", "add", f"{here}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        _ip("-n", name, "addr", "add", f"{there}/30", "dev", theirs)
        for device in (theirs, "lo"):
            _ip("-n", name, "link", "set", device, "up")
        yield here, there
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", ours)  # gone at once, while that of a namespace which goes takes its time
        _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S607 - the system's
