"""A real gateway with the real embedded Triton for each module that asks; other modules have the machine alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import grpc
import pytest

from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.server import Gateway, running_gateway
from hndsr_gateway.settings import Settings

MESSAGE_BYTES = 2**29


class RunningGateway:
    """A gateway in a thread of its own, with both its models."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.gateway: Gateway | None = None
        self.error: BaseException | None = None

    def start(self) -> Gateway:
        """Return once the models answer."""
        self._thread.start()
        self._started.wait()
        if self.gateway is None:
            self._thread.join()
            raise RuntimeError("the gateway did not start") from self.error
        return self.gateway

    def stop(self) -> None:
        """Return once everything has ended."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with running_gateway(self._settings) as self.gateway:
                self._started.set()
                await self._stop.wait()
        except BaseException as error:  # noqa: BLE001 - handed to the starting thread
            self.error = error
        finally:
            self._started.set()


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
