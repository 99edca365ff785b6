"""The parameters of an upscale: one list of them for every method of every client."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.errors import ArgumentError

Scale = int | float | str | Fraction | Decimal
ValueRanges = Sequence[tuple[float, float]] | npt.NDArray[Any]
MethodT = TypeVar("MethodT", bound=Callable[..., object])

_ACCEPTED = {
    "steps": "an integer, 0 or more",
    "texture": "a number",
    "seed": "an integer from 0 to 2^64 - 1",
    "source_height_px": "an integer, 1 or more",
    "source_width_px": "an integer, 1 or more",
    "minimum": "a number",
    "maximum": "a number",
    "cores_per_tile": "an integer from 1 to 16, or 0 for the server's choice",
    "quality": "an integer from 1 to 100",
    "lossless": "True or False",
    "allow_degraded": "True or False",
}


class UpscaleParameters(TypedDict, total=False):
    """What decides the target pixels beside the source. What is not given, or None, is left to the server."""

    scale: Scale
    """Target pixels per source pixel, exactly as written: 4, 3.14, "22/7", Fraction(22, 7). Never left to the server:
    4 where it is not given."""
    steps: int | None
    """Diffusion steps; 0 is the prior alone, deterministic and closest to the truth in the mean."""
    texture: float | None
    """Weight of the drawn residual, 0 to 1.5; more is sharper and less faithful."""
    seed: int | None
    """Seed of the noise, 0 to 2^64 - 1. The same seed gives the same bytes."""
    model: str | None
    """Name of the model."""
    value_ranges: ValueRanges | None
    """(minimum, maximum) of the samples for each of the three bands, or an array (3, 2); None: all that the type can
    hold."""
    required_revision: str | None
    """Fail with `PreconditionError` rather than answer with another revision of the model."""


def build_parameters(
    *,
    scale: Scale = 4,
    steps: int | None = None,
    texture: float | None = None,
    seed: int | None = None,
    model: str | None = None,
    value_ranges: ValueRanges | None = None,
    required_revision: str | None = None,
) -> pb.UpscaleParameters:
    """The message of `UpscaleParameters`.

    Raises:
        ArgumentError: An argument that the message cannot carry.
    """
    parameters = pb.UpscaleParameters()
    put(parameters, scale=scale_text(scale), model=model, required_revision=required_revision)
    put(parameters.options, steps=steps, texture=texture, seed=seed)
    if value_ranges is not None:
        _put_ranges(parameters, value_ranges)
    return parameters


def spelled_out(method: MethodT) -> MethodT:
    """Show what `**parameters` stands for to `help`, notebooks and whatever else reads signatures at run time."""
    given = inspect.signature(method)
    shared = inspect.signature(build_parameters).parameters.values()
    own = [one for one in given.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    method.__signature__ = given.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    return method


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


def put(message: Message, **values: object) -> None:
    """Set the fields that are not None.

    Raises:
        ArgumentError: A value that its field cannot carry.
    """
    for field, value in values.items():
        if value is not None:
            _put_field(message, field, value)


def _put_field(message: Message, field: str, value: object) -> None:
    try:
        setattr(message, field, value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{field} is {value!r}, accepted is {_ACCEPTED.get(field, 'text')}") from error


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
    put(message, minimum=minimum, maximum=maximum)
