"""A caller who rather has a lesser answer than none gets one when Triton is killed in the middle of an image."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from gateways import RunningGateway
from messages import raw_request

from hndsr_gateway.server import Gateway
from hndsr_gateway.settings import Settings

SOURCE = np.random.default_rng(3).integers(0, 256, (230, 230, 3), dtype=np.uint8)
"""5 x 5 windows at scale 4."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One whose images take many tiles."""
    running = RunningGateway(Settings(listen="127.0.0.1:0", cores_per_tile=1))
    yield running.start()
    running.stop()


def tiles_done(client: Any) -> int:
    """Tiles and descriptions since Triton started."""
    statistics = client.get_inference_statistics("hndsr", as_json=True)
    return int(statistics["model_stats"][0].get("inference_count", 0))


def wait_for_tiles(client: Any, count: int) -> None:
    """Return when so many more are done."""
    before = tiles_done(client)
    for _ in range(600):
        if tiles_done(client) >= before + count:
            return
        time.sleep(0.05)
    raise AssertionError("no tile came in time")


def test_answer_is_tritons_bicubic_when_triton_is_killed(stub: Any, gateway: Gateway) -> None:
    assert gateway.triton is not None
    expected = stub.Upscale(raw_request(SOURCE, model="bicubic", scale="4"))
    asked = raw_request(SOURCE, model="hndsr", scale="4", options={"steps": 8})
    asked.allow_degraded = True
    with triton.InferenceServerClient(gateway.triton.grpc_address) as client:
        call = stub.Upscale.future(asked)
        wait_for_tiles(client, 2)
    os.kill(gateway.triton.pid, signal.SIGKILL)
    answer = call.result()
    degraded, made = answer.metadata.degraded, answer.metadata
    assert (degraded.reason, degraded.model, degraded.options.steps) == ("BACKEND_UNAVAILABLE", "hndsr", 8)
    assert (made.model, made.revision) == ("bicubic", expected.metadata.revision)
    assert answer.raw == expected.raw
