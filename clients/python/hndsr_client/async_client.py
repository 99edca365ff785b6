"""The client for asyncio programs."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import IO, Any

import grpc
from typing_extensions import Unpack

from hndsr.v1.upscale_pb2_grpc import UpscaleServiceStub
from hndsr_client._core import calls
from hndsr_client._core.calls import Call, Image, ResultT
from hndsr_client._core.checks import beside_key, checked_metadata, checked_timeout_s
from hndsr_client._core.connection import CALL_ERRORS, Connection
from hndsr_client._core.parameters import UpscaleParameters, build_parameters, spelled_out
from hndsr_client._core.pixels import Mask
from hndsr_client._core.requests import FileFormat, Priority, SampleType
from hndsr_client._core.retries import Attempts
from hndsr_client._core.tracing import Attempt, Operation
from hndsr_client._geo import geo
from hndsr_client._raster.choices import RasterSource, RasterTarget
from hndsr_client._raster.results import RasterPlan, RasterProgress, RasterResult
from hndsr_client._stream.delivery import AnySink, Delivery, Order
from hndsr_client._stream.recovery import Recovery
from hndsr_client._stream.tasks import AsyncTileStream, AsyncWay, deliver
from hndsr_client._stream.windows import AnySource, WindowedSink
from hndsr_client._tasks import in_time, is_cancelled, to_the_end
from hndsr_client.connection import Keepalive, Retry, Tls
from hndsr_client.embedded import EmbeddedGateway, started
from hndsr_client.errors import ArgumentError, ServiceError
from hndsr_client.results import (
    Encoded,
    Plan,
    Progress,
    Quality,
    ServiceInfo,
    StreamResult,
    Upscaled,
    UpscaleMetadata,
)

AsyncMetadata = Mapping[str, str] | Callable[[], Mapping[str, str]] | Callable[[], Awaitable[Mapping[str, str]]]
"""What is sent beside every request, or a function, plain or async, that is asked for it before every attempt."""


class AsyncClient(AbstractAsyncContextManager["AsyncClient"]):
    """Calls the service at one address: `Client` for asyncio, with the same methods, arguments, results and errors.

    It belongs to the event loop of its first call. Requests are made and answers are read in threads, so that large
    images do not hold the loop up. A call whose task is cancelled is cancelled in the server as well.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float | None = None,
        tls: bool | Tls | None = None,
        api_key: str | None = None,
        metadata: AsyncMetadata | None = None,
        retry: Retry | None = Retry(),  # noqa: B008  frozen
        keepalive: Keepalive | None = Keepalive(),  # noqa: B008  frozen
        _gateway: EmbeddedGateway | None = None,
    ) -> None:
        """Connect when first needed.

        Args:
            target: "HOST:PORT", or any other name that gRPC resolves.
            timeout_s: Seconds that each call may take; None: as long as it takes.
            tls: As that of `Client`.
            api_key: As that of `Client`.
            metadata: Sent beside every request; or a function, which may be async, that is asked for it before every
                attempt, so that a token may change. One that is async ends with the call's time; a plain one holds up
                the loop.
            retry: How calls are tried again; None: never.
            keepalive: When the connection is pinged; None: never.
            _gateway: The gateway to stop in the end, for `embedded`.

        Raises:
            ArgumentError: As those of `Client`.
        """
        self._connection = Connection(
            target,
            timeout_s=timeout_s,
            tls=tls,
            retry=retry,
            keepalive=keepalive,
            local=_gateway is not None,
            api_key=api_key,
        )
        self._metadata = metadata if callable(metadata) else self._beside_key(metadata or {})
        self._gateway = _gateway
        self._retry = Retry() if retry is None else retry
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Any = None
        self._stub: Any = None

    @classmethod
    async def embedded(
        cls,
        *,
        startup_timeout_s: float = 360.0,
        timeout_s: float | None = None,
        retry: Retry | None = Retry(),  # noqa: B008  frozen
        log: IO[Any] | None = None,
        _command: Sequence[str] | None = None,
    ) -> AsyncClient:
        """Start a gateway on this machine, as `Client.embedded` does: `async with await AsyncClient.embedded() as ...`.

        Raises:
            EmbeddedNotInstalledError: The extra `embedded` is missing.
            EmbeddedGatewayError: The gateway ended, or was not ready in time.
        """
        checked_timeout_s(timeout_s)
        gateway = await started(
            partial(EmbeddedGateway, startup_timeout_s=startup_timeout_s, log=log, command=_command)
        )
        try:
            return cls(gateway.address, timeout_s=timeout_s, retry=retry, _gateway=gateway)
        except BaseException:
            await asyncio.to_thread(gateway.close)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End calls under way and close the connection; stop the gateway if it is this client's own."""
        self._connection.closed = True
        self._closing.set()
        if self._channel is not None:
            await self._channel.close()
        if self._gateway is not None:
            await asyncio.to_thread(self._gateway.close)

    async def info(self, *, timeout_s: float | None = None) -> ServiceInfo:
        """The models being served, with their scales and defaults, and the server's limits."""
        return await self._run("info", calls.info, timeout_s)

    @spelled_out
    async def plan(
        self,
        height_px: int,
        width_px: int,
        *,
        sample_type: SampleType | None = None,
        cores_per_tile: int | None = None,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> Plan:
        """How a source image of this size would be cut, how large its target is, and how long it would take.

        All as in `Client.plan`.
        """
        call = partial(
            calls.plan, height_px, width_px, sample_type=sample_type, cores_per_tile=cores_per_tile, **parameters
        )
        return await self._run("plan", call, timeout_s)

    @spelled_out
    async def upscale(
        self,
        image: Image,
        *,
        mask: Mask | None = None,
        reference: Image | None = None,
        priority: Priority | None = None,
        allow_degraded: bool = False,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> Upscaled:
        """Upscale one image into an array. All as in `Client.upscale`.

        Raises:
            LocalFileError: An image file cannot be read.
        """
        call = partial(
            calls.upscale,
            image,
            mask=mask,
            reference=reference,
            priority=priority,
            allow_degraded=allow_degraded,
            **parameters,
        )
        return await self._run("upscale", call, timeout_s)

    @spelled_out
    async def upscale_encoded(
        self,
        image: Image,
        *,
        format: FileFormat | None = None,  # noqa: A002  what everybody calls it
        quality: int | None = None,
        lossless: bool | None = None,
        mask: Mask | None = None,
        reference: Image | None = None,
        priority: Priority | None = None,
        allow_degraded: bool = False,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> Encoded:
        """Upscale one image into the content of an image file. All as in `Client.upscale_encoded`.

        Raises:
            LocalFileError: An image file cannot be read.
        """
        call = partial(
            calls.upscale_encoded,
            image,
            mask=mask,
            format=format,
            quality=quality,
            lossless=lossless,
            reference=reference,
            priority=priority,
            allow_degraded=allow_degraded,
            **parameters,
        )
        return await self._run("upscale encoded", call, timeout_s)

    @spelled_out
    async def upscale_file(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        format: FileFormat | None = None,  # noqa: A002  what everybody calls it
        quality: int | None = None,
        lossless: bool | None = None,
        reference: Image | None = None,
        priority: Priority | None = None,
        allow_degraded: bool = False,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> UpscaleMetadata:
        """Upscale an image file into another, which appears under its name only when it is whole.

        All as in `Client.upscale_file`.

        Raises:
            DestinationError: The destination exists and `overwrite` is not set, or it is the source itself.
            LocalFileError: A file cannot be read or the destination cannot be written; nothing is left of it.
        """
        call = partial(
            calls.upscale_file,
            source,
            destination,
            overwrite=overwrite,
            format=format,
            quality=quality,
            lossless=lossless,
            reference=reference,
            priority=priority,
            allow_degraded=allow_degraded,
            **parameters,
        )
        return await self._run("upscale file", call, timeout_s)

    async def compare(
        self, image: Image, reference: Image, *, data_range: float | None = None, timeout_s: float | None = None
    ) -> Quality:
        """How close an image comes to a reference of the same size and sample type.

        Args:
            image: What is measured.
            reference: What is taken for the truth.
            data_range: The span of values that the images use, such as 3000 for reflectances of 0 to 3000 in 16 bits;
                None: all values of the sample type.
            timeout_s: Seconds until it must be done; None: as long as the client's calls may take.

        Raises:
            ArgumentError: The data range is no number above 0.
            LocalFileError: An image file cannot be read.
        """
        return await self._run("compare", partial(calls.compare, image, reference, data_range=data_range), timeout_s)

    @spelled_out
    async def upscale_array(
        self,
        source: AnySource,
        sink: AnySink | None = None,
        *,
        mask: AnySource | None = None,
        mask_sink: WindowedSink | None = None,
        job: str | os.PathLike[str] | None = None,
        resume: bool = True,
        overwrite: bool = False,
        cores_per_tile: int | None = None,
        priority: Priority | None = None,
        patience_s: float = 120.0,
        on_progress: Callable[[Progress], object] | None = None,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> StreamResult:
        """Upscale an image of any size, tile by tile. All as in `Client.upscale_array`.

        The source is read, and sinks are written to, in threads; `on_progress` is called by the loop. A task that is
        cancelled leaves a job that can be gone on with.

        Raises:
            DestinationError: The sink's file exists and `overwrite` is not set, or it is the source itself.
            JobError: The job is in use, was begun for something else, or from other pixels.
            LocalFileError: A file cannot be read or written, or there is no room for it.
        """
        with self._operation("upscale array").current() as operation:
            request = build_parameters(**parameters)
            order = Order(source, request, mask, sink, mask_sink, job, overwrite, resume, cores_per_tile, priority)
            way = self._way(timeout_s, operation)
            recovery = Recovery(self._retry, way.attempts, patience_s=patience_s)
            return await deliver(partial(Delivery, order, recovery), way, on_progress)

    @spelled_out
    def stream_tiles(
        self,
        source: AnySource,
        *,
        mask: AnySource | None = None,
        cores_per_tile: int | None = None,
        priority: Priority | None = None,
        patience_s: float = 120.0,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> AsyncTileStream:
        """Upscale an image of any size, and give its tiles: `async with ... as tiles: async for tile in tiles:`.

        All as in `Client.stream_tiles`; the source is opened when the stream is entered.
        """
        way = self._way(timeout_s, self._operation("stream tiles"))
        recovery = Recovery(self._retry, way.attempts, patience_s=patience_s)
        request = build_parameters(**parameters)
        order = Order(source, request, mask=mask, cores_per_tile=cores_per_tile, priority=priority)
        return AsyncTileStream(partial(order.scene, recovery), way, way.operation.lasting())

    @spelled_out
    async def upscale_raster(
        self,
        source: str | os.PathLike[str] | RasterSource,
        target: str | os.PathLike[str] | RasterTarget,
        *,
        job: str | os.PathLike[str] | None = None,
        resume: bool = True,
        cores_per_tile: int | None = None,
        priority: Priority | None = None,
        patience_s: float = 120.0,
        on_progress: Callable[[RasterProgress], object] | None = None,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> RasterResult:
        """Upscale a raster of any size into one file: `Client.upscale_raster` for asyncio.

        Files are read and written in threads; a task that is cancelled leaves a job that can be gone on with.
        """
        with self._operation("upscale raster").current() as operation:
            driver = geo("tasks")
            order = driver.order_of(
                source, target, parameters, job=job, resume=resume, cores_per_tile=cores_per_tile, priority=priority
            )
            way = self._way(timeout_s, operation)
            recovery = partial(Recovery, self._retry, way.attempts, patience_s=patience_s)
            return await driver.upscale(order, self, way, recovery, on_progress)

    @spelled_out
    async def plan_raster(
        self,
        source: str | os.PathLike[str] | RasterSource,
        target: str | os.PathLike[str] | RasterTarget | None = None,
        *,
        job: str | os.PathLike[str] | None = None,
        measured: bool = False,
        cores_per_tile: int | None = None,
        timeout_s: float | None = None,
        **parameters: Unpack[UpscaleParameters],
    ) -> RasterPlan:
        """What upscaling a raster would take: `Client.plan_raster` for asyncio."""
        with self._operation("plan raster").current() as operation:
            driver = geo("tasks")
            order = driver.order_of(source, target, parameters, job=job, cores_per_tile=cores_per_tile)
            way = self._way(timeout_s, operation)
            recovery = Recovery(self._retry, way.attempts, patience_s=0)
            return await driver.plan(order, self, way, recovery, measured=measured)

    async def _run(self, name: str, make: Callable[[], Call[ResultT]], timeout_s: float | None) -> ResultT:
        with self._operation(name).current() as operation:
            call = await asyncio.to_thread(make)
            operation.asked(call.request)
            attempts = self._connection.attempts(timeout_s)
            while True:
                try:
                    response = await self._attempt(call, attempts, operation)
                except ServiceError as failure:  # noqa: PERF203  a call is slower than any loop
                    pause_s = attempts.pause_s(failure)
                    if pause_s is None or await self._is_closed_within(pause_s):
                        raise
                else:
                    attempts.succeed()
                    operation.answered(response)
                    return await to_the_end(call.read, response)

    async def _attempt(self, call: Call[Any], attempts: Attempts, operation: Operation) -> Any:
        with operation.attempt(call.method, attempts.number) as attempt:
            attempt.sent(call.request)
            response = await self._answer(call, attempts, attempt)
            attempt.received(response)
            return response

    async def _answer(self, call: Call[Any], attempts: Attempts, attempt: Attempt) -> Any:
        metadata = attempt.injected(await self._asked_metadata(attempts))
        self._connection.check_open(attempts)
        try:
            return await self._method(call.method)(call.request, timeout=attempts.remaining_s(), metadata=metadata)
        except CALL_ERRORS as error:
            raise await self._failure(error, attempts) from error
        except asyncio.CancelledError as error:
            # So gRPC ends the calls of a channel that is closed; a task that is cancelled looks the same.
            if is_cancelled():
                raise
            raise await self._failure(error, attempts) from None

    def _operation(self, name: str) -> Operation:
        return Operation(name, self._connection.target)

    def _way(self, timeout_s: float | None, operation: Operation) -> AsyncWay:
        attempts = self._connection.attempts(timeout_s)
        return AsyncWay(self._open_stream, self._failure, self._is_closed_within, attempts, operation)

    async def _open_stream(self, attempts: Attempts, attempt: Attempt) -> Any:
        metadata = attempt.injected(await self._asked_metadata(attempts))
        self._connection.check_open(attempts)
        return self._method("UpscaleStream")(timeout=attempts.remaining_s(), metadata=metadata)

    async def _failure(self, error: BaseException, attempts: Attempts) -> ServiceError:
        failure = self._connection.failure(error, attempts)
        if self._gateway is not None and self._connection.is_lost(failure):
            await asyncio.to_thread(self._gateway.check_alive)
        return failure

    async def _asked_metadata(self, attempts: Attempts) -> tuple[tuple[str, str], ...]:
        if not callable(self._metadata):
            return self._metadata
        answer = self._metadata()
        return self._beside_key(await in_time(answer, attempts) if inspect.isawaitable(answer) else answer)

    def _beside_key(self, metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return beside_key(self._connection.authorization, checked_metadata(metadata))

    async def _is_closed_within(self, pause_s: float) -> bool:
        try:
            await asyncio.wait_for(self._closing.wait(), pause_s)
        except asyncio.TimeoutError:
            return False
        return True

    def _method(self, name: str) -> Callable[..., Any]:
        """A method of the stub, whose channel gRPC binds to the loop that makes it."""
        if self._channel is None:
            self._loop, self._channel = asyncio.get_running_loop(), _channel(self._connection)
            self._stub = UpscaleServiceStub(self._channel)
        if self._loop is not asyncio.get_running_loop():
            raise ArgumentError("the client belongs to another event loop; make one for each")
        method: Callable[..., Any] = getattr(self._stub, name)
        return method


def _channel(connection: Connection) -> Any:
    if connection.credentials is None:
        return grpc.aio.insecure_channel(connection.target, options=connection.options)
    return grpc.aio.secure_channel(connection.target, connection.credentials, options=connection.options)
