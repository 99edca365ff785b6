"""A real gateway with the real embedded Triton, in a thread of the tests' own process."""

from __future__ import annotations

import asyncio
import threading

from hndsr_gateway.server import Gateway, running_gateway
from hndsr_gateway.settings import Settings


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
