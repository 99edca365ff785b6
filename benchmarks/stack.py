"""The whole stack against the bare engine passes of the same windows, its start and its memory."""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import numpy as np
import psutil
from bare import cut, load_bare
from timing import seconds

from hndsr_client import Client

SIDE_PX = 256
ROUNDS = 3


def source(seed: int) -> np.ndarray:
    """A source that no window cache has seen."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def memory_mib() -> float:
    """Proportional memory of all processes this one started, in MiB: shared pages are counted once."""
    processes = psutil.Process(os.getpid()).children(recursive=True)
    return sum(process.memory_full_info().pss for process in processes) / 2**20


def measure() -> dict[str, Any]:
    """Start, ratio of whole stack to bare passes at 0 and 4 steps, and memory after the work, for each engine."""
    return {"engines": [_measured(engine) for engine in ("auto", "onnxruntime")]}


def _measured(engine: str) -> dict[str, Any]:
    """What the environment says decides for the service and for the bare passes alike."""
    before = os.environ.get("HNDSR_ENGINE")
    os.environ["HNDSR_ENGINE"] = engine
    try:
        start = time.perf_counter()
        with Client.embedded() as client:
            ready_s = time.perf_counter() - start
            rows = {steps: _overhead(client, steps) for steps in (0, 4)}
            served = next(model.engine for model in client.info().models if model.name == "hndsr")
            return {"engine": served, "ready_s": ready_s, "memory_mib": memory_mib(), "overhead": rows}
    finally:
        os.environ.pop("HNDSR_ENGINE")
        if before is not None:
            os.environ["HNDSR_ENGINE"] = before


def _overhead(client: Client, steps: int) -> dict[str, float]:
    """Whole stack and bare passes in turn, on fresh images; medians."""
    bare = load_bare()
    bare.run(cut(source(0), steps)[:4])
    stack, passes = [], []
    for round_ in range(ROUNDS):
        pixels = source(1 + round_ + 10 * steps)
        windows = cut(pixels, steps)
        stack.append(seconds(lambda: client.upscale(pixels, scale=4, steps=steps, texture=1.0, seed=0)))  # noqa: B023
        passes.append(seconds(lambda: bare.run(windows)))  # noqa: B023
    whole, limit = statistics.median(stack), statistics.median(passes)
    return {"stack_s": whole, "bare_s": limit, "ratio": whole / limit}
