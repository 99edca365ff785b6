"""What the fake answers to each request, without transport."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import Mask, Pixels, from_raw, to_raw
from hndsr_client.errors import AnswerError
from hndsr_client.testing._files import read_file, write_file
from hndsr_client.testing._nearest import enlarge, measure, target_px

MODEL = "nearest"
VERSION = "0.1.0"
DEFAULTS = pb.UpscaleOptions(steps=4, texture=0.1, seed=0)
FORMATS = (
    pb.IMAGE_FORMAT_PNG,
    pb.IMAGE_FORMAT_RAW,
    pb.IMAGE_FORMAT_JPEG,
    pb.IMAGE_FORMAT_WEBP,
    pb.IMAGE_FORMAT_TIFF,
)


class Refusal(ValueError):  # noqa: N818  what a service makes of it is an error
    """A request that the service refuses.

    Attributes:
        reason: As the service names it.
        code: Name of the status.
    """

    def __init__(self, message: object, *, reason: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code


def info(revision: str) -> pb.GetModelInfoResponse:
    """One model and its limits."""
    model = pb.ModelInfo(
        name=MODEL,
        description="Nearest neighbour",
        revision=revision,
        min_scale="1.5",
        max_scale="8",
        default_scale="4",
        default_options=DEFAULTS,
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
        formats=FORMATS,
        max_concurrent_requests=4,
        max_queue_depth=32,
    )
    return pb.GetModelInfoResponse(models=[model], default_model=MODEL, limits=limits, gateway_version=VERSION)


def plan(request: pb.PlanUpscaleRequest, revision: str) -> pb.PlanUpscaleResponse:
    """One tile.

    Raises:
        Refusal: The scale is no number, or another revision is required.
    """
    scale = _checked(request.parameters, revision)
    height_px, width_px = request.source_height_px, request.source_width_px
    answer = pb.Plan(
        source_height_px=height_px,
        source_width_px=width_px,
        target_height_px=target_px(height_px, scale),
        target_width_px=target_px(width_px, scale),
        scale_numerator=scale.numerator,
        scale_denominator=scale.denominator,
        model=request.parameters.model or MODEL,
        revision=revision,
        row_spans=[_span(height_px, scale)],
        column_spans=[_span(width_px, scale)],
        digest="d1ce",
        cores_per_tile=request.cores_per_tile or 3,
        options=DEFAULTS,
    )
    return pb.PlanUpscaleResponse(plan=answer, windows=9, estimated_time=Duration(seconds=2, nanos=500_000_000))


def upscale(request: pb.UpscaleRequest, revision: str) -> pb.UpscaleResponse:
    """The nearest neighbours, in the format asked for, and how close they come to the reference.

    Raises:
        Refusal: The image or the reference cannot be read, the answer cannot be written, the scale is no number, or
            another revision is required.
    """
    scale = _checked(request.parameters, revision)
    image, mask, source_format = decode(request, request.WhichOneof("image"))
    target = enlarge(image, scale)
    output_format = request.output_format or source_format
    response = _content(target, None if mask is None else enlarge(mask, scale), output_format, request.encoding)
    response.metadata.MergeFrom(_metadata(request, revision, target.shape))
    response.metadata.format, response.metadata.source_format = output_format, source_format
    if request.HasField("reference"):
        quality = _measured(target, request.reference)
        response.quality.MergeFrom(pb.QualityReport(result=quality, bicubic=quality))
    return response


def compare(request: pb.CompareRequest) -> pb.CompareResponse:
    """How close the image comes to the reference, without a border.

    Raises:
        Refusal: One of them cannot be read, or they differ in size or sample type.
    """
    image, _, _ = decode(request.image, request.image.WhichOneof("content"))
    quality = _measured(image, request.reference)
    return pb.CompareResponse(quality=quality, height_px=image.shape[0], width_px=image.shape[1])


def decode(message: Any, kind: str | None) -> tuple[Pixels, Mask | None, pb.ImageFormat]:
    """The image of a message that holds one, its mask, and the format it travelled in.

    Raises:
        Refusal: There is none, or it cannot be read.
    """
    if kind is None:
        raise Refusal("the request holds no pixel", reason="EMPTY_IMAGE")
    if kind == "raw":
        try:
            return (*from_raw(message.raw), pb.IMAGE_FORMAT_RAW)
        except AnswerError as error:
            raise Refusal(error, reason="RAW_IMAGE_INVALID") from error
    try:
        image, image_format = read_file(message.encoded)
    except ValueError as error:
        raise Refusal(error, reason="UNSUPPORTED_FORMAT") from error
    return image, None, image_format


def _checked(parameters: pb.UpscaleParameters, revision: str) -> Fraction:
    """The scale, if the parameters can be served."""
    if parameters.required_revision not in {"", revision}:
        message = f"revision {parameters.required_revision!r} is required, {revision} is served"
        raise Refusal(message, reason="REVISION_CHANGED", code="FAILED_PRECONDITION")
    try:
        scale = Fraction(parameters.scale or "4")
    except (ValueError, ZeroDivisionError) as error:
        raise Refusal(f"scale is {parameters.scale!r}", reason="SCALE_OUT_OF_RANGE") from error
    if scale <= 0:
        raise Refusal(f"scale is {parameters.scale!r}", reason="SCALE_OUT_OF_RANGE")
    return scale


def _content(
    target: Pixels, mask: Mask | None, output_format: pb.ImageFormat, encoding: pb.EncodingOptions
) -> pb.UpscaleResponse:
    if output_format == pb.IMAGE_FORMAT_RAW:
        return pb.UpscaleResponse(raw=to_raw(target, mask))
    try:
        return pb.UpscaleResponse(encoded=write_file(target, output_format, encoding))
    except ValueError as error:
        raise Refusal(error, reason="OUTPUT_UNSUPPORTED") from error


def _metadata(request: pb.UpscaleRequest, revision: str, shape: tuple[int, ...]) -> pb.UpscaleMetadata:
    scale = Fraction(request.parameters.scale or "4")
    return pb.UpscaleMetadata(
        target_height_px=shape[0],
        target_width_px=shape[1],
        model=request.parameters.model or MODEL,
        revision=revision,
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
    )


def _measured(image: npt.NDArray[Any], message: pb.Image) -> pb.Quality:
    reference, _, _ = decode(message, message.WhichOneof("content"))
    try:
        return measure(image, np.asarray(reference))
    except ValueError as error:
        raise Refusal(error, reason="REFERENCE_MISMATCH") from error


def _span(side_px: int, scale: Fraction) -> pb.Span:
    return pb.Span(core_stop=1, source_stop_px=side_px, target_stop_px=target_px(side_px, scale))
