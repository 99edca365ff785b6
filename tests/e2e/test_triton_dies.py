"""A gateway whose Triton dies under it: it stays, says that it does not serve, and serves the same bytes again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import psutil
import pytest
from gateway_process import GatewayProcess, gateway_process
from grpc_health.v1 import health_pb2, health_pb2_grpc
from in_process import scene
from oracle import upscale

from hndsr_client import Client
from hndsr_gateway.triton.guard import STUB

SOURCE, SCALE = scene((60, 70)), "3.14"
WIDE = scene((400, 500))
SERVER = "tritonserver"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
AWAY_S = 60.0


@pytest.fixture(scope="module")
def lasting() -> Iterator[GatewayProcess]:
    """A gateway that outlives its Tritons, and looks after them often."""
    with gateway_process(HNDSR_HEALTH_INTERVAL_S="0.05", HNDSR_WINDOW_CACHE_MIB="0") as running:
        yield running


def kill(gateway: GatewayProcess, name: str) -> None:
    """Kill the process below a gateway whose name begins so."""
    below = psutil.Process(gateway[0].pid).children(recursive=True)
    next(child for child in below if child.name().startswith(name)).kill()


@contextlib.contextmanager
def health(gateway: GatewayProcess) -> Iterator[Callable[[], int]]:
    """What a gateway says next of its health."""
    with grpc.insecure_channel(gateway[1]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=AWAY_S)
        yield lambda: next(watch).status
        watch.cancel()


@pytest.mark.parametrize("name", [SERVER, pytest.param(STUB, marks=pytest.mark.slow)])
def test_gateway_serves_the_same_bytes_again_when_a_process_of_triton_was_killed(
    lasting: GatewayProcess, name: str
) -> None:
    with health(lasting) as told:
        found = [told()]
        kill(lasting, name)
        found += [told(), told()]
    assert (found, lasting[0].poll()) == ([SERVING, NOT_SERVING, SERVING], None)
    with Client(lasting[1]) as client:
        image = client.upscale(SOURCE, model="bicubic", scale=SCALE).image
    np.testing.assert_array_equal(image, upscale(SOURCE, model="bicubic", scale=SCALE).pixels)


def upscaled_while_triton_dies(gateway: GatewayProcess) -> tuple[np.ndarray, int]:
    """An image by many tiles, and how often its stream had to be opened again."""
    tiles: list[object] = []

    def count(progress: object) -> None:
        tiles.append(progress)
        if len(tiles) == 5:
            kill(gateway, SERVER)

    with Client(gateway[1]) as client:
        result = client.upscale_array(
            WIDE, model="bicubic", scale=SCALE, cores_per_tile=1, on_progress=count, patience_s=AWAY_S
        )
    assert len(tiles) > 5
    return result.image, result.reconnections


@pytest.mark.slow
def test_stream_goes_on_when_triton_was_killed(lasting: GatewayProcess) -> None:
    image, reconnections = upscaled_while_triton_dies(lasting)
    assert reconnections == 0
    np.testing.assert_array_equal(image, upscale(WIDE, model="bicubic", scale=SCALE).pixels)


@pytest.mark.slow
def test_every_process_of_a_gateway_serves_again_when_triton_was_killed() -> None:
    with gateway_process(HNDSR_PROCESSES="2", HNDSR_HEALTH_INTERVAL_S="0.05") as gateway:
        with health(gateway) as told:
            assert told() == SERVING
            kill(gateway, SERVER)
            assert (told(), told()) == (NOT_SERVING, SERVING)
        for _ in range(8):
            with Client(gateway[1]) as client:
                assert client.upscale(SOURCE, model="bicubic", scale=2).image.shape == (120, 140, 3)
