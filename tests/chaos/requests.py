"""Requests of every kind, good, bad and given up, each of which has to end as it must."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final

import grpc
import numpy as np
from in_process import request, scene
from oracle import upscale
from PIL import Image
from streams import start

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_client import Client, HndsrError, ServiceError

MODEL = "bicubic"
SCALES = ("2", "3.14", "4")
SIZES = ((20, 31), (64, 64), (90, 120))
SEEDS = range(4)
TILED_PX = (70, 180)
LOSSY = frozenset({"JPEG"})
_one_by_one = threading.Lock()
"""What knows the right answers is for one thread at a time."""
HALT_S = 0.02
"""The longest that a call goes on before it is given up."""


@dataclass(frozen=True)
class Ways:
    """How one thread reaches the gateway."""

    client: Client
    stub: upscale_pb2_grpc.UpscaleServiceStub
    address: str


@cache
def picture(size: tuple[int, int], seed: int, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """A source and its target."""
    source = scene(size, seed=seed)
    with _one_by_one:
        return source, upscale(source, model=MODEL, scale=scale).pixels


@cache
def file(image_format: str, seed: int) -> bytes:
    """An image file."""
    content = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if image_format == "WEBP" else {}
    Image.fromarray(scene(SIZES[1], seed=seed)).save(content, format=image_format, **options)
    return content.getvalue()


def _raw(ways: Ways, draw: Random) -> str:
    scale = draw.choice(SCALES)
    source, target = picture(draw.choice(SIZES), draw.choice(SEEDS), scale)
    image = ways.client.upscale(source, model=MODEL, scale=scale).image
    return "" if np.array_equal(image, target) else "wrong"


def _file(image_format: str) -> Callable[[Ways, Random], str]:
    def call(ways: Ways, draw: Random) -> str:
        seed, scale = draw.choice(SEEDS), draw.choice(SCALES)
        answer = ways.client.upscale_encoded(file(image_format, seed), model=MODEL, scale=scale).content
        with Image.open(io.BytesIO(answer)) as image:
            found = np.asarray(image)
        target = picture(SIZES[1], seed, scale)[1]
        exact = image_format in LOSSY or np.array_equal(found, target)
        return "" if found.shape == target.shape and exact else "wrong"

    return call


def _refused(call: Callable[[Client, Random], object], *reasons: str) -> Callable[[Ways, Random], str]:
    """A call that must be refused, for one of these reasons."""

    def refused(ways: Ways, draw: Random) -> str:
        try:
            call(ways.client, draw)
        except ServiceError as error:
            return "" if error.reason in reasons else error.reason
        return "answered"

    return refused


def _cancelled(ways: Ways, draw: Random) -> str:
    """A call that its caller gives up, at any moment."""
    source, _ = picture(SIZES[2], draw.choice(SEEDS), "4")
    message = pb.RawImage(
        height_px=source.shape[0],
        width_px=source.shape[1],
        sample_type=pb.SAMPLE_TYPE_UINT8,
        pixels=source.tobytes(),
    )
    call = ways.stub.Upscale.future(request(message, scale="4"))
    time.sleep(draw.uniform(0.0, HALT_S))
    call.cancel()
    return ""


def _streamed(ways: Ways, draw: Random) -> str:
    source, target = picture(TILED_PX, draw.choice(SEEDS), "4")
    image = ways.client.upscale_array(source, model=MODEL, scale="4", cores_per_tile=1).image
    return "" if np.array_equal(image, target) else "wrong"


def _abandoned(ways: Ways, draw: Random) -> str:
    """A stream that its caller leaves, at any moment, with a tile in part."""
    source = picture(TILED_PX, draw.choice(SEEDS), "4")[0]

    def messages() -> Iterator[pb.UpscaleStreamRequest]:
        yield start(source, cores=1, scale="4")
        time.sleep(HALT_S)
        yield pb.UpscaleStreamRequest(strip=pb.SourceStrip(row=0, column=0, pixels=bytes(30)))

    call = ways.stub.UpscaleStream(messages())
    if draw.random() < 0.5:
        try:
            next(call)
        except grpc.RpcError as error:
            return error.code().name
    time.sleep(draw.uniform(0.0, HALT_S))
    call.cancel()
    return ""


def _alone(ways: Ways, draw: Random) -> str:
    """A caller that connects for one call."""
    with Client(ways.address) as client:
        return _raw(Ways(client, ways.stub, ways.address), draw)


def _asked(ways: Ways, draw: Random) -> str:
    return "" if ways.client.info().models and ways.client.plan(50, draw.randint(50, 500), model=MODEL).digest else "no"


def _compared(ways: Ways, draw: Random) -> str:
    source, _ = picture(SIZES[1], draw.choice(SEEDS), "2")
    return "" if ways.client.compare(source, source).ssim == 1 else "wrong"


def _cut(draw: Random) -> bytes:
    return file("PNG", draw.choice(SEEDS))[:-40]


def _in_no_time(client: Client, draw: Random) -> object:
    return client.upscale(picture(SIZES[2], draw.choice(SEEDS), "4")[0], model=MODEL, scale=4, timeout_s=0.001)


FILE = file("PNG", 0)
KINDS: Final[dict[str, tuple[int, Callable[[Ways, Random], str]]]] = {
    "raw pixels": (30, _raw),
    "PNG": (8, _file("PNG")),
    "JPEG": (8, _file("JPEG")),
    "WebP": (6, _file("WEBP")),
    "TIFF": (8, _file("TIFF")),
    "stream": (8, _streamed),
    "stream that is left": (5, _abandoned),
    "cancelled call": (6, _cancelled),
    "call of 1 ms": (2, _refused(_in_no_time, "DEADLINE_EXCEEDED", "OVERLOADED")),
    "connection of its own": (4, _alone),
    "information, plan": (4, _asked),
    "comparison": (2, _compared),
    "damaged file": (4, _refused(lambda client, draw: client.upscale(_cut(draw)), "IMAGE_DAMAGED")),
    "no image": (2, _refused(lambda client, draw: client.upscale(draw.randbytes(500)), "UNSUPPORTED_FORMAT")),
    "unknown model": (2, _refused(lambda client, _: client.upscale(FILE, model="none"), "MODEL_NOT_FOUND")),
    "wrong scale": (1, _refused(lambda client, _: client.upscale(FILE, model=MODEL, scale=80), "SCALE_OUT_OF_RANGE")),
}
"""What is asked for, with how often of a hundred."""


def send(ways: Ways, draw: Random) -> tuple[str, str]:
    """One request of a kind that is drawn: which, and what was wrong with how it ended; empty: nothing."""
    weights = [weight for weight, _ in KINDS.values()]
    (name,) = draw.choices(list(KINDS), weights)
    try:
        return name, KINDS[name][1](ways, draw)
    except HndsrError as error:
        return name, error.reason if isinstance(error, ServiceError) else repr(error)
