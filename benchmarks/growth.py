"""How the cost grows: with the target's size, with streams at once, with diffusion steps. Linear is a flat line."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from service import SCALE, Service, axis_of, noise, running_service, source_side
from timing import median

from hndsr_client import Client


@dataclass(frozen=True)
class Streams:
    """Streams of a model, each of a scene of its own."""

    model: str
    megapixels: float


@dataclass(frozen=True)
class Extent:
    """Sizes are multiples of `megapixels` of 2²⁰ px; what takes less than `short_s` is repeated `repeats` times."""

    megapixels: float = 0.25
    sizes: tuple[int, ...] = (1, 4, 16, 64, 256)
    at_once: tuple[int, ...] = (1, 4, 16, 64)
    streams: tuple[Streams, ...] = (Streams("bicubic", 1), Streams("hndsr", 0.25))
    steps: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 50)
    repeats: int = 3
    short_s: float = 5.0


FULL = Extent()
SMALL = Extent(
    megapixels=0.0625,
    sizes=(1, 4),
    at_once=(1, 4),
    streams=(Streams("bicubic", 0.25), Streams("hndsr", 0.0625)),
    steps=(0, 1, 2),
    repeats=1,
)


def measure(extent: Extent = FULL) -> dict[str, Any]:
    """All three, by one service; no source is sent twice."""
    with running_service(HNDSR_MAX_STREAMS="64") as service, Client(service.address) as client:
        _streamed(client, "hndsr", extent.megapixels, steps=1)
        return {
            "sizes": [_size(client, extent, factor) for factor in extent.sizes],
            "streams": {
                streams.model: [_streams(service, streams, count) for count in extent.at_once]
                for streams in extent.streams
            },
            "steps": _steps(client, extent),
        }


def _size(client: Client, extent: Extent, factor: int) -> dict[str, float]:
    """A stream of `hndsr` at 0 steps, from an array into an array."""
    megapixels = extent.megapixels * factor
    taken = _repeated(client, megapixels, steps=0, extent=extent)
    return {**_cost(megapixels, taken), "windows": axis_of(source_side(megapixels)).windows ** 2}


def _steps(client: Client, extent: Extent) -> list[dict[str, float]]:
    rows = [
        {"steps": steps, **_cost(extent.megapixels, _repeated(client, extent.megapixels, steps=steps, extent=extent))}
        for steps in extent.steps
    ]
    without = rows[0]["seconds"]
    return [
        {**row, "step_s_per_mpx": (row["seconds"] - without) / (row["steps"] or 1) / extent.megapixels} for row in rows
    ]


def _repeated(client: Client, megapixels: float, *, steps: int, extent: Extent) -> float:
    taken: list[float] = []
    while len(taken) < extent.repeats and sum(taken) <= extent.short_s:
        taken.append(_streamed(client, "hndsr", megapixels, steps=steps))
    return median(taken)


def _streams(service: Service, streams: Streams, count: int) -> dict[str, float]:
    """So many at once, each from a client of its own, from the first start to the last end."""
    begin = threading.Barrier(count + 1)

    def stream() -> None:
        with Client(service.address) as client:
            client.info()
            begin.wait()
            _streamed(client, streams.model, streams.megapixels, steps=0)

    with ThreadPoolExecutor(count) as pool:
        works = [pool.submit(stream) for _ in range(count)]
        begin.wait()
        start = time.perf_counter()
        for work in works:
            work.result()
        wall_s = time.perf_counter() - start
    return {"streams": count, **_cost(streams.megapixels * count, wall_s)}


def _streamed(client: Client, model: str, megapixels: float, *, steps: int) -> float:
    """The seconds of a stream from an array of new noise into an array."""
    pixels = noise(source_side(megapixels), time.monotonic_ns())
    sink = np.empty((SCALE * len(pixels), SCALE * len(pixels), 3), np.uint8)
    start = time.perf_counter()
    client.upscale_array(pixels, sink, model=model, scale=SCALE, steps=steps, texture=1.0, seed=0)
    return time.perf_counter() - start


def _cost(megapixels: float, seconds: float) -> dict[str, float]:
    return {"megapixels": megapixels, "seconds": seconds, "s_per_mpx": seconds / megapixels}
