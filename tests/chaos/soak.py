"""Sends one gateway thousands of requests of every kind and looks whether it holds more than before: `make soak`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:1] = [str(ROOT / folder) for folder in ("tests", "benchmarks")]
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import grpc  # noqa: E402
from chaos.holdings import Holdings, holdings  # noqa: E402
from chaos.requests import Ways, send  # noqa: E402
from chaos.scenario import STOPPED, Plot  # noqa: E402
from chaos.stage import Stage  # noqa: E402

from hndsr.v1 import upscale_pb2_grpc  # noqa: E402
from hndsr_client import Client  # noqa: E402

THREADS = 4
SETTLE_S, QUIET_S = 30.0, 1.0
"""How long what ended calls hold may take to go, and how long it has to stay the same."""
MEMORY_GROWTH, MEMORY_MIB = 1.1, 16.0
"""By how much the memory of a kind of process may grow, as a factor and beside it."""
SLACK = 2
"""File descriptors, and files in /dev/shm, that may be more: of what is kept for the next request."""


@dataclass
class Result:
    """What was seen."""

    requests: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    """Requests that did not end as they must, by kind and what was wrong."""
    seconds: float = 0.0
    before: Holdings | None = None
    after: Holdings | None = None
    faults: list[str] = field(default_factory=list)


def soak(folder: Path, *, first: int, total: int, seed: int) -> Result:
    """Send requests to a gateway of its own; what it holds after the first ones is what it may hold in the end."""
    result, stage = Result(), Stage(Plot(lambda _: None), folder)
    start_s = time.monotonic()
    try:
        stage.wait_until_served()
        draws = (Random(f"{seed}/{number}") for number in range(10**6))  # noqa: S311 - to be drawn again
        result.before = _after(stage, result, first, draws)
        result.after = _after(stage, result, total - first, draws)
        stage.gateway.stop()
        _look_at(stage, result)
    finally:
        stage.gateway.stop()
        stage.remains.end()
    result.seconds = round(time.monotonic() - start_s, 1)
    return result


def _after(stage: Stage, result: Result, count: int, draws: Iterator[Random]) -> Holdings:
    """What is held once so many more requests have ended."""
    lock, left = threading.Lock(), iter(range(count))

    def work(draw: Random) -> None:
        with Client(stage.address) as client, grpc.insecure_channel(stage.address) as channel:
            ways = Ways(client, upscale_pb2_grpc.UpscaleServiceStub(channel), stage.address)
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                name, wrong = send(ways, draw)
                with lock:
                    result.requests[name] += 1
                    result.wrong.update([f"{name}: {wrong}"] if wrong else [])

    with ThreadPoolExecutor(THREADS) as pool:
        for worker in [pool.submit(work, next(draws)) for _ in range(THREADS)]:
            worker.result()
    return _settled(stage)


def _settled(stage: Stage) -> Holdings:
    """What is held once that does not change any more."""
    gateway, until_s = stage.gateway.process, time.monotonic() + SETTLE_S
    assert gateway
    now = holdings(gateway, stage.scratch)
    while time.monotonic() < until_s:
        time.sleep(QUIET_S)
        before, now = now, holdings(gateway, stage.scratch)
        if (before.descriptors, before.processes, before.regions) == (now.descriptors, now.processes, now.regions):
            break
    return now


def _look_at(stage: Stage, result: Result) -> None:
    assert result.before
    assert result.after
    result.faults += [f"{count} x {what}" for what, count in result.wrong.items()]
    result.faults += grown(result.before, result.after)
    if not STOPPED.issuperset(stage.gateway.exit_codes):
        result.faults.append(f"gateways ended with {stage.gateway.exit_codes}")
    result.faults += [f"left: {what}" for what in stage.left()]


def grown(before: Holdings, after: Holdings) -> list[str]:
    """What is held more than may be."""
    limits = {
        "processes": (after.processes, before.processes),
        "files": (after.files, before.files),
        "files in /dev/shm": (after.regions, before.regions + SLACK),
        "MiB of /dev/shm": (after.regions_mib, before.regions_mib + MEMORY_MIB),
        **{
            f"file descriptors of {kind}": (count, before.descriptors.get(kind, 0) + SLACK)
            for kind, count in after.descriptors.items()
        },
        **{
            f"MiB of {kind}": (mib, before.memory_mib.get(kind, 0.0) * MEMORY_GROWTH + MEMORY_MIB)
            for kind, mib in after.memory_mib.items()
        },
    }
    return [f"{held:g} {what}, at most {limit:g}" for what, (held, limit) in limits.items() if held > limit]


def main() -> int:
    """Soak, print what was seen as JSON, and write it down if that is asked for; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1_000, help="how many of them make what is compared with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write it into docs/robustness.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), first=arguments.first, total=arguments.requests, seed=arguments.seed)
    facts = {**vars(result), **{name: asdict(getattr(result, name)) for name in ("before", "after")}}
    print(json.dumps(facts))  # noqa: T201
    if arguments.record:
        from chaos import record  # noqa: PLC0415 - who only soaks has no need of benchmarks/

        record.write("soak", record.soak_section(facts, first=arguments.first))
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
