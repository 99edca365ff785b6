"""What the fake answers to each request, without transport."""

from __future__ import annotations

from google.protobuf.message import Message

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import to_raw
from hndsr_client.testing._failures import DEGRADING, Failure, Refusal, duration_of
from hndsr_client.testing._files import write_file
from hndsr_client.testing._images import RAW, Picture, decode
from hndsr_client.testing._nearest import BORDER_PX, measure, target_px
from hndsr_client.testing._output import FORMATS, checked_format
from hndsr_client.testing._parameters import (
    DEFAULT_SCALE,
    DEFAULTS,
    MAX_SCALE,
    MAX_STEPS,
    MAX_TEXTURE,
    MIN_SCALE,
    Parameters,
    Served,
    check_data_range,
    check_ranges,
    checked,
)
from hndsr_client.testing._plans import STRIDE_PX, WINDOW_PX, make_plan, plan_facts

VERSION = "0.1.0"
LIMITS = pb.Limits(
    max_source_px=16_000_000,
    max_target_px=64_000_000,
    max_message_bytes=2**29,
    max_steps=MAX_STEPS,
    max_texture=MAX_TEXTURE,
    formats=FORMATS,
    max_concurrent_requests=4,
    max_queue_depth=32,
    max_streams=16,
)


def info(served: Served) -> pb.GetModelInfoResponse:
    """The models and their limits."""
    models = [_model(name, served.revision) for name in served.models]
    return pb.GetModelInfoResponse(
        models=models, default_model=served.models[0], limits=LIMITS, gateway_version=VERSION
    )


def plan(request: pb.PlanUpscaleRequest, served: Served) -> pb.PlanUpscaleResponse:
    """The tiles.

    Raises:
        Refusal: The parameters or the size cannot be served.
    """
    made = make_plan(request, served)
    return pb.PlanUpscaleResponse(plan=made, **plan_facts(made))


def upscale(request: pb.UpscaleRequest, served: Served) -> pb.UpscaleResponse:
    """The nearest neighbours, in the format asked for, and how close they come to the reference.

    Raises:
        Refusal: The parameters, the image, the reference or the format cannot be served.
        BeyondFakeError: The fake alone cannot read or write the file.
    """
    parameters = checked(request.parameters, served)
    kind = request.WhichOneof("image")
    source = decode(request, kind)
    height_px, width_px = source.pixels.shape[:2]
    size_px = target_px(height_px, parameters.scale), target_px(width_px, parameters.scale)
    _check_px((height_px, width_px), LIMITS.max_source_px, field=kind or "image")
    _check_px(size_px, LIMITS.max_target_px, field="encoded" if kind == "encoded" else "image")
    check_ranges(request.parameters, source.pixels.dtype)
    chosen = checked_format(request, source, size_px)
    target = source.enlarged(parameters.scale)
    response = _content(target, chosen, request.encoding)
    response.metadata.MergeFrom(_metadata(parameters, served, size_px))
    response.metadata.format, response.metadata.source_format = chosen, source.format
    if request.HasField("reference"):
        spans = [each.maximum - each.minimum for each in request.parameters.value_ranges]
        quality = _measured(target, request.reference, data_range=max(spans, default=0.0))
        response.quality.MergeFrom(pb.QualityReport(result=quality, bicubic=quality, border_px=BORDER_PX))
    return response


def may_degrade(request: Message, failure: Failure) -> bool:
    """Whether a gateway gives a lesser answer rather than this failure."""
    if not isinstance(request, pb.UpscaleRequest) or request.parameters.required_revision:
        return False
    return request.allow_degraded and failure.reason in DEGRADING


def degrade(metadata: pb.UpscaleMetadata, failure: Failure) -> None:
    """Say of an answer that it is that of the prior alone or, where that was asked for, of bicubic interpolation."""
    asked = pb.Degradation(
        reason=failure.reason, message=failure.message, model=metadata.model, options=metadata.options
    )
    metadata.degraded.MergeFrom(asked)
    if not metadata.options.steps:
        metadata.model = "bicubic"
    metadata.options.steps = 0


def compare(request: pb.CompareRequest) -> pb.CompareResponse:
    """How close the image comes to the reference.

    Raises:
        Refusal: One of them cannot be read, they differ in size or sample type, or are too small or large.
        BeyondFakeError: The fake alone cannot read a file.
    """
    image = decode(request.image, request.image.WhichOneof("content"), of="image")
    height_px, width_px = image.pixels.shape[:2]
    _check_px((height_px, width_px), LIMITS.max_target_px, field="image")
    check_data_range(request.data_range, image.pixels.dtype)
    quality = _measured(image, request.reference, data_range=request.data_range)
    return pb.CompareResponse(quality=quality, height_px=height_px, width_px=width_px, border_px=BORDER_PX)


def _model(name: str, revision: str) -> pb.ModelInfo:
    return pb.ModelInfo(
        name=name,
        description="Nearest neighbour",
        revision=revision,
        min_scale=MIN_SCALE,
        max_scale=MAX_SCALE,
        default_scale=DEFAULT_SCALE,
        default_options=DEFAULTS,
        generative=True,
        engine="numpy",
        device="cpu",
        window_px=WINDOW_PX,
        stride_px=STRIDE_PX,
    )


def _check_px(size_px: tuple[int, int], limit_px: int, *, field: str) -> None:
    if size_px[0] * size_px[1] > limit_px:
        message = f"an image has {size_px[0]} x {size_px[1]} px, the limit is {limit_px:,} px"
        raise Refusal(message, reason="IMAGE_TOO_LARGE", field=field)


def _content(target: Picture, chosen: pb.ImageFormat, encoding: pb.EncodingOptions) -> pb.UpscaleResponse:
    if chosen == RAW:
        return pb.UpscaleResponse(raw=to_raw(target.pixels, target.mask))
    return pb.UpscaleResponse(encoded=write_file(target.planes(chosen), chosen, encoding))


def _metadata(parameters: Parameters, served: Served, size_px: tuple[int, int]) -> pb.UpscaleMetadata:
    return pb.UpscaleMetadata(
        target_height_px=size_px[0],
        target_width_px=size_px[1],
        model=parameters.model,
        revision=served.revision,
        options=parameters.options,
        scale_numerator=parameters.scale.numerator,
        scale_denominator=parameters.scale.denominator,
        tiles=1,
        windows=9,
        cache_hits=2,
        computed_windows=7,
        latency=duration_of(0.25),
        engine="numpy",
        device="cpu",
    )


def _measured(image: Picture, message: pb.Image, *, data_range: float) -> pb.Quality:
    reference = decode(message, message.WhichOneof("content"), of="reference")
    try:
        return measure(image.pixels, reference.pixels, data_range=data_range)
    except ValueError as error:
        raise Refusal(error, reason="REFERENCE_MISMATCH", field="reference") from error
