"""What stands between a gateway and a client: streams that are changed, cut or failed on their way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from unit.client.stream_gateway import (
    StreamGateway,
    scene,
)

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import (
    Client,
)
from hndsr_client._core.status import DETAILS_KEY

SOURCE = scene((120, 100))
LARGE = scene((400, 400))
MODEL = {"model": "bicubic", "scale": 4}
Responses = Iterable[pb.UpscaleStreamResponse]
OnResponse = Callable[[pb.UpscaleStreamResponse, Any], Responses]


@pytest.fixture(scope="module")
def target(gateway: StreamGateway) -> np.ndarray:
    with Client(gateway.address) as client:
        return client.upscale(SOURCE, **MODEL).image


def aborting(context: Any, code: grpc.StatusCode, reason: str, delay_s: float | None = None) -> None:
    """End the call as the gateway does."""
    status = status_pb2.Status(code=code.value[0], message="said so")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="hndsr"))
    if delay_s is not None:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration(delay_s)))
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(code, "said so")


def duration(seconds: float) -> Duration:
    return Duration(nanos=round(seconds * 1e9))


def tile_error(tile: pb.TargetStrip, reason: str, delay_s: float | None) -> pb.UpscaleStreamResponse:
    error = pb.TileError(row=tile.row, column=tile.column, reason=reason, message="said so")
    if delay_s is not None:
        error.retry_delay.CopyFrom(duration(delay_s))
    return pb.UpscaleStreamResponse(tile_error=error)


def at_strips(which: Callable[[int], bool], change: OnResponse) -> OnResponse:
    """Change the strips of some numbers, counted over all streams from 0."""
    count = itertools.count()

    def on_response(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        if response.WhichOneof("message") == "strip" and which(next(count)):
            return change(response, context)
        return [response]

    return on_response


def first(number: int) -> bool:
    return number == 0


def third(number: int) -> bool:
    return number == 2


def always(_: int) -> bool:
    return True


def changed(**fields: Any) -> OnResponse:
    """Other fields in a strip, its checksum left alone."""

    def change(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        for name, value in fields.items():
            setattr(response.strip, name, value(getattr(response.strip, name)))
        return [response]

    return change
