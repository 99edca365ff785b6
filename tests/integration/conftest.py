"""A real gateway with the real embedded Triton for each module that asks; other modules have the machine alone."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from gateways import RunningGateway

from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.server import Gateway
from hndsr_gateway.settings import Settings

MESSAGE_BYTES = 2**29


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """The gateway's addresses."""
    running = RunningGateway(Settings(listen="127.0.0.1:0", window_cache_mib=32))
    yield running.start()
    running.stop()


@pytest.fixture(scope="module")
def stub(gateway: Gateway) -> Iterator[upscale_pb2_grpc.UpscaleServiceStub]:
    """A client of it."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
    with grpc.insecure_channel(gateway.address, options=options) as channel:
        yield upscale_pb2_grpc.UpscaleServiceStub(channel)
