"""Requests from arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import Mask, to_raw
from hndsr_client.errors import ArgumentError, ImageTooLargeError

Scale = int | float | str | Fraction | Decimal
ValueRanges = Sequence[tuple[float, float]] | npt.NDArray[Any]
SampleType = Literal["uint8", "uint16"]

MAX_MESSAGE_BYTES = 512 * 1024 * 1024
PNG, RAW = pb.IMAGE_FORMAT_PNG, pb.IMAGE_FORMAT_RAW

_ACCEPTED = {
    "steps": "an integer, 0 or more",
    "texture": "a number",
    "seed": "an integer from 0 to 2^64 - 1",
    "source_height_px": "an integer, 1 or more",
    "source_width_px": "an integer, 1 or more",
    "minimum": "a number",
    "maximum": "a number",
    "cores_per_tile": "an integer from 1 to 16, or 0 for the server's choice",
}
_SAMPLE_TYPES = {"uint8": pb.SAMPLE_TYPE_UINT8, "uint16": pb.SAMPLE_TYPE_UINT16}


def scale_text(scale: Scale) -> str:
    """The scale as it is sent: what the user wrote, never a rounded or binary form of it.

    Args:
        scale: Target pixels per source pixel. Text is passed on as it stands; a float stands for the shortest
            decimal that reads back as itself, so 3.14 is exactly 314/100.

    Raises:
        ArgumentError: Infinite, not a number, empty, or of another type.
    """
    if isinstance(scale, str) and scale.strip():
        return scale
    if isinstance(scale, (int, np.integer, Fraction)) and not isinstance(scale, bool):
        return str(scale)
    if isinstance(scale, (float, np.floating)) and math.isfinite(scale):
        return format(Decimal(float.__repr__(scale) if isinstance(scale, float) else str(scale)), "f")
    if isinstance(scale, Decimal) and scale.is_finite():
        return format(scale, "f")
    raise ArgumentError(f"scale is {scale!r}, accepted are finite numbers and text such as '4', '3.14' or '22/7'")


def build_parameters(
    *,
    scale: Scale,
    steps: int | None,
    texture: float | None,
    seed: int | None,
    model: str | None,
    value_ranges: ValueRanges | None,
    required_revision: str | None,
) -> pb.UpscaleParameters:
    """What decides the target pixels beside the source; None leaves a field to the server.

    Raises:
        ArgumentError: An argument that the message cannot carry.
    """
    parameters = pb.UpscaleParameters()
    _put(parameters, scale=scale_text(scale), model=model, required_revision=required_revision)
    _put(parameters.options, steps=steps, texture=texture, seed=seed)
    if value_ranges is not None:
        _put_ranges(parameters, value_ranges)
    return parameters


def plan_request(
    height_px: int,
    width_px: int,
    parameters: pb.UpscaleParameters,
    *,
    sample_type: SampleType | None = None,
    cores_per_tile: int | None = None,
) -> pb.PlanUpscaleRequest:
    """The request for the plan of an image of this size; None leaves a field to the server.

    Raises:
        ArgumentError: An argument that the message cannot carry.
    """
    request = pb.PlanUpscaleRequest(parameters=parameters)
    _put(request, source_height_px=height_px, source_width_px=width_px, cores_per_tile=cores_per_tile)
    if sample_type is not None:
        request.sample_type = _sample_type(sample_type)
    return request


def upscale_request(
    image: npt.NDArray[Any] | bytes, mask: Mask | None, parameters: pb.UpscaleParameters, output_format: pb.ImageFormat
) -> pb.UpscaleRequest:
    """The request to upscale an array, or an image file given as its content.

    Raises:
        ArgumentError: The image or its mask cannot be sent.
    """
    if not isinstance(image, (np.ndarray, bytes)):
        raise ArgumentError(f"the image is {type(image).__name__}, accepted are an array, bytes and a path")
    check_size(image.nbytes if isinstance(image, np.ndarray) else len(image))
    if isinstance(image, np.ndarray):
        return pb.UpscaleRequest(parameters=parameters, raw=to_raw(image, mask), output_format=output_format)
    if mask is not None:
        raise ArgumentError("a mask goes with an array only; decode the image file to send one")
    return pb.UpscaleRequest(parameters=parameters, encoded=image, output_format=output_format)


def check_size(size_bytes: int) -> None:
    """Refuse what no message can carry.

    Raises:
        ImageTooLargeError: Larger than `MAX_MESSAGE_BYTES`.
    """
    if size_bytes > MAX_MESSAGE_BYTES:
        raise ImageTooLargeError(size_bytes=size_bytes, limit_bytes=MAX_MESSAGE_BYTES)


def _put(message: Message, **values: object) -> None:
    """Set the fields that are not None."""
    for field, value in values.items():
        if value is not None:
            _put_field(message, field, value)


def _put_field(message: Message, field: str, value: object) -> None:
    try:
        setattr(message, field, value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{field} is {value!r}, accepted is {_ACCEPTED.get(field, 'text')}") from error


def _sample_type(sample_type: SampleType) -> pb.SampleType:
    if not isinstance(sample_type, str) or sample_type not in _SAMPLE_TYPES:
        raise ArgumentError(f"sample_type is {sample_type!r}, accepted is 'uint8' or 'uint16'")
    return _SAMPLE_TYPES[sample_type]


def _put_ranges(parameters: pb.UpscaleParameters, value_ranges: ValueRanges) -> None:
    try:
        each = iter(value_ranges)
    except TypeError as error:
        raise ArgumentError(
            f"value_ranges is {value_ranges!r}, accepted is a (minimum, maximum) for each band"
        ) from error
    for value_range in each:
        _put_range(parameters.value_ranges.add(), value_range)


def _put_range(message: pb.ValueRange, value_range: tuple[float, float]) -> None:
    try:
        minimum, maximum = value_range
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"a value range is {value_range!r}, accepted is (minimum, maximum)") from error
    _put(message, minimum=minimum, maximum=maximum)
