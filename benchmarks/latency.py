"""How long one waits: for small requests by their number, for the first pixel, for a service that starts."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import grpc
import numpy as np
from service import SCALE, Service, memory_mib, noise, running_service, source_side
from timing import median, spread

from hndsr.v1.upscale_pb2 import (
    SAMPLE_TYPE_UINT8,
    Plan,
    SourceStrip,
    StreamStart,
    UpscaleOptions,
    UpscaleParameters,
    UpscaleStreamRequest,
)
from hndsr.v1.upscale_pb2_grpc import UpscaleServiceStub
from hndsr_client import Client

THUMBNAIL_PX = 64
STRIP_BYTES = 2**20


@dataclass(frozen=True)
class Extent:
    """Each concurrency for so many seconds; streams whose first pixel is waited for, of so many Mpx of 2²⁰ px."""

    concurrency: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    level_s: float = 6.0
    least_each: int = 2
    stream_megapixels: float = 64
    repeats: int = 5
    starts: int = 3


FULL = Extent()
SMALL = Extent(concurrency=(1, 4), level_s=1.0, stream_megapixels=1, repeats=1, starts=1)


def measure(extent: Extent = FULL) -> dict[str, Any]:
    """Cold starts, memory before and after all the rest, latencies by model and concurrency, first pixels."""
    starts = [_start() for _ in range(extent.starts)]
    with running_service() as service:
        at_rest = memory_mib()
        levels = {
            model: [_level(service, model, count, extent) for count in extent.concurrency]
            for model in ("hndsr", "bicubic")
        }
        first = {model: _first_pixels(service, model, extent) for model in ("hndsr", "bicubic")}
        after = memory_mib()
    return {
        "start": {name: median([start[name] for start in starts]) for name in starts[0]},
        "memory_mib": {"at_rest": at_rest, "after": after},
        "levels": levels,
        "first": {"stream_megapixels": extent.stream_megapixels, **first},
    }


def _start() -> dict[str, float]:
    """From the start of the process until it says that it is ready, and until it has answered."""
    start = time.perf_counter()
    with running_service() as service, Client(service.address) as client:
        ready_s = time.perf_counter() - start
        client.upscale(noise(THUMBNAIL_PX, 0), model="hndsr", scale=SCALE, steps=4)
        return {"ready_s": ready_s, "first_answer_s": time.perf_counter() - start}


def _level(service: Service, model: str, concurrency: int, extent: Extent) -> dict[str, float]:
    """Requests of one window each at 0 steps, from so many clients that each wait for their answer."""
    begin, enough = threading.Barrier(concurrency + 1), threading.Event()

    def client_work(number: int) -> list[float]:
        with Client(service.address) as client:
            generator, latencies = np.random.default_rng((concurrency, number, time.monotonic_ns())), []
            _thumbnail(client, model, generator)
            begin.wait()
            while not enough.is_set() or len(latencies) < extent.least_each:
                latencies.append(_thumbnail(client, model, generator))
            return latencies

    with ThreadPoolExecutor(concurrency) as pool:
        works = [pool.submit(client_work, number) for number in range(concurrency)]
        begin.wait()
        start = time.perf_counter()
        time.sleep(extent.level_s)
        enough.set()
        latencies = [latency for work in works for latency in work.result()]
        wall_s = time.perf_counter() - start
    return {
        "concurrency": concurrency,
        "requests": len(latencies),
        "per_s": len(latencies) / wall_s,
        **spread(latencies),
    }


def _thumbnail(client: Client, model: str, generator: np.random.Generator) -> float:
    pixels = generator.integers(0, 256, (THUMBNAIL_PX, THUMBNAIL_PX, 3), dtype=np.uint8)
    start = time.perf_counter()
    client.upscale(pixels, model=model, scale=SCALE, steps=0)
    return time.perf_counter() - start


def _first_pixels(service: Service, model: str, extent: Extent) -> dict[str, float]:
    """The first strip and the whole first tile of a stream, and a thumbnail, each on an idle service at 0 steps."""
    generator = np.random.default_rng()
    with Client(service.address) as client:
        thumbnails = [_thumbnail(client, model, generator) for _ in range(1 + extent.repeats)][1:]
    streams = [_first_strip(service, model, extent.stream_megapixels) for _ in range(1 + extent.repeats)][1:]
    return {
        "thumbnail_s": median(thumbnails),
        "first_strip_s": median([first for first, _ in streams]),
        "first_tile_s": median([whole for _, whole in streams]),
    }


def _first_strip(service: Service, model: str, megapixels: float) -> tuple[float, float]:
    """When the first strip of a stream's first tile is here, and when its last, by the contract itself.

    The channel is open; the source is noise, made where it is read.
    """
    side_px, requests = source_side(megapixels), SimpleQueue[UpscaleStreamRequest | None]()
    parameters = UpscaleParameters(model=model, scale=str(SCALE), options=UpscaleOptions(steps=0))
    with grpc.insecure_channel(service.address) as channel:
        grpc.channel_ready_future(channel).result()
        start = time.perf_counter()
        requests.put(
            UpscaleStreamRequest(
                start=StreamStart(
                    source_height_px=side_px,
                    source_width_px=side_px,
                    sample_type=SAMPLE_TYPE_UINT8,
                    parameters=parameters,
                )
            )
        )
        answers = UpscaleServiceStub(channel).UpscaleStream(iter(requests.get, None))
        first_s = 0.0
        for answer in answers:
            if answer.HasField("plan"):
                for strip in _first_tile(answer.plan.plan):
                    requests.put(UpscaleStreamRequest(strip=strip))
            elif answer.HasField("strip"):
                first_s = first_s or time.perf_counter() - start
                if answer.strip.last:
                    break
        whole_s = time.perf_counter() - start
        answers.cancel()
        requests.put(None)
    return first_s, whole_s


def _first_tile(plan: Plan) -> Iterator[SourceStrip]:
    rows, columns = plan.row_spans[0], plan.column_spans[0]
    height, width = rows.source_stop_px - rows.source_start_px, columns.source_stop_px - columns.source_start_px
    pixels = np.random.default_rng(time.monotonic_ns()).integers(0, 256, (height, width, 3), dtype=np.uint8)
    step = max(1, STRIP_BYTES // (3 * width))
    for y in range(0, height, step):
        samples, last = pixels[y : y + step].tobytes(), y + step >= height
        head = np.array([0, 0, y, last], dtype="<u4").tobytes()
        yield SourceStrip(
            row=0, column=0, y_px=y, pixels=samples, checksum=zlib.crc32(samples, zlib.crc32(head)), last=last
        )
