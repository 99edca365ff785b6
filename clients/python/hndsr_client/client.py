"""The client for programs that wait for each answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from types import TracebackType
from typing import IO, Any

import grpc
from typing_extensions import Unpack

from hndsr.v1.upscale_pb2_grpc import UpscaleServiceStub
from hndsr_client._core import calls
from hndsr_client._core.calls import Call, Image, ResultT
from hndsr_client._core.checks import beside_key, checked_hook, checked_metadata, checked_timeout_s
from hndsr_client._core.connection import CALL_ERRORS, Connection
from hndsr_client._core.parameters import UpscaleParameters, build_parameters, spelled_out
from hndsr_client._core.pixels import Mask
from hndsr_client._core.requests import FileFormat, Priority, SampleType
from hndsr_client._core.retries import Attempts
from hndsr_client._core.tracing import Attempt, Operation
from hndsr_client._geo import geo
from hndsr_client._raster.choices import RasterSource, RasterTarget
from hndsr_client._raster.results import RasterPlan, RasterProgress, RasterResult
from hndsr_client._stream.blocking import TileStream, Way, deliver
from hndsr_client._stream.delivery import AnySink, Delivery, Order
from hndsr_client._stream.recovery import Recovery
from hndsr_client._stream.windows import AnySource, WindowedSink
from hndsr_client.connection import Keepalive, Retry, Tls
from hndsr_client.embedded import EmbeddedGateway
from hndsr_client.errors import ServiceError
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

Metadata = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""What is sent beside every request, or a function that is asked for it before every attempt."""


class Client(AbstractContextManager["Client"]):
    """Calls the service at one address. Threads may share it; `AsyncClient` is the same for asyncio.

    Every call takes `timeout_s`, seconds until it fails with `DeadlineError`, at most 100,000,000; None stands for the
    client's own. It covers all attempts and the pauses between them. Every call raises `ArgumentError` for arguments
    that no request can carry, `AnswerError` for an answer that the contract does not allow, and a `ServiceError` where
    the server, or the way to it, says no. The parameters of an upscale are those of `UpscaleParameters` everywhere.

    An image is an array (height, width, 3) of uint8 or uint16 with any strides and byte order, or the content or the
    path of an image file.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float | None = None,
        tls: bool | Tls | None = None,
        api_key: str | None = None,
        metadata: Metadata | None = None,
        retry: Retry | None = Retry(),  # noqa: B008  frozen
        keepalive: Keepalive | None = Keepalive(),  # noqa: B008  frozen
        _gateway: EmbeddedGateway | None = None,
    ) -> None:
        """Connect when first needed.

        Args:
            target: "HOST:PORT", or any other name that gRPC resolves.
            timeout_s: Seconds that each call may take; None: as long as it takes.
            tls: Whether the connection is encrypted, or how; True: as `Tls()`; None: it is not, and an `api_key` is
                refused unless the server is on this machine; False: it is not, and who is on the way may read the key.
            api_key: Says who calls, as the server's operator gave it: {"authorization": "Bearer ..."} in the metadata.
            metadata: Sent beside every request; or a function that is asked for it before every attempt, so that a
                token may change; what it takes counts towards a call's time, but is not cut short when that is over.
            retry: How calls are tried again; None: never.
            keepalive: When the connection is pinged; None: never.
            _gateway: The gateway to stop in the end, for `embedded`.

        Raises:
            ArgumentError: The target is empty, a URL, or has a port that does not exist; the timeout is not above 0 and
                at most 100,000,000; a certificate cannot be read; the key or the metadata cannot be sent; or the key
                would be sent unencrypted.
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
        self._metadata = checked_hook(metadata) if callable(metadata) else self._beside_key(metadata or {})
        self._gateway = _gateway
        self._retry = Retry() if retry is None else retry
        self._closing = threading.Event()
        self._channel = _channel(self._connection)
        self._stub = UpscaleServiceStub(self._channel)

    @classmethod
    def embedded(
        cls,
        *,
        startup_timeout_s: float = 360.0,
        timeout_s: float | None = None,
        retry: Retry | None = Retry(),  # noqa: B008  frozen
        log: IO[Any] | None = None,
        _command: Sequence[str] | None = None,
    ) -> Client:
        """Start a gateway on this machine and connect to it; `close` stops it. It is configured by the environment.

        Args:
            startup_timeout_s: Seconds until the gateway must be ready.
            timeout_s: Seconds that each call may take; None: as long as it takes.
            retry: How calls are tried again; None: never. No call is tried again when the gateway has ended.
            log: Where the gateway's log goes, a file with a descriptor such as `sys.stderr`; None: a file without a
                name, whose last lines are quoted by errors.
            _command: What to start instead of the gateway, for tests.

        Raises:
            EmbeddedNotInstalledError: The extra `embedded` is missing.
            EmbeddedGatewayError: The gateway ended, or was not ready in time.
        """
        checked_timeout_s(timeout_s)
        with ExitStack() as stack:
            gateway = stack.enter_context(
                EmbeddedGateway(startup_timeout_s=startup_timeout_s, log=log, command=_command)
            )
            client = cls(gateway.address, timeout_s=timeout_s, retry=retry, _gateway=gateway)
            stack.pop_all()
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End calls under way and close the connection; stop the gateway if it is this client's own."""
        self._connection.closed = True
        self._closing.set()
        self._channel.close()
        if self._gateway is not None:
            self._gateway.close()

    def info(self, *, timeout_s: float | None = None) -> ServiceInfo:
        """The models being served, with their scales and defaults, and the server's limits."""
        return self._run("info", calls.info, timeout_s)

    @spelled_out
    def plan(
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

        The sample type is the source's, where it is known. The cores along each side of a tile, 1 to 16, are the
        server's choice unless given; who goes on with a job gives those of its plan. Both are part of the digest.
        """
        call = partial(
            calls.plan, height_px, width_px, sample_type=sample_type, cores_per_tile=cores_per_tile, **parameters
        )
        return self._run("plan", call, timeout_s)

    @spelled_out
    def upscale(
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
        """Upscale one image into an array.

        The mask, (height, width) of bool, True = valid, goes with an array; None stands for valid everywhere. The
        reference is the truth, where it is known, of the target's size and sample type: `quality` then says how close
        the target comes to it. A priority of "batch" lets others go first. With `allow_degraded`, where the model
        cannot answer, its prior alone may, or bicubic interpolation, and `metadata.degraded` says so; never where a
        revision is required.

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
        return self._run("upscale", call, timeout_s)

    @spelled_out
    def upscale_encoded(
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
        """Upscale one image into the content of an image file, as `upscale_file` does.

        Its format is that of the source unless given, PNG for an array.

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
        return self._run("upscale encoded", call, timeout_s)

    @spelled_out
    def upscale_file(
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

        Its format is what the destination's extension says, .png .jpg .jpeg .webp .tif .tiff, unless given. A quality,
        1 to 100, goes with JPEG and WebP; every format but JPEG is lossless unless told otherwise. The destination is
        replaced only if `overwrite` is set. The metadata's `quality` says how close the target comes to the reference.

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
        return self._run("upscale file", call, timeout_s)

    def compare(
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
        return self._run("compare", partial(calls.compare, image, reference, data_range=data_range), timeout_s)

    @spelled_out
    def upscale_array(
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
        """Upscale an image of any size, tile by tile: it is read while it is sent and written while it is received.

        Streams that break are gone on with. What is under way at once is what the server's plan allows, whatever the
        size of the image. With a job, or a sink that is a path, the tiles are kept on the disk beside a journal, and
        the same call goes on where an earlier one was ended, however that was; the sink is filled, or its file
        appears, when every tile is there.

        Args:
            source: (height, width, 3) of uint8 or uint16 in any byte order: what has a shape and a dtype and gives
                windows, `source[y0:y1, x0:x1]`, to another thread; or the path of a .npy file.
            sink: What takes the target's windows, `sink[y0:y1, x0:x1] = pixels`; or the path of a .npy file to be made;
                None: the result has an array.
            mask: (height, width) of bool, True = valid, taken as the source is; None: every pixel is valid.
            mask_sink: What takes the target's mask. Pixels that are not valid are 0, with or without it.
            job: Where the job's files are, `JOB.hndsr-journal` and others; None: beside a sink that is a path,
                otherwise there is no job, and only this call can go on.
            resume: Go on with a job that was begun; False: forget it and begin anew.
            overwrite: Replace a file that is the sink.
            cores_per_tile: Cores along each side of a tile, 1 to 16; None: the server's choice.
            priority: "interactive" where somebody waits for it; None: "batch".
            patience_s: Seconds, from a failure that may pass, in which a new tile must come, at most 20 where nobody
                has answered at all; 0: it is raised at once.
            on_progress: Called by this thread, once the plan is known and after every tile.
            timeout_s: Seconds until it must be done, but for a read of the source that is under way; None: as long as
                the client's calls may take.
            parameters: Those of `UpscaleParameters`.

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
            return deliver(Delivery(order, recovery), way, on_progress)

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
    ) -> TileStream:
        """Upscale an image of any size, and give its tiles as they are done: `with ... as tiles: for tile in tiles:`.

        All as in `upscale_array`, for those who write their target themselves. The stream's `plan` says how large that
        will be, and what raises is taking its tiles.

        Raises:
            LocalFileError: The source cannot be read.
        """
        way = self._way(timeout_s, self._operation("stream tiles"))
        recovery = Recovery(self._retry, way.attempts, patience_s=patience_s)
        request = build_parameters(**parameters)
        order = Order(source, request, mask=mask, cores_per_tile=cores_per_tile, priority=priority)
        return TileStream(order.scene(recovery), way, way.operation.lasting())

    @spelled_out
    def upscale_raster(
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
        """Upscale a raster of any size into one file: GeoTIFF to Cloud-Optimized GeoTIFF, with all that is true of it.

        Needs the extra `geo`. What GDAL opens is read window by window, upscaled as by `upscale_array`, and written
        when every tile is there; the target appears under its name when all of it was read back and checked. The same
        call goes on where an earlier one was ended, however that was.

        Args:
            source: What is read; `RasterSource` says which bands, ranges, nodata and region.
            target: What is made; `RasterTarget` says the format and how it is compressed.
            job: Where the job's files are, `JOB.hndsr-journal` and others; None: beside the target.
            resume: Go on with a job that was begun; False: forget it and begin anew.
            cores_per_tile: Cores along each side of a tile, 1 to 16; None: the server's choice.
            priority: As in `upscale_array`.
            patience_s: As in `upscale_array`.
            on_progress: Called as it comes along, by this thread.
            timeout_s: Seconds that the streams may take; None: as long as the client's calls may take.
            parameters: Those of `UpscaleParameters`, but for the value ranges, which are the source's `ranges`.

        Raises:
            GeoNotInstalledError: The extra is missing.
            DestinationError: The target exists and is not to be overwritten, or it is the source itself.
            JobError: The job is in use, was begun for something else, or from other pixels.
            LocalFileError: A file cannot be read or written, or there is no room for it.
        """
        with self._operation("upscale raster").current() as operation:
            driver = geo("blocking")
            order = driver.order_of(
                source, target, parameters, job=job, resume=resume, cores_per_tile=cores_per_tile, priority=priority
            )
            way = self._way(timeout_s, operation)
            recovery = partial(Recovery, self._retry, way.attempts, patience_s=patience_s)
            return driver.upscale(order, self, way, recovery, on_progress)

    @spelled_out
    def plan_raster(
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
        """What upscaling a raster would take: nothing is written, and the target may be left out.

        Args:
            source: What would be read.
            target: What would be made; None: a Cloud-Optimized GeoTIFF.
            job: As in `upscale_raster`.
            measured: Upscale one tile, to know how long that takes.
            cores_per_tile: As in `upscale_raster`.
            timeout_s: Seconds that each call may take; None: the client's own.
            parameters: As in `upscale_raster`.

        Raises:
            GeoNotInstalledError: The extra is missing.
            DestinationError: The target exists and is not to be overwritten, or it is the source itself.
            LocalFileError: The source cannot be read.
        """
        with self._operation("plan raster").current() as operation:
            driver = geo("blocking")
            order = driver.order_of(source, target, parameters, job=job, cores_per_tile=cores_per_tile)
            way = self._way(timeout_s, operation)
            recovery = Recovery(self._retry, way.attempts, patience_s=0)
            return driver.plan(order, self, way, recovery, measured=measured)

    def _run(self, name: str, make: Callable[[], Call[ResultT]], timeout_s: float | None) -> ResultT:
        with self._operation(name).current() as operation:
            call = make()
            operation.asked(call.request)
            attempts = self._connection.attempts(timeout_s)
            while True:
                try:
                    response = self._attempt(call, attempts, operation)
                except ServiceError as failure:  # noqa: PERF203  a call is slower than any loop
                    pause_s = attempts.pause_s(failure)
                    if pause_s is None or self._closing.wait(pause_s):
                        raise
                else:
                    attempts.succeed()
                    operation.answered(response)
                    return call.read(response)

    def _attempt(self, call: Call[Any], attempts: Attempts, operation: Operation) -> Any:
        with operation.attempt(call.method, attempts.number) as attempt:
            attempt.sent(call.request)
            metadata = attempt.injected(self._asked_metadata(attempts))
            try:
                method = getattr(self._stub, call.method)
                response = method(call.request, timeout=attempts.remaining_s(), metadata=metadata)
            except CALL_ERRORS as error:
                raise self._failure(error, attempts) from error
            attempt.received(response)
            return response

    def _operation(self, name: str) -> Operation:
        return Operation(name, self._connection.target)

    def _way(self, timeout_s: float | None, operation: Operation) -> Way:
        attempts = self._connection.attempts(timeout_s)
        return Way(self._open_stream, self._failure, self._closing.wait, attempts, operation)

    def _open_stream(self, requests: Iterator[Any], attempts: Attempts, attempt: Attempt) -> Any:
        metadata = attempt.injected(self._asked_metadata(attempts))
        return self._stub.UpscaleStream(requests, timeout=attempts.remaining_s(), metadata=metadata)

    def _asked_metadata(self, attempts: Attempts) -> tuple[tuple[str, str], ...]:
        metadata = self._beside_key(self._metadata()) if callable(self._metadata) else self._metadata
        self._connection.check_open(attempts)
        return metadata

    def _beside_key(self, metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return beside_key(self._connection.authorization, checked_metadata(metadata))

    def _failure(self, error: BaseException, attempts: Attempts) -> ServiceError:
        failure = self._connection.failure(error, attempts)
        if self._gateway is not None and self._connection.is_lost(failure):
            self._gateway.check_alive()
        return failure


def _channel(connection: Connection) -> grpc.Channel:
    if connection.credentials is None:
        return grpc.insecure_channel(connection.target, options=connection.options)
    return grpc.secure_channel(connection.target, connection.credentials, options=connection.options)
