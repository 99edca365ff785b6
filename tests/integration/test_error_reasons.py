"""Every reason in the catalogue, raised through a real gateway in front of a real Triton."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import streams
from gateways import RunningGateway
from google.rpc import error_details_pb2, status_pb2
from in_process import png, raw, request, scene

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_ensemble.manifest import model_repository
from hndsr_gateway.errors import GatewayError, InvalidRequestError
from hndsr_gateway.settings import Settings
from hndsr_gateway.status import DETAILS_KEY, status_of

RAW, PNG, LARGE = raw(scene((5, 7))), png(scene((5, 7))), raw(scene((1500, 1500)))
OTHER_VERSION = '''

class TritonPythonModel(TritonPythonModel):
    """A tiling model that knows other tiles than the gateway, and answers wide ones with nothing."""

    def _answer(self, request):
        pixels = pb_utils.get_input_tensor_by_name(request, "PIXELS_U8")
        if pixels is None:
            return super()._answer(request)
        if pixels.as_numpy().shape[0] == 1:
            return pb_utils.InferenceResponse([], pb_utils.TritonError("NOT_FINITE: no numbers"))
        if pixels.as_numpy().shape[1] > 1:
            return pb_utils.InferenceResponse([])
        return pb_utils.InferenceResponse([], pb_utils.TritonError("TILE_MISMATCH: of another version"))
'''


def reason_of(call: Callable[[], object]) -> tuple[str, grpc.StatusCode]:
    """Reason and status that a call is refused with."""
    with pytest.raises(grpc.RpcError) as refused:
        call()
    trailing = dict(refused.value.trailing_metadata() or ())
    status, info = status_pb2.Status.FromString(trailing.get(DETAILS_KEY, b"")), error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), refused.value.details()
    return info.reason, refused.value.code()


@contextlib.contextmanager
def stub_of(address: str) -> Iterator[upscale_pb2_grpc.UpscaleServiceStub]:
    """A client of a gateway."""
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", 2**29)]) as channel:
        yield upscale_pb2_grpc.UpscaleServiceStub(channel)


def header_of(height: int, width: int) -> bytes:
    """A PNG file that ends behind a header which promises so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def lying(**changes: Any) -> pb.RawImage:
    """Raw pixels of 5 x 7 px with some fields changed."""
    image = pb.RawImage()
    image.CopyFrom(RAW)
    for name, value in changes.items():
        setattr(image, name, value)
    return image


BAND = pb.ValueRange(minimum=5, maximum=5)
REFUSED: dict[str, pb.UpscaleRequest] = {
    "IMAGE_TOO_LARGE": request(header_of(30_000, 30_000)),
    "EMPTY_IMAGE": request(lying(width_px=0)),
    "UNSUPPORTED_FORMAT": request(b"GIF89a"),
    "IMAGE_DAMAGED": request(PNG[:-20]),
    "RAW_IMAGE_INVALID": request(lying(height_px=6)),
    "OUTPUT_UNSUPPORTED": request(PNG, output_format=pb.IMAGE_FORMAT_JPEG, encoding={"lossless": True}),
    "REFERENCE_MISMATCH": request(RAW, reference=RAW),
    "SCALE_OUT_OF_RANGE": request(RAW, scale="9"),
    "OPTION_OUT_OF_RANGE": request(RAW, model="hndsr", options=pb.UpscaleOptions(steps=101)),
    "VALUE_RANGE_INVALID": request(RAW, value_ranges=[BAND] * 3),
    "MODEL_NOT_FOUND": request(RAW, model="swin"),
    "REVISION_CHANGED": request(RAW, required_revision="another"),
}
SOURCE = scene((5, 7))
WRONG = pb.UpscaleStreamRequest(strip=pb.SourceStrip(pixels=SOURCE.tobytes(), last=True))
BEYOND = pb.UpscaleStreamRequest(strip=pb.SourceStrip(row=1, pixels=SOURCE.tobytes(), last=True))
BEYOND.strip.checksum = streams.checksum(BEYOND.strip)
REFUSED_STREAMS: dict[str, list[pb.UpscaleStreamRequest]] = {
    "STREAM_PROTOCOL": [WRONG],
    "CHECKSUM_MISMATCH": [streams.start(SOURCE), WRONG],
    "TILE_MISMATCH": [streams.start(SOURCE), BEYOND],
}
ELSEWHERE = {
    *("PLAN_INCOMPATIBLE", "OVERLOADED", "DEADLINE_EXCEEDED", "DECOMPRESSION_BOMB", "STREAM_STALLED"),
    *("BACKEND_UNAVAILABLE", "BACKEND_MISMATCH", "NOT_FINITE", "INTERNAL"),
    *("UNAUTHENTICATED", "PERMISSION_DENIED", "QUOTA_EXCEEDED"),
}
"""Reasons that other requests than Upscale, or other gateways, answer with; each has a test of its own below, or
where keys and quotas are tested."""


def answerable() -> dict[str, set[grpc.StatusCode]]:
    """Every reason that a caller can be answered with, and its status."""
    found: dict[str, set[grpc.StatusCode]] = {}
    pending: list[type[GatewayError]] = [GatewayError]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if cls is not InvalidRequestError:
            found.setdefault(cls.reason, set()).add(status_of(cls.__new__(cls)))
    return found


def test_every_reason_is_raised_here() -> None:
    assert set(answerable()) == REFUSED.keys() | REFUSED_STREAMS.keys() | ELSEWHERE


@pytest.mark.parametrize("reason", REFUSED)
def test_upscale_is_refused_with_the_reason(stub: Any, reason: str) -> None:
    found, status = reason_of(lambda: stub.Upscale(REFUSED[reason]))
    assert (found, {status}) == (reason, answerable()[reason])


@pytest.mark.parametrize("reason", REFUSED_STREAMS)
def test_stream_is_refused_with_the_reason(stub: Any, reason: str) -> None:
    found, status = reason_of(lambda: list(stub.UpscaleStream(iter(REFUSED_STREAMS[reason]))))
    assert (found, {status}) == (reason, answerable()[reason])


def test_plan_is_refused_as_plan_incompatible(stub: Any) -> None:
    message = pb.PlanUpscaleRequest(source_height_px=9, source_width_px=9, cores_per_tile=17)
    assert reason_of(lambda: stub.PlanUpscale(message))[0] == "PLAN_INCOMPATIBLE"


@pytest.fixture(scope="module")
def strict() -> Iterator[RunningGateway]:
    """A gateway that allows one request at a time, two seconds for it, and no time for reading a file."""
    settings = Settings(
        listen="127.0.0.1:0",
        models="bicubic",
        max_concurrent_requests=1,
        max_queue_depth=0,
        request_timeout_s=2.0,
        tile_time_s=0.1,
        image_timeout_s=1e-6,
        window_cache_mib=0,
        health_interval_s=0.1,
        health_timeout_s=5.0,
        stream_stall_s=0.2,
    )
    running = RunningGateway(settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def strict_stub(strict: RunningGateway) -> Iterator[upscale_pb2_grpc.UpscaleServiceStub]:
    """A client of it."""
    assert strict.gateway is not None
    with stub_of(strict.gateway.address) as client:
        yield client


def test_file_that_takes_too_long_is_refused_as_a_bomb(strict_stub: Any) -> None:
    assert reason_of(lambda: strict_stub.Upscale(request(PNG)))[0] == "DECOMPRESSION_BOMB"


def test_request_over_the_servers_time_ends_with_deadline_exceeded(strict_stub: Any) -> None:
    found = reason_of(lambda: strict_stub.Upscale(request(LARGE, scale="5")))
    assert found == ("DEADLINE_EXCEEDED", grpc.StatusCode.DEADLINE_EXCEEDED)


def test_request_that_finds_no_place_is_refused_as_overloaded(strict_stub: Any) -> None:
    calls = [strict_stub.Upscale.future(request(LARGE, scale="5")) for _ in range(2)]
    found = {reason_of(call.result)[0] for call in calls}  # the other one takes longer than this server allows
    assert found == {"OVERLOADED", "DEADLINE_EXCEEDED"}


def test_stream_that_sends_nothing_is_refused_as_stalled(strict_stub: Any) -> None:
    done = threading.Event()
    messages = itertools.takewhile(lambda _: not done.wait(), itertools.repeat(None))
    found = reason_of(lambda: list(strict_stub.UpscaleStream(itertools.chain([streams.start(SOURCE)], messages))))
    done.set()
    assert found == ("STREAM_STALLED", grpc.StatusCode.UNAVAILABLE)


@pytest.fixture
def of_another_version(tmp_path: Path) -> Iterator[upscale_pb2_grpc.UpscaleServiceStub]:
    """A client of a gateway whose Triton serves a tiling model of another version."""
    for model in ("hndsr", "bicubic"):
        shutil.copytree(model_repository() / model, tmp_path / model)
    with (tmp_path / "hndsr/1/model.py").open("a", encoding="utf-8") as adapter:
        adapter.write(OTHER_VERSION)
    running = RunningGateway(Settings(listen="127.0.0.1:0", models="bicubic", model_repository=str(tmp_path)))
    with stub_of(running.start().address) as client:
        yield client
    running.stop()


def test_models_of_another_version_are_answered_as_what_they_are(of_another_version: Any) -> None:
    images = [raw(np.zeros((*size, 3), np.uint8)) for size in ((5, 1), (1, 5), (5, 5))]
    found = [reason_of(lambda image=image: of_another_version.Upscale(request(image))) for image in images]
    assert found == [(reason, grpc.StatusCode.INTERNAL) for reason in ("BACKEND_MISMATCH", "NOT_FINITE", "INTERNAL")]


# The last one: nothing is served behind it.
def test_request_is_refused_as_unavailable_when_triton_has_died(strict: RunningGateway, strict_stub: Any) -> None:
    assert strict.gateway is not None
    assert strict.gateway.triton is not None
    os.kill(strict.gateway.triton.pid, signal.SIGKILL)
    found = reason_of(lambda: strict_stub.Upscale(request(RAW)))
    assert found == ("BACKEND_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE)
