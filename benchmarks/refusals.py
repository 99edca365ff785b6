"""What it takes to turn hostile image files down: every refused file of the tests' corpus through a real gateway."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from corpus.calls import upscaled
from corpus.case import Case
from corpus.cases import CASES, LIMITS
from corpus.memory import WatchedWorkers
from corpus.verdicts import Turned
from gateways import RunningGateway
from in_process import Client, connected

from hndsr_gateway.settings import Settings

FILES = (*CASES.values(), *LIMITS.values())
SHOWN = 5
MIB = 2**20
SETTLE_S = 0.02
"""A worker gives the memory of a file back once it has answered."""


def measure() -> dict[str, Any]:
    """How many files are refused, and the slowest and the fattest refusals."""
    running = RunningGateway(Settings(listen="127.0.0.1:0", models="bicubic", default_model="bicubic"))
    address = running.start().address
    try:
        at_rest_mib, refusals = asyncio.run(_measured(address))
    finally:
        running.stop()
    worst = {
        name: sorted(refusals, key=lambda row: -row[figure])[:SHOWN]
        for name, figure in {"slowest": "seconds", "fattest": "memory_mib"}.items()
    }
    return {"files": len(FILES), "refused": len(refusals), "at_rest_mib": at_rest_mib, **worst}


async def _measured(address: str) -> tuple[float, list[dict[str, Any]]]:
    """Memory of a worker before its first file, and a row for each refusal."""
    with WatchedWorkers() as workers:
        at_rest_mib = workers.peak_bytes() / MIB
        async with connected(address) as client:
            rows = [await _row(client, workers, case) for case in FILES]
    return at_rest_mib, [row for row in rows if row is not None]


async def _row(client: Client, workers: WatchedWorkers, case: Case) -> dict[str, Any] | None:
    """One file's refusal, None if it is accepted."""
    content = case.content
    await asyncio.sleep(SETTLE_S)
    workers.forget()
    start = time.perf_counter()
    outcome = await upscaled(client, content)
    seconds, memory_mib = time.perf_counter() - start, workers.peak_bytes() / MIB
    if not isinstance(outcome, Turned):
        return None
    measured = {"seconds": seconds, "memory_mib": memory_mib, "file_bytes": len(content)}
    return {"name": case.name, "reason": outcome.reason, **measured}
