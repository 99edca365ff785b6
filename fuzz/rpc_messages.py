"""Messages of every call of a live gateway, as bytes that may be none: each is answered, or refused with a reason.

An input's first byte chooses the call; behind it lie messages, each as its size in two bytes and itself.
"""

from __future__ import annotations

import functools
import itertools
import os

import grpc
import numpy as np
import psutil
from finding import FindingError
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from in_process import png, raw, request, scene
from live import LiveGateway
from messages import raw_pixels
from streams import start, strips

from hndsr.v1 import upscale_pb2 as pb

MAX_BYTES = 4096
TOKENS = (b"bicubic", b"hndsr", b"2.5", b"22/7", b"revision-1", b"hndsr.v1.UpscaleService", b"\x89PNG\r\n\x1a\n")
CALLS = (
    "/hndsr.v1.UpscaleService/GetModelInfo",
    "/hndsr.v1.UpscaleService/PlanUpscale",
    "/hndsr.v1.UpscaleService/Upscale",
    "/hndsr.v1.UpscaleService/UpscaleStream",
    "/hndsr.v1.UpscaleService/Compare",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/hndsr.v1.UpscaleService/Nothing",
)
ENDLESS = "/grpc.health.v1.Health/Watch"
SETTINGS = {
    "max_source_px": 2**14,
    "max_target_px": 2**18,
    "max_message_bytes": 2**22,
    "image_timeout_s": 5,
    "stream_stall_s": 5,
}
LONGEST_S = 15.0
WRONG = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
LATE = "Internal error from Core"
EVERY = 100
"""Inputs between two good requests."""
WARM = 3000
"""Inputs until the process has all the memory that it should need."""
GROWTH_BYTES = 256 * 2**20
"""What it may take more from then on; the fuzzer's own is in it."""
SOURCE = scene((5, 7))


@functools.cache
def gateway() -> LiveGateway:
    """The one that all inputs go to."""
    return LiveGateway(**SETTINGS)


def seeds() -> list[bytes]:
    """Good messages, one or more of each call, and none."""
    parameters = pb.UpscaleParameters(model="hndsr", scale="2.5", options=pb.UpscaleOptions(steps=1, seed=7))
    shape = {"source_height_px": 60, "source_width_px": 50, "parameters": parameters, "sample_type": 1}
    image = pb.Image(encoded=png(SOURCE))
    good: dict[int, list[list[Message]]] = {
        0: [[pb.GetModelInfoRequest()]],
        1: [[pb.PlanUpscaleRequest(**shape, cores_per_tile=1)]],
        2: [
            [request(raw(SOURCE, SOURCE[..., 0] > 99), scale="2", value_ranges=[pb.ValueRange(maximum=255)] * 3)],
            [request(png(SOURCE), scale="22/7", output_format=pb.IMAGE_FORMAT_WEBP, encoding={"quality": 3})],
            [request(raw(SOURCE), scale="2", reference=raw(scene((10, 14))))],
        ],
        3: [[start(SOURCE), *strips(_whole_plan(), (0, 0), SOURCE, rows=3)]],
        4: [[pb.CompareRequest(image=image, reference=image, data_range=9)]],
        5: [[health_pb2.HealthCheckRequest(service="hndsr.v1.UpscaleService")]],
        6: [[health_pb2.HealthCheckRequest()]],
        7: [[reflection_pb2.ServerReflectionRequest(file_containing_symbol="hndsr.v1.Plan")]],
    }
    found = [packed(call, [each.SerializeToString() for each in one]) for call, many in good.items() for one in many]
    return [*found, *(bytes([call]) for call in range(len(CALLS)))]


def _whole_plan() -> pb.Plan:
    height, width = SOURCE.shape[:2]
    return pb.Plan(row_spans=[pb.Span(source_stop_px=height)], column_spans=[pb.Span(source_stop_px=width)])


def packed(call: int, messages: list[bytes]) -> bytes:
    """An input of these messages."""
    return bytes([call]) + b"".join(len(each).to_bytes(2, "little") + each for each in messages)


def unpacked(content: bytes) -> tuple[str, list[bytes]]:
    """The call and the messages of an input; the last one may be shorter than it says."""
    messages, rest = list[bytes](), content[1:]
    while rest:
        size = int.from_bytes(rest[:2], "little")
        messages.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    return CALLS[content[0] % len(CALLS)], messages


def check(content: bytes) -> None:
    """Send the messages of one call, and see how it ends.

    Raises:
        FindingError: if it fails in a way that a caller cannot mend, hangs, or harms the server.
    """
    if not content:
        return
    path, messages = unpacked(content)
    code = gateway().run(sent(gateway(), path, messages), timeout_s=2 * LONGEST_S)
    if code in WRONG:
        raise FindingError(f"{path} is answered by {code.name}")
    count = next(_COUNT)
    if count % EVERY == 0:
        gateway().run(check_good(gateway()))
        _check_memory(count)


async def sent(live: LiveGateway, path: str, messages: list[bytes]) -> grpc.StatusCode:
    """Send messages by one call, whatever its shape is; how it ended."""
    call = live.client.channel.stream_stream(path)(iter(messages), timeout=LONGEST_S)
    try:
        async for _ in call:
            if path == ENDLESS:
                call.cancel()
                return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        # The client says so by itself, and forgets the server's status, where a message is late for a call.
        return grpc.StatusCode.CANCELLED if error.details() == LATE else error.code()
    return await call.code()


async def check_good(live: LiveGateway) -> None:
    """Send a request that nothing is wrong with.

    Raises:
        FindingError: if it is not answered rightly.
    """
    answer = await live.client.upscale.Upscale(request(raw(SOURCE), scale="2"), timeout=LONGEST_S)
    if not np.array_equal(raw_pixels(answer.raw), _expected()):
        raise FindingError("a good request is answered by other pixels")


@functools.cache
def _expected() -> np.ndarray:
    from oracle import upscale  # noqa: PLC0415 - it loads a pipeline

    return upscale(SOURCE, model="bicubic", scale="2").pixels


_COUNT = itertools.count(1)
_BASE_BYTES: list[int] = []


def _check_memory(count: int) -> None:
    if count < WARM:
        return
    now_bytes = psutil.Process(os.getpid()).memory_info().rss
    _BASE_BYTES[:] = _BASE_BYTES or [now_bytes]
    if now_bytes > _BASE_BYTES[0] + GROWTH_BYTES:
        raise FindingError(f"memory grew from {_BASE_BYTES[0]:,} to {now_bytes:,} bytes over {count:,} inputs")
