"""Streams: memory and throughput by size, what they add to the bare passes, and who waits while one goes on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bare import cut, load_bare
from footprint import Footprint, Watch
from timing import seconds

from hndsr_client import Client, StreamResult
from hndsr_client.embedded import EmbeddedGateway

SCALE = 4
MEGAPIXELS = (4, 64, 1024)
"""Of the target, 2²⁰ px each."""
HNDSR_TARGET_PX = 2048
STREAM_ROUNDS = 3
THUMBNAILS = {"bicubic": 60, "hndsr": 30}
THUMBNAIL_PX = 64
LONG_SIDE_PX = 32768
"""Of a source that no stream here comes to the end of."""
TILES_FIRST = 4
BLOCK_ROWS = 256
COMMAND = (sys.executable, "-m", "hndsr_gateway", "--managed", "--listen", "127.0.0.1:0")
PROGRAM = Path(__file__).with_name("scale_client.py")


@dataclass(frozen=True)
class Gateway:
    """A gateway process."""

    address: str
    pid: int


class NoRoomError(RuntimeError):
    """The folder for temporary files is too small for the largest target."""

    def __init__(self, *, folder: str, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(f"{folder} has {free_bytes:,} bytes free, {needed_bytes:,} are needed; set TMPDIR")


def measure() -> dict[str, Any]:
    """All three parts."""
    sizes = [by_size(megapixels) for megapixels in MEGAPIXELS]
    return {
        "sizes": sizes,
        "growth_mib": growth(sizes),
        "hndsr": overhead(),
        "fairness": {model: fairness(model, count) for model, count in THUMBNAILS.items()},
    }


@contextlib.contextmanager
def gateway_process(models: str) -> Iterator[Gateway]:
    """A gateway of its own, ready."""
    with EmbeddedGateway(command=("env", f"HNDSR_MODELS={models}", *COMMAND)) as gateway:
        children = psutil.Process().children()
        yield Gateway(gateway.address, next(child.pid for child in children if COMMAND[2] in child.cmdline()))


def by_size(megapixels: int) -> dict[str, Any]:
    """A target of so many megapixels, from a file of noise into a file, by a gateway that has done nothing before."""
    side_px = int((megapixels * 2**20) ** 0.5) // SCALE
    with tempfile.TemporaryDirectory(prefix="hndsr-scale-") as folder, gateway_process("bicubic") as gateway:
        _check_room(folder, side_px)
        source, target = Path(folder) / "source.npy", Path(folder) / "target.npy"
        write_noise(source, side_px)
        command = [sys.executable, str(PROGRAM), "file", gateway.address, str(source), str(target)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
            Watch(gateway.pid) as of_gateway,
            Watch(process.pid) as of_sdk,
        ):
            told = json.loads(process.communicate()[0])
        of_sdk.resident = told["peak_resident_mib"]
        return _row(megapixels, told, of_gateway, of_sdk)


def _row(megapixels: int, told: dict[str, float], of_gateway: Footprint, of_sdk: Footprint) -> dict[str, Any]:
    return {
        "megapixels": megapixels,
        "tiles": told["tiles"],
        "wall_s": told["wall_s"],
        "mpx_per_s": megapixels / told["wall_s"],
        "first_tile_s": told["first_tile_s"],
        "gateway_mib": asdict(of_gateway),
        "sdk_mib": asdict(of_sdk),
    }


def growth(sizes: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How much more the largest takes than the smallest, by process."""
    first, last = sizes[0], sizes[-1]
    return {name: last[f"{name}_mib"]["resident"] - first[f"{name}_mib"]["resident"] for name in ("gateway", "sdk")}


def _check_room(folder: str, side_px: int) -> None:
    needed_bytes, free_bytes = 3 * side_px**2 * (1 + SCALE**2), shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + 2**28:
        raise NoRoomError(folder=folder, needed_bytes=needed_bytes, free_bytes=free_bytes)


def write_noise(path: Path, side_px: int) -> None:
    """A .npy file that compresses to nothing and has no two windows alike, written in blocks of rows."""
    generator = np.random.default_rng(side_px)
    with path.open("wb", buffering=0) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (side_px, side_px, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for y in range(0, side_px, BLOCK_ROWS):
            block = generator.integers(0, 256, (min(BLOCK_ROWS, side_px - y), side_px, 3), dtype=np.uint8)
            os.pwrite(file.fileno(), block.tobytes(), start + y * side_px * 3)


def overhead() -> dict[str, float]:
    """A stream of `hndsr` at 0 steps and the bare passes of its windows, in turn, on fresh images; medians."""
    networks, side_px = load_bare(), HNDSR_TARGET_PX // SCALE
    generator, results = np.random.default_rng(0), []
    stream, bare = [], []
    with gateway_process("hndsr") as gateway, Client(gateway.address) as client:
        networks.run(cut(_noise(generator, side_px), 0)[:4])
        for _ in range(STREAM_ROUNDS):
            pixels = _noise(generator, side_px)
            stream.append(seconds(lambda: results.append(_streamed(client, pixels))))  # noqa: B023
            windows = cut(pixels, 0)
            bare.append(seconds(lambda: networks.run(windows)))  # noqa: B023
    hits, computed = results[-1].cache_hits, results[-1].computed_windows
    whole, passes = statistics.median(stream), statistics.median(bare)
    return {
        "stream_s": whole,
        "bare_s": passes,
        "ratio": whole / passes,
        "windows": computed,
        "cache_hit_rate": hits / (hits + computed),
        "tiles": results[-1].tiles,
    }


def _streamed(client: Client, pixels: np.ndarray) -> StreamResult:
    return client.upscale_array(pixels, model="hndsr", scale=SCALE, steps=0, texture=1.0, seed=0)


def _noise(generator: np.random.Generator, side_px: int) -> np.ndarray:
    return generator.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


def fairness(model: str, count: int) -> dict[str, Any]:
    """Thumbnails one after another, alone and while a stream goes on; what of the stream was done meanwhile."""
    with gateway_process(model) as gateway, Client(gateway.address) as client:
        alone = [end - start for start, end in _thumbnails(client, model, count)]
        with _Streaming(gateway.address, model) as stream:
            tile_s = stream.tile_s()
            moments = _thumbnails(client, model, count)
            tiles = [stream.tiles(start, end) for start, end in moments]
    among = [end - start for start, end in moments]
    return {
        "alone": _spread(alone),
        "among": _spread(among),
        "tile_s": tile_s,
        "of_bound": max(among) / (tile_s + max(alone)),
        "mean_tiles": statistics.mean(tiles),
        "most_tiles": max(tiles),
    }


def _thumbnails(client: Client, model: str, count: int) -> list[tuple[float, float]]:
    """When requests of one window each, with new pixels, were sent and answered."""
    generator, moments = np.random.default_rng(), []
    client.upscale(_noise(generator, THUMBNAIL_PX), model=model, scale=SCALE, steps=0)
    for _ in range(count):
        pixels, start = _noise(generator, THUMBNAIL_PX), time.monotonic()
        client.upscale(pixels, model=model, scale=SCALE, steps=0)
        moments.append((start, time.monotonic()))
    return moments


def _spread(values: list[float]) -> dict[str, float]:
    return {"p50_s": statistics.median(values), "p95_s": statistics.quantiles(values, n=20)[-1], "max_s": max(values)}


class _Streaming(contextlib.AbstractContextManager["_Streaming"]):
    """A process that takes the tiles of a stream for as long as it is let."""

    def __init__(self, address: str, model: str) -> None:
        command = [sys.executable, str(PROGRAM), "stream", address, model, str(LONG_SIDE_PX)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._times: list[float] = []
        self._first = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def tile_s(self) -> float:
        """The mean time between tiles while nothing else is going on."""
        self._first.wait()
        return (self._times[TILES_FIRST] - self._times[0]) / TILES_FIRST

    def tiles(self, start: float, end: float) -> int:
        """How many came between two moments."""
        return sum(start < moment <= end for moment in self._times)

    def _read(self) -> None:
        with self._process.stdout or io.StringIO() as lines:
            for line in lines:
                self._times.append(float(line))
                if len(self._times) > TILES_FIRST:
                    self._first.set()
        self._first.set()
