"""The client for programs that wait for each answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import IO, Any

import grpc
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1.upscale_pb2_grpc import UpscaleServiceStub
from hndsr_client._core import requests, responses
from hndsr_client._core.connection import checked_target, checked_timeout_s
from hndsr_client._core.pixels import Mask
from hndsr_client._core.requests import MAX_MESSAGE_BYTES, SampleType, Scale, ValueRanges
from hndsr_client._core.status import service_error
from hndsr_client._files import Destination, read_source
from hndsr_client.embedded import EmbeddedGateway
from hndsr_client.errors import ArgumentError, UnavailableError
from hndsr_client.results import Plan, ServiceInfo, Upscaled, UpscaleMetadata

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Servers end connections that ping more often than every five minutes, unless told otherwise.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
LOCAL_CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0),)


class Client(AbstractContextManager["Client"]):
    """Calls the service at one address. Threads may share it.

    Every call takes `timeout_s`, seconds until it fails with `DeadlineError`, at most 100,000,000; None stands for the
    client's own. Every call raises `ArgumentError` for arguments that no request can carry, `AnswerError` for an answer
    that the contract does not allow, and a `ServiceError` where the server, or the way to it, says no.

    Options mean the same everywhere. None leaves them to the server:
        scale: Target pixels per source pixel, exactly as written: 4, 3.14, "22/7", Fraction(22, 7). Never left to the
            server: 4 where it is not given.
        steps: Diffusion steps; 0 is the prior alone, deterministic and closest to the truth in the mean.
        texture: Weight of the drawn residual, 0 to 1.5; more is sharper and less faithful.
        seed: Seed of the noise, 0 to 2^64 - 1. The same seed gives the same bytes.
        model: Name of the model.
        value_ranges: (minimum, maximum) of the samples for each of the three bands, or an array (3, 2); None: all that
            the type can hold.
        required_revision: Fail with `PreconditionError` rather than answer with another revision of the model.
    """

    def __init__(self, target: str, *, timeout_s: float | None = None, _gateway: EmbeddedGateway | None = None) -> None:
        """Connect when first needed.

        Args:
            target: "HOST:PORT", or any other name that gRPC resolves.
            timeout_s: Seconds that each call may take; None: as long as it takes.
            _gateway: The gateway to stop in the end, for `embedded`.

        Raises:
            ArgumentError: The target is empty, a URL, or has a port that does not exist; or the timeout is not above 0
                and at most 100,000,000.
        """
        self._target = checked_target(target)
        self._timeout_s = checked_timeout_s(timeout_s)
        self._gateway = _gateway
        self._closed = False
        options = CHANNEL_OPTIONS if _gateway is None else CHANNEL_OPTIONS + LOCAL_CHANNEL_OPTIONS
        self._channel = grpc.insecure_channel(target, options=options)
        self._stub = UpscaleServiceStub(self._channel)

    @classmethod
    def embedded(
        cls,
        *,
        startup_timeout_s: float = 180.0,
        timeout_s: float | None = None,
        log: IO[Any] | None = None,
        _command: Sequence[str] | None = None,
    ) -> Client:
        """Start a gateway on this machine and connect to it; `close` stops it. It is configured by the environment.

        Args:
            startup_timeout_s: Seconds until the gateway must be ready.
            timeout_s: Seconds that each call may take; None: as long as it takes.
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
            client = cls(gateway.address, timeout_s=timeout_s, _gateway=gateway)
            stack.pop_all()
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End calls under way and close the connection; stop the gateway if it is this client's own."""
        self._closed = True
        self._channel.close()
        if self._gateway is not None:
            self._gateway.close()

    def info(self, *, timeout_s: float | None = None) -> ServiceInfo:
        """The models being served, with their scales and defaults, and the server's limits."""
        return responses.read_info(self._call(self._stub.GetModelInfo, pb.GetModelInfoRequest(), timeout_s))

    def plan(
        self,
        height_px: int,
        width_px: int,
        *,
        scale: Scale = 4,
        steps: int | None = None,
        texture: float | None = None,
        seed: int | None = None,
        model: str | None = None,
        value_ranges: ValueRanges | None = None,
        required_revision: str | None = None,
        sample_type: SampleType | None = None,
        cores_per_tile: int | None = None,
        timeout_s: float | None = None,
    ) -> Plan:
        """How a source image of this size would be cut, how large its target is, and how long it would take.

        The sample type is the source's, where it is known. The cores along each side of a tile, 1 to 16, are the
        server's choice unless given; who goes on with a job gives those of its plan. Both are part of the digest. The
        other options are those of the class.
        """
        parameters = requests.build_parameters(
            scale=scale,
            steps=steps,
            texture=texture,
            seed=seed,
            model=model,
            value_ranges=value_ranges,
            required_revision=required_revision,
        )
        request = requests.plan_request(
            height_px, width_px, parameters, sample_type=sample_type, cores_per_tile=cores_per_tile
        )
        return responses.read_plan(self._call(self._stub.PlanUpscale, request, timeout_s))

    def upscale(
        self,
        image: npt.NDArray[Any] | bytes | str | os.PathLike[str],
        *,
        scale: Scale = 4,
        steps: int | None = None,
        texture: float | None = None,
        seed: int | None = None,
        model: str | None = None,
        mask: Mask | None = None,
        value_ranges: ValueRanges | None = None,
        required_revision: str | None = None,
        timeout_s: float | None = None,
    ) -> Upscaled:
        """Upscale one image into an array.

        The image is an array (height, width, 3) of uint8 or uint16 with any strides and byte order, or the content or
        the path of an image file. The mask, (height, width) of bool, True = valid, goes with an array; None stands for
        valid everywhere. The other options are those of the class.

        Raises:
            LocalFileError: The image file cannot be read.
        """
        content = read_source(image) if isinstance(image, (str, os.PathLike)) else image
        parameters = requests.build_parameters(
            scale=scale,
            steps=steps,
            texture=texture,
            seed=seed,
            model=model,
            value_ranges=value_ranges,
            required_revision=required_revision,
        )
        request = requests.upscale_request(content, mask, parameters, requests.RAW)
        return responses.read_upscaled(self._call(self._stub.Upscale, request, timeout_s))

    def upscale_file(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        scale: Scale = 4,
        steps: int | None = None,
        texture: float | None = None,
        seed: int | None = None,
        model: str | None = None,
        value_ranges: ValueRanges | None = None,
        required_revision: str | None = None,
        timeout_s: float | None = None,
    ) -> UpscaleMetadata:
        """Upscale an image file into a PNG file, which appears under its name only when it is whole.

        The destination is named *.png and replaced only if `overwrite` is set. The other options are those of the
        class.

        Raises:
            DestinationError: The destination exists and `overwrite` is not set, or it is the source itself.
            LocalFileError: The source cannot be read or the destination cannot be written; nothing is left of it.
        """
        target = Destination(destination, source=source, overwrite=overwrite)
        parameters = requests.build_parameters(
            scale=scale,
            steps=steps,
            texture=texture,
            seed=seed,
            model=model,
            value_ranges=value_ranges,
            required_revision=required_revision,
        )
        request = requests.upscale_request(read_source(source), None, parameters, requests.PNG)
        content, metadata = responses.read_encoded(self._call(self._stub.Upscale, request, timeout_s))
        target.write(content)
        return metadata

    def _call(self, method: Any, request: Any, timeout_s: float | None) -> Any:
        if self._closed:
            raise ArgumentError("the client is closed; make another")
        allowed_s = self._timeout_s if timeout_s is None else checked_timeout_s(timeout_s)
        try:
            return method(request, timeout=allowed_s)
        except grpc.RpcError as error:
            failure = service_error(error, target=self._target, timeout_s=allowed_s)
            if self._gateway is not None and not self._closed and isinstance(failure, UnavailableError):
                self._gateway.check_alive()
            raise failure from error
