"""Between messages of `hndsr.v1` and the gateway's own types."""

from __future__ import annotations

import numpy as np
from google.protobuf import duration_pb2

from hndsr.v1 import upscale_pb2 as pb
from hndsr_ensemble.geometry import Span
from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE, Options
from hndsr_ensemble.masks import Mask, pack_mask, unpack_mask
from hndsr_ensemble.values import SampleType
from hndsr_gateway.errors import EmptyImageError, RawImageError, UnsupportedFormatError
from hndsr_gateway.images import decode_png, encode_png
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, OptionChoices, Parameters, Plan, Raster, Upscaled

SAMPLE_TYPES: dict[int, SampleType] = {pb.SAMPLE_TYPE_UINT8: np.dtype("u1"), pb.SAMPLE_TYPE_UINT16: np.dtype("<u2")}
BANDS = 3


def parameters_of(message: pb.UpscaleParameters) -> Parameters:
    """What a caller asks for, with nothing checked."""
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


def sample_type_name(sample_type: int) -> str:
    """NumPy's name of a sample type, empty where it is not said."""
    return SAMPLE_TYPES[sample_type].name if sample_type in SAMPLE_TYPES else ""


def source_of(request: pb.UpscaleRequest, settings: Settings) -> Raster:
    """The source raster of a request.

    Raises:
        InvalidRequestError: if there is none, or it cannot be read.
    """
    kind = request.WhichOneof("image")
    if kind is None:
        raise EmptyImageError
    if kind == "encoded":
        return decode_png(request.encoded, max_px=settings.max_source_px)
    return raster_of(request.raw)


def raster_of(message: pb.RawImage) -> Raster:
    """Raw pixels as an array, without a copy.

    Raises:
        EmptyImageError: for a side of 0.
        RawImageError: if sizes or sample type do not fit.
    """
    dtype = SAMPLE_TYPES.get(message.sample_type)
    if dtype is None:
        raise RawImageError("raw pixels need the sample type UINT8 or UINT16", field="raw.sample_type")
    height, width = message.height_px, message.width_px
    if not height or not width:
        raise EmptyImageError
    expected = height * width * BANDS * dtype.itemsize
    if len(message.pixels) != expected:
        raise RawImageError(
            f"{height} x {width} px of 3 bands take {expected} bytes, {len(message.pixels)} were sent",
            field="raw.pixels",
        )
    pixels = np.frombuffer(message.pixels, dtype=dtype).reshape(height, width, BANDS)
    return Raster(pixels, _mask_of(message) if message.mask else None)


def _mask_of(message: pb.RawImage) -> Mask:
    packed = np.frombuffer(message.mask, dtype=np.uint8)
    try:
        return unpack_mask(packed, height=message.height_px, width=message.width_px)
    except ValueError as error:
        raise RawImageError(str(error), field="raw.mask") from error


def raw_message(raster: Raster) -> pb.RawImage:
    """A raster as raw pixels."""
    sixteen = raster.pixels.dtype == np.uint16
    return pb.RawImage(
        height_px=raster.height,
        width_px=raster.width,
        sample_type=pb.SAMPLE_TYPE_UINT16 if sixteen else pb.SAMPLE_TYPE_UINT8,
        pixels=raster.pixels.astype("<u2" if sixteen else "u1", copy=False).tobytes(),
        mask=b"" if raster.mask is None else pack_mask(raster.mask).tobytes(),
    )


def output_format(request: pb.UpscaleRequest) -> pb.ImageFormat:
    """The format of the answer: the one asked for, else the source's.

    Raises:
        UnsupportedFormatError: for a PNG of 16-bit pixels or with a mask, and for formats unknown here.
    """
    raw = request.WhichOneof("image") == "raw"
    chosen = request.output_format or (pb.IMAGE_FORMAT_RAW if raw else pb.IMAGE_FORMAT_PNG)
    if chosen not in {pb.IMAGE_FORMAT_RAW, pb.IMAGE_FORMAT_PNG}:
        raise UnsupportedFormatError(found=f"output format {chosen} is unknown", field="output_format")
    if chosen == pb.IMAGE_FORMAT_PNG and raw and (request.raw.mask or request.raw.sample_type != pb.SAMPLE_TYPE_UINT8):
        found = "a PNG answer holds neither 16-bit samples nor a mask; ask for raw pixels"
        raise UnsupportedFormatError(found=found, field="output_format")
    return chosen


def upscale_response(upscaled: Upscaled, chosen: pb.ImageFormat, *, latency_s: float) -> pb.UpscaleResponse:
    """The answer to a unary call."""
    metadata = metadata_message(upscaled, latency_s=latency_s)
    metadata.format = chosen
    if chosen == pb.IMAGE_FORMAT_PNG:
        return pb.UpscaleResponse(encoded=encode_png(upscaled.raster), metadata=metadata)
    return pb.UpscaleResponse(raw=raw_message(upscaled.raster), metadata=metadata)


def metadata_message(upscaled: Upscaled, *, latency_s: float) -> pb.UpscaleMetadata:
    """What was done."""
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
        latency=_duration(latency_s),
        engine=upscaled.description.engine,
        device=upscaled.description.device,
    )


def plan_response(plan: Plan, *, estimated_s: float) -> pb.PlanUpscaleResponse:
    """The answer to PlanUpscale."""
    message = pb.Plan(
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
    return pb.PlanUpscaleResponse(plan=message, windows=plan.windows, estimated_time=_duration(estimated_s))


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
        default_options=_options(manifest.default_options),
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


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
