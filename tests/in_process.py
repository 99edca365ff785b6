"""A real server on a free port over a fake backend, a real channel to it, and messages as arrays."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from messages import raw_request
from PIL import Image

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.backend import TileBackend
from hndsr_gateway.server import image_workers, serving
from hndsr_gateway.settings import Settings
from hndsr_gateway.status import DETAILS_KEY, DOMAIN

TIMEOUT_S = 60
"""Longest that a test may take before it fails instead of hanging."""

TINY_TILES = {"tile_time_s": 1e-6}
"""Settings that make every core a tile of its own."""

THREE_WINDOWS = (170, 20)
"""Source size whose target, at scale 4, is blended from three windows below each other."""


@dataclass(frozen=True, slots=True)
class Client:
    """Stubs over one channel."""

    channel: grpc.aio.Channel
    upscale: upscale_pb2_grpc.UpscaleServiceStub
    health: health_pb2_grpc.HealthStub


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a caller reads it."""

    code: grpc.StatusCode
    text: str
    reason: str
    field: str
    retry_delay_s: float | None


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run one test's coroutine."""
    asyncio.run(asyncio.wait_for(test, TIMEOUT_S))


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    """A client of whatever listens there, now or soon."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield Client(channel, upscale_pb2_grpc.UpscaleServiceStub(channel), health_pb2_grpc.HealthStub(channel))


@contextlib.asynccontextmanager
async def running(backend: TileBackend, **settings: Any) -> AsyncIterator[Client]:
    """A client of a gateway of its own."""
    chosen = Settings(**{"listen": "127.0.0.1:0", "drain_grace_s": 0, **settings})
    async with served(backend, chosen) as address, connected(address) as client:
        yield client


@contextlib.asynccontextmanager
async def served(backend: TileBackend, settings: Settings) -> AsyncIterator[str]:
    """The address of a gateway of its own; its image workers start when they are first needed."""
    async with image_workers(settings) as images, serving(backend, images, settings) as address:
        yield address


async def settle() -> None:
    """Let every task go on until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def refusal(call: Any) -> Refusal:
    """The error that a call ends with, whose details must agree with its status."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return _refusal(error)
    raise AssertionError("the call was answered")


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing.get(DETAILS_KEY, b""))
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    quota = error_details_pb2.QuotaFailure()
    retried = False
    for detail in status.details:
        retried |= detail.Unpack(retry)
        assert detail.Unpack(info) or detail.Unpack(bad) or detail.Unpack(quota) or retried
    if status.details:
        assert (status.code, status.message) == (error.code().value[0], error.details())
        assert info.domain == DOMAIN
    fields = [violation.field for violation in bad.field_violations]
    delay_s = retry.retry_delay.ToTimedelta().total_seconds() if retried else None
    return Refusal(error.code(), error.details(), info.reason, ", ".join(fields), delay_s)


def scene(size: tuple[int, int], dtype: str = "uint8", *, seed: int = 0) -> np.ndarray:
    """Random samples over the whole range of their type."""
    limit = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, limit, (*size, 3), dtype=dtype, endpoint=True)


def raw(pixels: np.ndarray, mask: np.ndarray | None = None) -> pb.RawImage:
    """An array as raw pixels."""
    return raw_request(pixels, model="", scale="", mask=mask).raw


def png(pixels: np.ndarray) -> bytes:
    """An array as a PNG file."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG")
    return target.getvalue()


def read_png(encoded: bytes) -> np.ndarray:
    """A PNG file as an array."""
    with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
        return np.asarray(image)


def content(image: pb.RawImage | bytes) -> dict[str, Any]:
    """The field that an image travels in."""
    return {"encoded": image} if isinstance(image, bytes) else {"raw": image}


def request(
    image: pb.RawImage | bytes,
    *,
    output_format: int = 0,
    encoding: dict[str, Any] | None = None,
    reference: pb.RawImage | bytes | None = None,
    **parameters: Any,
) -> pb.UpscaleRequest:
    """An Upscale call of raw pixels or a file; `parameters` as in UpscaleParameters, the model `bicubic`."""
    return pb.UpscaleRequest(
        parameters=pb.UpscaleParameters(**{"model": "bicubic", **parameters}),
        output_format=output_format,
        encoding=pb.EncodingOptions(**(encoding or {})),
        reference=None if reference is None else pb.Image(**content(reference)),
        **content(image),
    )
