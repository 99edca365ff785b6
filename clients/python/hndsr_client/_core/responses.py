"""Results from responses."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import results
from hndsr_client._core.pixels import from_raw
from hndsr_client.errors import AnswerError

ResultT = TypeVar(
    "ResultT",
    results.ServiceInfo,
    results.ModelInfo,
    results.Limits,
    results.Plan,
    results.Span,
    results.UpscaleMetadata,
    results.Degradation,
)

_FORMATS: dict[int, results.ImageFormat] = {
    pb.IMAGE_FORMAT_PNG: "png",
    pb.IMAGE_FORMAT_RAW: "raw",
    pb.IMAGE_FORMAT_JPEG: "jpeg",
    pb.IMAGE_FORMAT_WEBP: "webp",
    pb.IMAGE_FORMAT_TIFF: "tiff",
}


def read_info(response: pb.GetModelInfoResponse) -> results.ServiceInfo:
    """The server's models and limits."""
    return _mirror(
        results.ServiceInfo,
        response,
        models=tuple(
            _mirror(results.ModelInfo, model, default_options=_options(model.default_options))
            for model in response.models
        ),
        limits=_limits(response.limits),
    )


def read_plan(response: pb.PlanUpscaleResponse) -> results.Plan:
    """The plan of an image.

    Raises:
        AnswerError: A scale with a zero denominator.
    """
    plan = response.plan
    return _mirror(
        results.Plan,
        plan,
        scale=_scale(plan),
        row_spans=tuple(_mirror(results.Span, span) for span in plan.row_spans),
        column_spans=tuple(_mirror(results.Span, span) for span in plan.column_spans),
        options=_options(plan.options),
        windows=response.windows,
        estimated_time_s=_seconds(response.estimated_time),
    )


def read_upscaled(response: pb.UpscaleResponse) -> results.Upscaled:
    """The target image of a response that was asked for as raw pixels.

    Raises:
        AnswerError: The response holds something else.
    """
    _check_kind(response, "raw")
    image, mask = from_raw(response.raw)
    return results.Upscaled(image=image, mask=mask, metadata=read_metadata(response))


def read_encoded(response: pb.UpscaleResponse) -> results.Encoded:
    """The image file, and what was done, of a response that was asked for as a file.

    Raises:
        AnswerError: The response holds something else.
    """
    _check_kind(response, "encoded")
    return results.Encoded(content=response.encoded, metadata=read_metadata(response))


def read_quality(response: pb.CompareResponse) -> results.Quality:
    """How close the image comes to the reference.

    Raises:
        AnswerError: The response does not say.
    """
    if not response.HasField("quality"):
        raise AnswerError("the server answered no quality")
    return _quality(response.quality)


def read_metadata(response: pb.UpscaleResponse) -> results.UpscaleMetadata:
    """What was done.

    Raises:
        AnswerError: A scale with a zero denominator, or a format this client does not know.
    """
    metadata = response.metadata
    if metadata.format not in pb.ImageFormat.values():
        raise AnswerError(f"the server answered in format {metadata.format}, which this client does not know")
    return _mirror(
        results.UpscaleMetadata,
        metadata,
        options=_options(metadata.options),
        scale=_scale(metadata),
        latency_s=_seconds(metadata.latency),
        format=_FORMATS.get(metadata.format, "unspecified"),
        source_format=_FORMATS.get(metadata.source_format, "unspecified"),
        quality=_report(response.quality) if response.HasField("quality") else None,
        degraded=_degradation(metadata.degraded) if metadata.HasField("degraded") else None,
    )


def _limits(limits: pb.Limits) -> results.Limits:
    # Formats of later versions are no news to a client that cannot ask for them.
    formats = tuple(_FORMATS[value] for value in limits.formats if value in _FORMATS)
    return _mirror(results.Limits, limits, max_texture=_shortest(limits.max_texture), formats=formats)


def _degradation(degraded: pb.Degradation) -> results.Degradation:
    return _mirror(results.Degradation, degraded, options=_options(degraded.options))


def _report(report: pb.QualityReport) -> results.QualityReport:
    return results.QualityReport(
        result=_quality(report.result), bicubic=_quality(report.bicubic), border_px=report.border_px
    )


def _quality(quality: pb.Quality) -> results.Quality:
    ssim = quality.ssim if quality.HasField("ssim") else None
    return results.Quality(psnr_db=quality.psnr_db, ssim=ssim, data_range=quality.data_range)


def _mirror(result: type[ResultT], message: Message, **converted: Any) -> ResultT:
    """A result whose fields are the message's fields of the same names, but for those that are given."""
    same: dict[str, Any] = {
        field.name: getattr(message, field.name) for field in fields(result) if field.name not in converted
    }
    return result(**same, **converted)


def _options(options: pb.UpscaleOptions) -> results.Options:
    return results.Options(
        steps=options.steps if options.HasField("steps") else None,
        texture=_shortest(options.texture) if options.HasField("texture") else None,
        seed=options.seed if options.HasField("seed") else None,
    )


def _scale(message: pb.Plan | pb.UpscaleMetadata) -> Fraction:
    if message.scale_denominator == 0:
        raise AnswerError("the server's scale has no denominator")
    return Fraction(message.scale_numerator, message.scale_denominator)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _shortest(value: float) -> float:
    """The shortest decimal of a number that travelled in 32 bits: 0.1, not 0.10000000149."""
    return float(str(np.float32(value)))


def _check_kind(response: pb.UpscaleResponse, wanted: str) -> None:
    kind = response.WhichOneof("image")
    if kind != wanted:
        raise AnswerError(f"the server answered {kind or 'no image'} where {wanted} was asked for")
