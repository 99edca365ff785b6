"""A stream whose caller goes away stops the networks within one window batch, in the middle of a tile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import streams
from in_process import scene
from messages import raw_request

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.server import Gateway

STEPS = 20
CORES = 6
SIDE_PX = 330
"""One tile of 36 windows at scale 4: several seconds of work on two cores."""
MOST_WINDOWS = 9
"""How many of them may still be run: those that are on their way, generously."""
STARTED_S = 60.0
CLIENT = Path(__file__).parents[1] / "chaos" / "client.py"

Depart = Callable[[], None]


def spent_s(gateway: Gateway) -> float:
    """Processor time of the models' processes so far, in seconds."""
    processes = psutil.Process(gateway.triton.pid).children(recursive=True)
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once something is so."""
    until_s = time.monotonic() + STARTED_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)


@contextlib.contextmanager
def channel(address: str, folder: Path) -> Iterator[Depart]:
    """A caller that closes its channel."""
    pixels = scene((SIDE_PX, SIDE_PX), seed=1)
    opened = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    planned: list[pb.Plan] = []

    def messages() -> Iterator[pb.UpscaleStreamRequest]:
        yield streams.start(pixels, cores=CORES, model="hndsr", options=pb.UpscaleOptions(steps=STEPS))
        wait_until(lambda: bool(planned))
        yield from streams.strips(planned[0], (0, 0), pixels)

    with opened:
        call = upscale_pb2_grpc.UpscaleServiceStub(opened).UpscaleStream(messages())
        planned.append(next(call).plan.plan)
        yield opened.close


@contextlib.contextmanager
def process(address: str, folder: Path) -> Iterator[Depart]:
    """A caller that is killed."""
    np.save(folder / "source.npy", scene((SIDE_PX, SIDE_PX), seed=2))
    command = [sys.executable, str(CLIENT), address, str(folder / "source.npy"), str(folder / "target.npy")]
    command += ["--model", "hndsr", "--steps", str(STEPS), "--cores", str(CORES)]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)}) as caller:
        try:
            yield caller.kill
        finally:
            caller.kill()


@pytest.mark.parametrize("caller", [channel, process])
def test_networks_stop_within_one_window_batch_when_a_streams_caller_goes_away(
    gateway: Gateway, stub: Any, tmp_path: Path, caller: Any
) -> None:
    stub.Upscale(one_window())
    before_s = spent_s(gateway)
    stub.Upscale(one_window())
    window_s = spent_s(gateway) - before_s
    with caller(gateway.address, tmp_path) as depart:
        started_s = spent_s(gateway)
        wait_until(lambda: spent_s(gateway) > started_s + 2 * window_s)
        depart()
        at_departure_s = spent_s(gateway)
    # The only instance of the tiling model answers once it has let go of the tile.
    stub.Upscale(raw_request(scene((9, 9)), model="bicubic", scale="4"))
    assert spent_s(gateway) - at_departure_s <= MOST_WINDOWS * window_s


def one_window() -> pb.UpscaleRequest:
    """A window that no cache has seen, of as many steps."""
    pixels = np.random.default_rng().integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return raw_request(pixels, model="hndsr", scale="4", options={"steps": STEPS})
