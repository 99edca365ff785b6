"""Health that comes from real answers: Triton calls itself ready even when a model's process has died."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from grpc_health.v1 import health, health_pb2

from hndsr.v1 import upscale_pb2
from hndsr_gateway.addresses import network_of
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.holding import Holding
from hndsr_gateway.telemetry import metrics

logger = logging.getLogger(__name__)

SERVICE = upscale_pb2.DESCRIPTOR.services_by_name["UpscaleService"].full_name
RETRY_INTERVAL_S = 0.25
MAX_WATCHERS, WATCHERS_OF_ONE = 64, 16
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health.aio.HealthServicer):
    """Answers health checks, and lets `MAX_WATCHERS` watch: each holds a place among all calls.

    grpc's own `Watch` forgets all watchers of a name when one of them leaves, and lets one that does not read keep the
    status from changing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._watchers = Holding("calls watch the health", most=MAX_WATCHERS, of_one=WATCHERS_OF_ONE)
        self._changed = asyncio.Event()
        """Set when a status changes, and replaced by another."""

    async def set(self, service: str, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Tell everybody who watches a service, or the whole server by an empty name."""
        await super().set(service, status)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802 - grpc's name
        """Tell one watcher of every change until it leaves.

        Raises:
            OverloadedError: if enough others watch, or enough from the same network.
        """
        with self._watchers.one_more(network_of(context.peer())):
            await self._tell(request.service, context)

    async def _tell(self, service: str, context: Any) -> None:
        """Tell a watcher the status, and each that differs from what it was told last."""
        told = None
        while True:
            changed, status = self._changed, self._server_status.get(service, UNKNOWN)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            await changed.wait()


class HealthMonitor:
    """Refreshes the catalogue again and again and tells grpc.health.v1 whether it could.

    Args:
        catalogue: is asked to refresh.
        servicer: answers health checks, for the service and for the whole server.
        interval_s: between two checks while all is well.
    """

    def __init__(self, catalogue: Catalogue, servicer: HealthServicer, *, interval_s: float) -> None:
        self._catalogue, self._servicer, self._interval_s = catalogue, servicer, interval_s
        self._told: list[dict[str, str]] = []
        self.ready = asyncio.Event()
        """Set while the models answer."""

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(self._interval_s if self.ready.is_set() else RETRY_INTERVAL_S)

    async def check(self) -> None:
        """Check once."""
        try:
            await self._catalogue.refresh()
        except UnavailableError:
            await self.set_serving(serving=False)
        else:
            await self.set_serving(serving=True)
        self._tell_models()

    def _tell_models(self) -> None:
        """Tell which revisions are served now, and of those before that they are not."""
        described = [] if not self.ready.is_set() else self._catalogue.models
        served = [
            {"model": model.name, "revision": model.revision, "engine": model.engine, "device": model.device}
            for model in described
        ]
        for facts in (one for one in self._told if one not in served):
            metrics.model_info.set(0, facts)
        for facts in (one for one in served if one not in self._told):
            metrics.begin_tiles(facts["model"])
            metrics.model_info.set(1, facts)
        self._told = served

    async def set_serving(self, *, serving: bool) -> None:
        """Tell everybody who watches."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._servicer.set(name, status)
        metrics.ready.set(int(serving))
        if serving != self.ready.is_set():
            logger.info("now %s", "serving" if serving else "not serving")
        if serving:
            self.ready.set()
        else:
            self.ready.clear()
