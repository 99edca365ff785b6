"""Small requests among large ones: how much longer do they take than without them?"""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hndsr_client import Client
from hndsr_client.embedded import EmbeddedGateway


@dataclass(frozen=True)
class Mix:
    """Clients that each send one request after the other, at scale 4."""

    model: str
    small: int
    small_px: int
    requests: int
    large: int
    large_px: int


MIXES = (
    Mix(model="bicubic", small=16, small_px=64, requests=20, large=48, large_px=400),
    Mix(model="hndsr", small=2, small_px=48, requests=10, large=6, large_px=200),
)


def measure() -> dict[str, Any]:
    """The 95th percentile of the small requests' latency alone and in the mix, and their ratio."""
    with EmbeddedGateway() as gateway:
        return {mix.model: _measured(gateway.address, mix) for mix in MIXES}


def _measured(target: str, mix: Mix) -> dict[str, float]:
    generator = np.random.default_rng(0)
    alone = _small(target, mix, generator)
    stop = threading.Event()
    with ThreadPoolExecutor(mix.large) as pool:
        large = [pool.submit(_go_on, target, mix, seed, stop) for seed in range(mix.large)]
        time.sleep(1.0)
        mixed = _small(target, mix, generator)
        stop.set()
        done = sum(work.result() for work in large)
    return {
        "clients": mix.small + mix.large,
        "small_clients": mix.small,
        "alone_p95_s": alone,
        "mixed_p95_s": mixed,
        "ratio": mixed / alone,
        "large_done": done,
    }


def _small(target: str, mix: Mix, generator: np.random.Generator) -> float:
    """The 95th percentile of the latency of all small clients' requests, each with new pixels."""
    seeds = generator.integers(0, 2**31, mix.small)
    with ThreadPoolExecutor(mix.small) as pool:
        latencies = [s for each in pool.map(lambda seed: _latencies(target, mix, int(seed)), seeds) for s in each]
    return statistics.quantiles(latencies, n=20)[-1]


def _latencies(target: str, mix: Mix, seed: int) -> list[float]:
    generator, latencies = np.random.default_rng(seed), []
    with Client(target) as client:
        client.info()
        for _ in range(mix.requests):
            pixels = generator.integers(0, 256, (mix.small_px, mix.small_px, 3), dtype=np.uint8)
            start = time.perf_counter()
            client.upscale(pixels, model=mix.model, steps=0)
            latencies.append(time.perf_counter() - start)
    return latencies


def _go_on(target: str, mix: Mix, seed: int, stop: threading.Event) -> int:
    """Send large requests until told to stop; how many were answered."""
    generator, done = np.random.default_rng(seed), 0
    with Client(target) as client:
        while not stop.is_set():
            pixels = generator.integers(0, 256, (mix.large_px, mix.large_px, 3), dtype=np.uint8)
            client.upscale(pixels, model=mix.model, steps=0)
            done += 1
    return done
