"""The whole stack against the bare engine passes of the same windows, its start and its memory."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil

from hndsr_client import Client
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Options, model_repository, read_manifests
from hndsr_ensemble.pipeline import HndsrWindows
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.values import full_ranges, normalise
from hndsr_ensemble.windows import WindowBatch

SIDE_PX = 256
ROUNDS = 3


def source(seed: int) -> np.ndarray:
    """A source that no window cache has seen."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def windows(pixels: np.ndarray, options: Options) -> list[WindowBatch]:
    """Every window of a square image at scale 4, each alone."""
    axis = Axis(pixels.shape[0], Scale(4, 1), read_manifests(model_repository())["hndsr"].geometry)
    ranges, batches = full_ranges(pixels.dtype), []
    for row in range(axis.windows):
        for column in range(axis.windows):
            lr = normalise(pixels[np.ix_(axis.source_indices(row), axis.source_indices(column))], ranges)
            position = np.array([[axis.window_start(row), axis.window_start(column)]], dtype=np.int64)
            batches.append(WindowBatch(lr[None], position, axis.scale, options))
    return batches


def bare_passes(networks: HndsrWindows, pixels: np.ndarray, options: Options) -> None:
    """FNO, UNet and decoder as often as the image needs them, and nothing else."""
    for batch in windows(pixels, options):
        scale = np.array([4.0], dtype=np.float32)
        prior = networks.fno.run({"lr": batch.lr, "scale": scale, "origin": batch.origins})
        for _ in range(options.steps):
            networks.unet.run({"x": prior, "t": np.ones(1, np.float32), "prior": prior, "scale": scale})
        networks.decoder.run({"latent": prior})


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_mib() -> float:
    """Proportional memory of all processes this one started, in MiB: shared pages are counted once."""
    processes = psutil.Process(os.getpid()).children(recursive=True)
    return sum(process.memory_full_info().pss for process in processes) / 2**20


def measure() -> dict[str, Any]:
    """Start, ratio of whole stack to bare passes at 0 and 4 steps, and memory after the work."""
    start = time.perf_counter()
    with Client.embedded() as client:
        ready_s = time.perf_counter() - start
        rows = {steps: _overhead(client, steps) for steps in (0, 4)}
        memory = memory_mib()
    return {"ready_s": ready_s, "memory_mib": memory, "overhead": rows}


def _overhead(client: Client, steps: int) -> dict[str, float]:
    """Whole stack and bare passes in turn, on fresh images; medians."""
    networks = HndsrWindows(model_repository(), ServingSettings.from_environment({}))
    options = replace(Options(0, 1.0, 0), steps=steps)
    networks(windows(source(0), options)[0])
    stack, bare = [], []
    for round_ in range(ROUNDS):
        pixels = source(1 + round_ + 10 * steps)
        stack.append(seconds(lambda: client.upscale(pixels, scale=4, steps=steps, texture=1.0, seed=0)))  # noqa: B023
        bare.append(seconds(lambda: bare_passes(networks, pixels, options)))  # noqa: B023
    whole, passes = statistics.median(stack), statistics.median(bare)
    return {"stack_s": whole, "bare_s": passes, "ratio": whole / passes}
