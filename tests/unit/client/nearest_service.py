"""A service that enlarges by the nearest neighbour, for tests of clients."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1.upscale_pb2_grpc import UpscaleServiceServicer, add_UpscaleServiceServicer_to_server

REVISION = "5ca1ab1e" * 8
DTYPES = {pb.SAMPLE_TYPE_UINT8: "u1", pb.SAMPLE_TYPE_UINT16: "<u2"}


@dataclass
class NearestService(UpscaleServiceServicer):
    """Keeps each request; `refuse` may abort a call, `release` holds it back until it is set."""

    requests: list[Any] = field(default_factory=list)
    refuse: Callable[[grpc.ServicerContext], None] = lambda _: None
    received: threading.Event = field(default_factory=threading.Event)
    release: threading.Event | None = None

    def GetModelInfo(self, request: Any, context: grpc.ServicerContext) -> pb.GetModelInfoResponse:  # noqa: N802
        """One model and its limits."""
        self._receive(request, context)
        model = pb.ModelInfo(
            name="nearest",
            description="Nearest neighbour",
            revision=REVISION,
            min_scale="1.5",
            max_scale="8",
            default_scale="4",
            default_options=pb.UpscaleOptions(steps=4, texture=0.1, seed=0),
            generative=True,
            engine="numpy",
            device="cpu",
            window_px=256,
            stride_px=224,
        )
        limits = pb.Limits(
            max_source_px=16_000_000,
            max_target_px=64_000_000,
            max_message_bytes=2**29,
            max_steps=100,
            max_texture=1.5,
        )
        return pb.GetModelInfoResponse(models=[model], default_model="nearest", limits=limits, gateway_version="0.1.0")

    def PlanUpscale(self, request: Any, context: grpc.ServicerContext) -> pb.PlanUpscaleResponse:  # noqa: N802
        """One tile."""
        self._receive(request, context)
        scale = Fraction(request.parameters.scale)
        height_px, width_px = request.source_height_px, request.source_width_px
        plan = pb.Plan(
            source_height_px=height_px,
            source_width_px=width_px,
            target_height_px=target_px(height_px, scale),
            target_width_px=target_px(width_px, scale),
            scale_numerator=scale.numerator,
            scale_denominator=scale.denominator,
            model="nearest",
            revision=REVISION,
            row_spans=[span(height_px, scale)],
            column_spans=[span(width_px, scale)],
            digest="d1ce",
            cores_per_tile=request.cores_per_tile or 3,
            options=pb.UpscaleOptions(steps=4, texture=0.1, seed=0),
        )
        return pb.PlanUpscaleResponse(plan=plan, windows=9, estimated_time=Duration(seconds=2, nanos=500_000_000))

    def Upscale(self, request: Any, context: grpc.ServicerContext) -> pb.UpscaleResponse:  # noqa: N802
        """The nearest neighbours, in the format asked for."""
        self._receive(request, context)
        source, mask = decode(request)
        scale = Fraction(request.parameters.scale)
        target = enlarge(source, scale)
        metadata = pb.UpscaleMetadata(
            target_height_px=target.shape[0],
            target_width_px=target.shape[1],
            model="nearest",
            revision=REVISION,
            options=request.parameters.options,
            scale_numerator=scale.numerator,
            scale_denominator=scale.denominator,
            tiles=1,
            windows=9,
            cache_hits=2,
            computed_windows=7,
            latency=Duration(nanos=250_000_000),
            engine="numpy",
            device="cpu",
            format=request.output_format,
        )
        if request.output_format == pb.IMAGE_FORMAT_PNG:
            return pb.UpscaleResponse(encoded=png(target), metadata=metadata)
        return pb.UpscaleResponse(raw=raw(target, None if mask is None else enlarge(mask, scale)), metadata=metadata)

    def _receive(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.received.set()
        if self.release is not None:
            context.add_callback(self.release.set)
            self.release.wait()
        self.refuse(context)


def serve(servicer: NearestService, **options: int) -> tuple[grpc.Server, str]:
    """A started server and its address."""
    server = grpc.server(ThreadPoolExecutor(2), options=[*({"grpc.max_receive_message_length": -1} | options).items()])
    add_UpscaleServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def target_px(side_px: int, scale: Fraction) -> int:
    return max(1, int(side_px * scale + Fraction(1, 2)))


def span(side_px: int, scale: Fraction) -> pb.Span:
    return pb.Span(core_stop=1, source_stop_px=side_px, target_stop_px=target_px(side_px, scale))


def enlarge(image: np.ndarray, scale: Fraction) -> np.ndarray:
    rows, columns = (
        np.minimum(side - 1, (2 * np.arange(target_px(side, scale)) + 1) * scale.denominator // (2 * scale.numerator))
        for side in image.shape[:2]
    )
    return image[rows][:, columns]


def decode(request: Any) -> tuple[np.ndarray, np.ndarray | None]:
    if request.WhichOneof("image") == "encoded":
        return np.asarray(Image.open(io.BytesIO(request.encoded)).convert("RGB")), None
    image = request.raw
    shape = image.height_px, image.width_px
    pixels = np.frombuffer(image.pixels, DTYPES[image.sample_type]).reshape(*shape, 3)
    if not image.mask:
        return pixels, None
    bits = np.unpackbits(np.frombuffer(image.mask, np.uint8), count=shape[0] * shape[1])
    return pixels, bits.reshape(shape).astype(bool)


def raw(image: np.ndarray, mask: np.ndarray | None) -> pb.RawImage:
    return pb.RawImage(
        height_px=image.shape[0],
        width_px=image.shape[1],
        sample_type=pb.SAMPLE_TYPE_UINT8 if image.dtype == np.uint8 else pb.SAMPLE_TYPE_UINT16,
        pixels=image.tobytes(),
        mask=b"" if mask is None else np.packbits(mask).tobytes(),
    )


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
