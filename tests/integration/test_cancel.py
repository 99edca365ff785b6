"""A client that goes away stops the networks within one window batch, also as an ensemble of Triton's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from gateways import RunningGateway
from messages import raw_request

from hndsr_gateway.server import Gateway
from hndsr_gateway.settings import Settings

STEPS = 3


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One whose networks are models of their own, which Triton counts the passes of."""
    running = RunningGateway(Settings(listen="127.0.0.1:0", networks="ensemble", engine="onnxruntime"))
    yield running.start()
    running.stop()


def evaluations(client: Any) -> int:
    """UNet passes since Triton started."""
    statistics = client.get_inference_statistics("unet", as_json=True)
    return int(statistics["model_stats"][0].get("execution_count", 0))


def long_request(seed: int) -> Any:
    """36 windows of a few steps each: about a minute of work on two cores."""
    source = np.random.default_rng(seed).integers(0, 256, (330, 330, 3), dtype=np.uint8)
    return raw_request(source, model="hndsr", scale="4", options={"steps": STEPS, "seed": seed})


def started(client: Any, before: int) -> bool:
    """Wait until the networks work on the request."""
    for _ in range(600):
        if evaluations(client) > before:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_networks_stop_within_one_window_batch(stub: Any, gateway: Gateway, how: str) -> None:
    with triton.InferenceServerClient(gateway.triton.grpc_address) as client:
        before = evaluations(client)
        call = stub.Upscale.future(long_request(before), timeout=4 if how == "deadline" else None)
        assert started(client, before)
        if how == "cancel":
            call.cancel()
        with pytest.raises((grpc.FutureCancelledError, grpc.RpcError)):
            call.result()
        at_cancel = evaluations(client)
        time.sleep(3)
        assert evaluations(client) - at_cancel <= STEPS
