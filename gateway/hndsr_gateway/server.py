"""The gateway as a whole: Triton, service, health and reflection, from start to drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hndsr_gateway import http2
from hndsr_gateway.access import AccessInterceptor
from hndsr_gateway.backend import TileBackend
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import StartupError
from hndsr_gateway.hosting import UnknownDefaultModelError, embedded_instances, embedded_options, region_pool
from hndsr_gateway.identity.identity import Identity
from hndsr_gateway.identity.startup import check_settings, keep_warning
from hndsr_gateway.identity.tls import TlsFiles, server_credentials
from hndsr_gateway.images.pool import ImageWorkers
from hndsr_gateway.interceptors import METHODS, CallInterceptor, ErrorInterceptor
from hndsr_gateway.limits import Limits
from hndsr_gateway.monitor import MAX_WATCHERS, SERVICE, HealthMonitor, HealthServicer
from hndsr_gateway.receiving import ReceivingInterceptor
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.servicer import UpscaleServicer, add_to_server
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.triton.client import TritonBackend
from hndsr_gateway.triton.embedded import EmbeddedTriton
from hndsr_gateway.triton.endpoints import EndpointPool
from hndsr_gateway.triton.supervisor import supervised
from hndsr_gateway.types import OptionChoices
from hndsr_gateway.untaken import UNTAKEN_CALLS, UntakenInterceptor

logger = logging.getLogger(__name__)

FLUSH_S = 0.5
"""How long answers may take to leave once the work is done, and health watchers to notice, in seconds."""


SMALL_RPCS = 16 + MAX_WATCHERS
"""Places for calls beside those that are worked on or wait: health, descriptions, plans, refusals."""


class ListenError(StartupError):
    """The address cannot be bound."""

    def __init__(self, *, address: str) -> None:
        super().__init__(
            f"cannot listen on {address}: it is in use, or no address of this machine; set HNDSR_LISTEN to a free one"
        )


class NotReadyError(StartupError):
    """The models did not pass their probe in time."""

    def __init__(self, *, timeout_s: float) -> None:
        super().__init__(
            f"the models were not ready within {timeout_s:g} s; see the log, or raise HNDSR_STARTUP_TIMEOUT_S"
        )


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    address: str
    triton: EmbeddedTriton | None = None
    supervision: asyncio.Task[None] | None = None
    """Starts the embedded Triton again when it dies."""

    async def wait(self) -> None:
        """Wait until the embedded Triton is lost; for ever without one.

        Raises:
            TritonLostError: it died and does not start any more.
        """
        if self.supervision is None:
            await asyncio.Event().wait()
        else:
            await asyncio.wait({self.supervision})  # which goes on when this is cancelled: requests may need Triton
            self.supervision.result()


@contextlib.asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Start everything, yield once the models are ready, and stop everything.

    Raises:
        StartupError: saying what to mend.
    """
    async with contextlib.AsyncExitStack() as stack:
        await check_free(settings.listen)
        settings, triton = await stack.enter_async_context(running_triton(settings))
        headers = {} if triton is None else triton.control_headers
        supervision = None if triton is None else await stack.enter_async_context(supervised(triton))
        bound = await stack.enter_async_context(serving_tritons(settings, control_headers=headers))
        yield Gateway(bound, triton, supervision)


@contextlib.asynccontextmanager
async def running_triton(settings: Settings) -> AsyncIterator[tuple[Settings, EmbeddedTriton | None]]:
    """The embedded Triton, if one is wanted, and the settings with its address.

    Raises:
        StartupError: saying what to mend.
    """
    if settings.triton_addresses:
        yield settings, None
        return
    async with EmbeddedTriton(embedded_options(settings)) as triton:
        settings = _as_many_tiles_as_instances(settings)
        yield settings.model_copy(update={"triton_endpoints": triton.grpc_address}), triton


@contextlib.asynccontextmanager
async def serving_tritons(settings: Settings, *, control_headers: Mapping[str, str]) -> AsyncIterator[str]:
    """Serve the Tritons of `triton_endpoints`; yields the bound address once the models are ready.

    Args:
        settings: with at least one endpoint.
        control_headers: metadata that the embedded Triton wants with calls that register shared memory.

    Raises:
        StartupError: saying what to mend.
    """
    async with contextlib.AsyncExitStack() as stack:
        regions = region_pool(settings)
        if regions is not None:
            stack.push_async_callback(regions.close)
        backend = EndpointPool(
            settings.triton_addresses,
            lambda address: TritonBackend(
                address,
                describe_timeout_s=settings.health_timeout_s,
                tile_timeout_s=settings.tile_timeout_s,
                regions=regions,
                headers=control_headers,
            ),
        )
        stack.push_async_callback(backend.close)
        images = await stack.enter_async_context(image_workers(settings))
        await images.warm_up()
        yield await stack.enter_async_context(serving(backend, images, settings))


def _as_many_tiles_as_instances(settings: Settings) -> Settings:
    """The settings of a gateway with an embedded Triton."""
    count = settings.max_inflight_tiles or embedded_instances(settings)
    return settings.model_copy(update={"max_inflight_tiles": count})


def image_workers(settings: Settings) -> ImageWorkers:
    """The processes that read and write image files; they start when they are first needed, or by `warm_up`."""
    return ImageWorkers(
        count=settings.image_workers,
        timeout_s=settings.image_timeout_s,
        memory_bytes=settings.image_memory_mib * 2**20,
    )


@contextlib.asynccontextmanager
async def serving(backend: TileBackend, images: ImageWorkers, settings: Settings) -> AsyncIterator[str]:
    """Serve a backend; yields the bound address once it is ready, and drains at the end.

    Raises:
        StartupError: if strangers could call, the address cannot be bound or the backend is not ready in time.
    """
    check_settings(settings)
    identity = Identity.of(settings)
    await identity.warm_up()
    chosen = OptionChoices(steps=settings.default_steps, texture=settings.default_texture)
    catalogue = Catalogue(backend, default_model=settings.default_model, chosen=chosen)
    health_servicer = HealthServicer()
    monitor = HealthMonitor(catalogue, health_servicer, interval_s=settings.health_interval_s)
    metrics.begin_calls(METHODS)
    await monitor.set_serving(serving=False)
    limits = Limits.of(settings)
    server = _server(settings, identity, limits)
    service = UpscaleService(backend, catalogue, images, settings)
    add_to_server(UpscaleServicer(service, settings), server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    if settings.reflection:
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = _bind(server, settings)
    await server.start()
    checks = asyncio.create_task(monitor.run())
    warning = asyncio.create_task(keep_warning(settings))
    try:
        await limits.start()
        await _ready(monitor, settings)
        _check_default_model(catalogue, settings)
        logger.info("listening on %s, default model %s", address, catalogue.default_model)
        yield address
    finally:
        checks.cancel()
        warning.cancel()
        await monitor.set_serving(serving=False)
        await service.drain(settings.drain_grace_s)
        await server.stop(FLUSH_S)
        await limits.close()


def _check_default_model(catalogue: Catalogue, settings: Settings) -> None:
    served = [model.name for model in catalogue.models]
    if "default_model" in settings.model_fields_set and settings.default_model not in served:
        raise UnknownDefaultModelError(name=settings.default_model, served=served)


def _server(settings: Settings, identity: Identity, limits: Limits) -> Any:
    calls = settings.max_concurrent_requests + settings.max_queue_depth + settings.max_streams + SMALL_RPCS
    return grpc.aio.server(
        interceptors=[
            CallInterceptor(),
            ErrorInterceptor(),
            AccessInterceptor(identity, limits),
            UntakenInterceptor(),
            ReceivingInterceptor(settings),
        ],
        maximum_concurrent_rpcs=calls + UNTAKEN_CALLS,
        options=http2.options(settings, calls=calls),
    )


async def check_free(listen: str) -> None:
    """Find out before the models are loaded whether the address can be bound then."""
    host, _, port = listen.rpartition(":")
    try:
        probe = await asyncio.start_server(lambda *_: None, host.strip("[]"), int(port), start_serving=False)
    except OSError as error:
        raise ListenError(address=listen) from error
    probe.close()


def _bind(server: Any, settings: Settings) -> str:
    files = TlsFiles.of(settings)
    try:
        if files is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, server_credentials(files))
    except RuntimeError as error:
        raise ListenError(address=settings.listen) from error
    return f"{settings.listen.rpartition(':')[0]}:{port}"


async def _ready(monitor: HealthMonitor, settings: Settings) -> None:
    try:
        await asyncio.wait_for(monitor.ready.wait(), settings.startup_timeout_s)
    except asyncio.TimeoutError as error:
        raise NotReadyError(timeout_s=settings.startup_timeout_s) from error
