"""The alternative of a FastAPI process around a PyTorch loop, and what it does best."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from service import SCALE, noise
from timing import Rounds, in_turn, median

PROGRAM = Path(__file__).with_name("predecessor_app.py")
PRECISIONS = ("float32", "bfloat16")
BOUNDARY = "hndsr-benchmark"
GRACE_S = 5.0
TRIALS = Rounds(least=1, most=3, budget_s=25)


@dataclass(frozen=True)
class Way:
    """How the loop runs; 0 threads: as many as PyTorch takes by itself."""

    batch: int = 8
    threads: int = 0
    precision: str = "float32"


@dataclass(frozen=True)
class Extent:
    """What is tried: `side_px` of the source makes 16 windows, which each batch divides."""

    batches: tuple[int, ...] = (1, 4, 8)
    threads: tuple[int, ...] = (1, 2)
    side_px: int = 232
    steps: int = 2
    rounds: Rounds = TRIALS


FULL = Extent()
SMALL = Extent(batches=(1, 4), threads=(2,), side_px=120, steps=1, rounds=Rounds(1, 1, 0))
ON_CUDA = replace(FULL, batches=(1, 8, 16, 32, 64), threads=(0,), side_px=456)
"""64 windows."""


class PredecessorError(RuntimeError):
    """It did not start, or did not answer with an image."""


class Predecessor:
    """A running one."""

    def __init__(self, address: str, pid: int) -> None:
        self._address, self._pid = address, pid

    def upscale(self, body: bytes, side_px: int) -> np.ndarray:
        """The target of a body that `request_body` made with raw samples as the answer."""
        connection = http.client.HTTPConnection(self._address)
        try:
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            connection.request("POST", "/upscale", body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise PredecessorError(f"it answered {response.status}: {content[:200]!r}")
        return np.frombuffer(content, np.uint8).reshape(SCALE * side_px, SCALE * side_px, 3)

    def memory_mib(self) -> float:
        """Its proportional memory."""
        return float(psutil.Process(self._pid).memory_full_info().pss / 2**20)


def request_body(pixels: np.ndarray, *, steps: int, way: Way, answer: str = "raw") -> bytes:
    """A form with the image as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    fields = {"steps": steps, **asdict(way), "answer": answer}
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="source.png"\r\n\r\n'.encode()
    return b"".join([*parts, head, file.getvalue(), f"\r\n--{BOUNDARY}--\r\n".encode()])


@contextmanager
def running_predecessor(device: str = "cpu") -> Iterator[Predecessor]:
    """A process of its own on a free port of the loopback address; it ends with this one, whatever happens."""
    command = [sys.executable, str(PROGRAM), "--device", device]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise PredecessorError("it ended before it was ready")
            yield Predecessor(json.loads(line)["address"], process.pid)
        finally:
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def tuned(server: Predecessor, extent: Extent) -> dict[str, Any]:
    """All ways that were tried, and the fastest by precision."""
    tried = [row for precision in PRECISIONS for row in _tried(server, extent, precision)]
    best = {
        precision: min((row for row in tried if row["precision"] == precision), key=lambda row: float(row["seconds"]))
        for precision in PRECISIONS
    }
    return {"tried": tried, "best": best, "steps": extent.steps, "source_px": extent.side_px}


def way_of(row: dict[str, Any]) -> Way:
    """The way of a row of `tuned`."""
    return Way(row["batch"], row["threads"], row["precision"])


def _tried(server: Predecessor, extent: Extent, precision: str) -> list[dict[str, Any]]:
    ways = [Way(batch, threads, precision) for batch, threads in product(extent.batches, extent.threads)]

    def prepare(way: Way) -> Any:
        def prepared(run: int) -> Any:
            body = request_body(noise(extent.side_px, run), steps=extent.steps, way=way)
            return lambda: server.upscale(body, extent.side_px)

        return prepared

    warm = request_body(noise(extent.side_px, 0), steps=1, way=ways[-1])
    server.upscale(warm, extent.side_px)
    taken = in_turn({str(index): prepare(way) for index, way in enumerate(ways)}, extent.rounds)
    return [{**asdict(way), "seconds": median(taken[str(index)])} for index, way in enumerate(ways)]


def measure(extent: Extent = FULL, device: str = "cpu") -> dict[str, Any]:
    """What it does best, alone."""
    with running_predecessor(device) as server:
        return {**tuned(server, extent), "memory_mib": server.memory_mib()}
