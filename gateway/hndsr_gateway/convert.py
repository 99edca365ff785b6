"""Between messages of `hndsr.v1` and the gateway's own types."""

from __future__ import annotations

import numpy as np
from google.protobuf import duration_pb2

from hndsr.v1 import upscale_pb2 as pb
from hndsr_ensemble.geometry import Span
from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE, Options
from hndsr_ensemble.masks import Mask, pack_mask, unpack_mask
from hndsr_ensemble.values import SampleType
from hndsr_gateway.errors import EmptyImageError, OutputUnsupportedError, RawImageError, ValueRangeError
from hndsr_gateway.images.picture import ImageFormat
from hndsr_gateway.jobs import (
    BORDER_PX,
    CompareAnswer,
    Degradation,
    Output,
    Quality,
    Source,
    UpscaleAnswer,
    UpscaleRequest,
)
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, OptionChoices, Parameters, Plan, Priority, Raster
from hndsr_gateway.wire import Part, record

SAMPLE_TYPES: dict[int, SampleType] = {pb.SAMPLE_TYPE_UINT8: np.dtype("u1"), pb.SAMPLE_TYPE_UINT16: np.dtype("<u2")}
FORMATS = {
    pb.IMAGE_FORMAT_PNG: ImageFormat.PNG,
    pb.IMAGE_FORMAT_JPEG: ImageFormat.JPEG,
    pb.IMAGE_FORMAT_WEBP: ImageFormat.WEBP,
    pb.IMAGE_FORMAT_TIFF: ImageFormat.TIFF,
}
PRIORITIES: dict[int, Priority] = {pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE, pb.PRIORITY_BATCH: Priority.BATCH}
BANDS = 3


def parameters_of(message: pb.UpscaleParameters) -> Parameters:
    """What a caller asks for, with nothing checked but what would take long to read.

    Raises:
        ValueRangeError: for more value ranges than bands.
    """
    if len(message.value_ranges) > BANDS:
        raise ValueRangeError(f"{len(message.value_ranges)} value ranges were given")
    options = message.options
    return Parameters(
        model=message.model,
        scale=message.scale,
        options=OptionChoices(
            steps=options.steps if options.HasField("steps") else None,
            texture=options.texture if options.HasField("texture") else None,
            seed=options.seed if options.HasField("seed") else None,
        ),
        value_ranges=tuple((band.minimum, band.maximum) for band in message.value_ranges),
        required_revision=message.required_revision,
    )


def priority_of(priority: int, default: Priority) -> Priority:
    """A priority; the default where none is said, or one that is unknown here."""
    return PRIORITIES.get(priority, default)


def sample_type_name(sample_type: int) -> str:
    """NumPy's name of a sample type, empty where it is not said."""
    return SAMPLE_TYPES[sample_type].name if sample_type in SAMPLE_TYPES else ""


def upscale_request_of(message: pb.UpscaleRequest) -> UpscaleRequest:
    """What a caller asks for, with nothing checked but the shape of raw pixels.

    Raises:
        InvalidRequestError: if there is no image, raw pixels do not fit their shape, or the format is unknown.
    """
    return UpscaleRequest(
        source=source_of(message, field=""),
        parameters=parameters_of(message.parameters),
        output=output_of(message),
        reference=source_of(message.reference, field="reference.") if message.HasField("reference") else None,
        priority=priority_of(message.priority, Priority.INTERACTIVE),
        allow_degraded=message.allow_degraded,
    )


def source_of(message: pb.UpscaleRequest | pb.Image, *, field: str) -> Source:
    """The image of a message, as a file or as pixels.

    Args:
        message: has the fields `encoded` and `raw`, one of them set.
        field: path of the message in the request, with a dot at its end, for errors.

    Raises:
        EmptyImageError: if neither is set, or it is empty.
        RawImageError: as `raster_of`.
    """
    if message.HasField("raw"):
        return raster_of(message.raw, field=f"{field}raw")
    if not message.encoded:
        raise EmptyImageError(field=field.rstrip(".") or "image")
    return message.encoded


def output_of(message: pb.UpscaleRequest) -> Output:
    """How the answer is wanted.

    Raises:
        OutputUnsupportedError: for a format unknown here.
    """
    options = message.encoding
    if message.output_format not in {pb.IMAGE_FORMAT_UNSPECIFIED, pb.IMAGE_FORMAT_RAW, *FORMATS}:
        raise OutputUnsupportedError(f"output format {message.output_format} is unknown")
    return Output(
        format=FORMATS.get(message.output_format),
        pixels=message.output_format == pb.IMAGE_FORMAT_RAW,
        quality=options.quality if options.HasField("quality") else None,
        lossless=options.lossless if options.HasField("lossless") else None,
    )


def raster_of(message: pb.RawImage, *, field: str) -> Raster:
    """Raw pixels as an array, without a copy.

    Args:
        message: the pixels.
        field: path of the message in the request, for errors.

    Raises:
        EmptyImageError: for a side of 0.
        RawImageError: if sizes or sample type do not fit.
    """
    dtype = SAMPLE_TYPES.get(message.sample_type)
    if dtype is None:
        raise RawImageError("raw pixels need the sample type UINT8 or UINT16", field=f"{field}.sample_type")
    height, width = message.height_px, message.width_px
    if not height or not width:
        raise EmptyImageError(field="image" if field == "raw" else field)
    expected = height * width * BANDS * dtype.itemsize
    if len(message.pixels) != expected:
        raise RawImageError(
            f"{height} x {width} px of 3 bands take {expected} bytes, {len(message.pixels)} were sent",
            field=f"{field}.pixels",
        )
    pixels = np.frombuffer(message.pixels, dtype=dtype).reshape(height, width, BANDS)
    return Raster(pixels, _mask_of(message, field) if message.mask else None)


def _mask_of(message: pb.RawImage, field: str) -> Mask:
    packed = np.frombuffer(message.mask, dtype=np.uint8)
    try:
        return unpack_mask(packed, height=message.height_px, width=message.width_px)
    except ValueError as error:
        raise RawImageError(str(error), field=f"{field}.mask") from error


def upscale_response(answer: UpscaleAnswer) -> bytes:
    """The answer to a unary call, an UpscaleResponse as bytes."""
    others = pb.UpscaleResponse(metadata=metadata_message(answer))
    if answer.quality is not None:
        others.quality.CopyFrom(
            pb.QualityReport(
                result=quality_message(answer.quality.result),
                bicubic=quality_message(answer.quality.bicubic),
                border_px=BORDER_PX,
            )
        )
    if answer.encoded is None:
        image = record(pb.UpscaleResponse.RAW_FIELD_NUMBER, *raw_parts(answer.upscaled.raster))
    else:
        image = record(pb.UpscaleResponse.ENCODED_FIELD_NUMBER, answer.encoded)
    return b"".join((*image, others.SerializeToString()))


def raw_parts(raster: Raster) -> tuple[Part, ...]:
    """A RawImage as bytes, its pixels still where they are."""
    sixteen = raster.pixels.dtype == np.uint16
    shape = pb.RawImage(
        height_px=raster.height,
        width_px=raster.width,
        sample_type=pb.SAMPLE_TYPE_UINT16 if sixteen else pb.SAMPLE_TYPE_UINT8,
    )
    pixels = np.ascontiguousarray(raster.pixels, dtype="<u2" if sixteen else "u1").reshape(-1)
    mask = pb.RawImage(mask=b"" if raster.mask is None else pack_mask(raster.mask).tobytes())
    return (
        shape.SerializeToString(),
        *record(pb.RawImage.PIXELS_FIELD_NUMBER, pixels.data),
        mask.SerializeToString(),
    )


def compare_response(answer: CompareAnswer) -> pb.CompareResponse:
    """How close an image is to a reference."""
    height, width = answer.size
    return pb.CompareResponse(
        quality=quality_message(answer.quality), height_px=height, width_px=width, border_px=BORDER_PX
    )


def quality_message(quality: Quality) -> pb.Quality:
    """Figures as a message."""
    return pb.Quality(psnr_db=quality.psnr_db, ssim=quality.ssim, data_range=quality.data_range)


def format_message(image_format: ImageFormat | None) -> pb.ImageFormat:
    """A format, None for pixels."""
    return next((number for number, known in FORMATS.items() if known == image_format), pb.IMAGE_FORMAT_RAW)


def metadata_message(answer: UpscaleAnswer) -> pb.UpscaleMetadata:
    """What was done."""
    upscaled = answer.upscaled
    plan, stats = upscaled.plan, upscaled.stats
    return pb.UpscaleMetadata(
        target_height_px=plan.target[0],
        target_width_px=plan.target[1],
        model=plan.model,
        revision=plan.revision,
        options=_options(plan.options),
        scale_numerator=plan.scale.numerator,
        scale_denominator=plan.scale.denominator,
        tiles=plan.tile_count,
        windows=plan.windows,
        cache_hits=stats.cache_hits,
        empty_windows=stats.empty_windows,
        computed_windows=stats.windows - stats.cache_hits - stats.empty_windows,
        out_of_range_samples=stats.out_of_range,
        latency=duration_message(answer.latency_s),
        engine=upscaled.description.engine,
        device=upscaled.description.device,
        format=format_message(answer.format),
        source_format=format_message(answer.source_format),
        degraded=None if answer.degradation is None else _degradation(answer.degradation),
    )


def plan_response(plan: Plan, *, estimated_s: float) -> pb.PlanUpscaleResponse:
    """The answer to PlanUpscale."""
    return pb.PlanUpscaleResponse(
        plan=plan_message(plan), windows=plan.windows, estimated_time=duration_message(estimated_s)
    )


def plan_message(plan: Plan) -> pb.Plan:
    """A plan with all its spans."""
    return pb.Plan(
        source_height_px=plan.source[0],
        source_width_px=plan.source[1],
        target_height_px=plan.target[0],
        target_width_px=plan.target[1],
        scale_numerator=plan.scale.numerator,
        scale_denominator=plan.scale.denominator,
        model=plan.model,
        revision=plan.revision,
        row_spans=[_span(span) for span in plan.row_spans],
        column_spans=[_span(span) for span in plan.column_spans],
        digest=plan.digest,
        cores_per_tile=plan.cores_per_tile,
        options=_options(plan.options),
    )


def model_message(model: ModelDescription) -> pb.ModelInfo:
    """One model for GetModelInfo."""
    manifest = model.manifest
    return pb.ModelInfo(
        name=manifest.name,
        description=manifest.description,
        revision=model.revision,
        min_scale=str(manifest.min_scale),
        max_scale=str(manifest.max_scale),
        default_scale=manifest.default_scale,
        default_options=_options(model.default_options),
        generative=manifest.generative,
        engine=model.engine,
        device=model.device,
        window_px=manifest.geometry.window_px,
        stride_px=manifest.geometry.stride_px,
    )


def limits_message(settings: Settings) -> pb.Limits:
    """The limits of unary calls."""
    return pb.Limits(
        max_source_px=settings.max_source_px,
        max_target_px=settings.max_target_px,
        max_message_bytes=settings.max_message_bytes,
        max_steps=MAX_STEPS,
        max_texture=MAX_TEXTURE,
        formats=[pb.IMAGE_FORMAT_RAW, *FORMATS],
        max_concurrent_requests=settings.max_concurrent_requests,
        max_queue_depth=settings.max_queue_depth,
        max_streams=settings.max_streams,
    )


def _degradation(degradation: Degradation) -> pb.Degradation:
    return pb.Degradation(
        reason=degradation.error.reason,
        message=str(degradation.error),
        model=degradation.model,
        options=_options(degradation.options),
    )


def _options(options: Options) -> pb.UpscaleOptions:
    return pb.UpscaleOptions(steps=options.steps, texture=options.texture, seed=options.seed)


def _span(span: Span) -> pb.Span:
    return pb.Span(
        core_start=span.core_start,
        core_stop=span.core_stop,
        source_start_px=span.source_start,
        source_stop_px=span.source_stop,
        target_start_px=span.target_start,
        target_stop_px=span.target_stop,
    )


def duration_message(seconds: float) -> duration_pb2.Duration:
    """A span of time."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
