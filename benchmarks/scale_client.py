"""The SDK in a process of its own, to be measured: a file into a file, or tiles for nobody until it is ended."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from footprint import peak_resident_mib

from hndsr_client import Client, Progress

SCALE = 4


@dataclass
class Run:
    """What is told of a file."""

    wall_s: float = 0.0
    first_tile_s: float = 0.0
    tiles: int = 0
    peak_resident_mib: float = 0.0


class Noise:
    """A source that is made where it is read, and nowhere the same."""

    def __init__(self, side_px: int) -> None:
        self.shape, self.dtype = (side_px, side_px, 3), np.dtype(np.uint8)

    def __getitem__(self, window: tuple[slice, slice]) -> Any:
        rows, columns = window
        size = (rows.stop - rows.start, columns.stop - columns.start, 3)
        generator = np.random.default_rng((rows.start, columns.start, time.monotonic_ns()))
        return generator.integers(0, 256, size, dtype=np.uint8)


def upscale_file(address: str, source: str, sink: str) -> None:
    """Tell in one line what it took."""
    run, start = Run(), time.monotonic()

    def note(progress: Progress) -> None:
        if progress.tiles_done and not run.first_tile_s:
            run.first_tile_s = time.monotonic() - start

    with Client(address) as client:
        result = client.upscale_array(source, sink, model="bicubic", scale=SCALE, on_progress=note)
    run.wall_s, run.tiles, run.peak_resident_mib = time.monotonic() - start, result.tiles, peak_resident_mib("self")
    print(json.dumps(asdict(run)), flush=True)


def stream(address: str, model: str, side_px: str) -> None:
    """Tell for every tile when it came, by the clock that all processes share."""
    with (
        Client(address) as client,
        client.stream_tiles(Noise(int(side_px)), model=model, scale=SCALE, steps=0) as tiles,
    ):
        for _ in tiles:
            print(time.monotonic(), flush=True)


if __name__ == "__main__":
    {"file": upscale_file, "stream": stream}[sys.argv[1]](*sys.argv[2:])
