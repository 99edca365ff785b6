"""The whole stack against the bare engine passes of the same windows, its start and its memory."""

from __future__ import annotations

import statistics
import time
from typing import Any

from bare import cut, load_bare
from service import SCALE, memory_mib, noise, running_service
from timing import seconds

from hndsr_client import Client
from hndsr_ensemble.serving import ServingSettings

SIDE_PX = 256
ROUNDS = 5


def measure() -> dict[str, Any]:
    """Start, ratio of whole stack to bare passes at 0 and 4 steps, and memory after the work, for each engine."""
    return {"engines": [_measured({"HNDSR_ENGINE": engine}) for engine in ("auto", "onnxruntime")]}


def _measured(environment: dict[str, str]) -> dict[str, Any]:
    """With what the environment decides for the service and for the bare passes alike."""
    settings = ServingSettings.from_environment(environment)
    start = time.perf_counter()
    with running_service(**environment) as service, Client(service.address) as client:
        ready_s = time.perf_counter() - start
        rows = {steps: _overhead(client, settings, steps) for steps in (0, 4)}
        served = next(model.engine for model in client.info().models if model.name == "hndsr")
        return {"engine": served, "ready_s": ready_s, "memory_mib": memory_mib()["all"], "overhead": rows}


def _overhead(client: Client, settings: ServingSettings, steps: int) -> dict[str, float]:
    """Whole stack and bare passes in turn, on fresh images; medians."""
    bare = load_bare(settings)
    bare.run(cut(noise(SIDE_PX, 0), steps)[:4])
    stack, passes = [], []
    for round_ in range(ROUNDS):
        pixels = noise(SIDE_PX, 1 + round_ + 10 * steps)
        windows = cut(pixels, steps)
        stack.append(seconds(lambda: client.upscale(pixels, scale=SCALE, steps=steps, texture=1.0, seed=0)))  # noqa: B023
        passes.append(seconds(lambda: bare.run(windows)))  # noqa: B023
    whole, limit = statistics.median(stack), statistics.median(passes)
    return {"stack_s": whole, "bare_s": limit, "ratio": whole / limit}
