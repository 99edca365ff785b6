"""What a request may ask for, as the gateway checks it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.testing._failures import Refusal

MIN_SCALE, MAX_SCALE, DEFAULT_SCALE = "1.5", "8", "4"
MAX_SCALE_TERM = 1_000_000
SCALE_SIGNS = frozenset("0123456789./+-")
MAX_STEPS, MAX_TEXTURE = 100, 1.5
MAX_CORES_PER_TILE = 16
DEFAULTS = pb.UpscaleOptions(steps=4, texture=1.0, seed=0)


@dataclass(frozen=True)
class Served:
    """What the fake says it serves; the first model is the default."""

    models: tuple[str, ...]
    revision: str


@dataclass(frozen=True)
class Parameters:
    """What a request asks for, defaults filled in."""

    model: str
    scale: Fraction
    options: pb.UpscaleOptions


def checked(parameters: pb.UpscaleParameters, served: Served) -> Parameters:
    """What is asked for, but for value ranges.

    Raises:
        Refusal: It is not served, or outside what is.
    """
    model = parameters.model or served.models[0]
    if model not in served.models:
        message = f"model {model!r} is not served here, served are {', '.join(served.models)}"
        raise Refusal(message, reason="MODEL_NOT_FOUND")
    check_revision(parameters.required_revision, served)
    return Parameters(model, _scale(parameters.scale or DEFAULT_SCALE), _options(parameters.options))


def check_revision(required: str, served: Served) -> None:
    """The revision that a caller relies on, empty for any.

    Raises:
        Refusal: Another one is served.
    """
    if required not in {"", served.revision}:
        message = f"revision {required!r} is required, {served.revision} is served"
        raise Refusal(message, reason="REVISION_CHANGED")


def check_ranges(parameters: pb.UpscaleParameters, dtype: np.dtype[Any]) -> None:
    """Value ranges: none, or one for each band within the sample type.

    Raises:
        Refusal: They are others.
    """
    ranges, limit = parameters.value_ranges, np.iinfo(dtype).max
    if len(ranges) in {0, 3} and all(0 <= each.minimum < each.maximum <= limit for each in ranges):
        return
    message = f"{len(ranges)} value ranges were given; give none, or three that rise within 0 to {limit}"
    raise Refusal(message, reason="VALUE_RANGE_INVALID", field="parameters.value_ranges")


def check_data_range(data_range: float, dtype: np.dtype[Any]) -> None:
    """The span of values that images are measured against.

    Raises:
        Refusal: More than the sample type has, or less than none.
    """
    limit = np.iinfo(dtype).max
    if not 0 <= data_range <= limit:
        message = f"data_range is {data_range:g}, allowed are 0 to {limit}"
        raise Refusal(message, reason="OPTION_OUT_OF_RANGE", field="data_range")


def check_cores(cores_per_tile: int) -> None:
    """Cores along each side of a tile.

    Raises:
        Refusal: Too many.
    """
    if cores_per_tile > MAX_CORES_PER_TILE:
        message = f"cores_per_tile is {cores_per_tile}, allowed are 1 to {MAX_CORES_PER_TILE}, or 0"
        raise Refusal(message, reason="PLAN_INCOMPATIBLE", field="cores_per_tile")


def _scale(text: str) -> Fraction:
    try:
        scale = Fraction(text.strip()) if not set(text.strip()) - SCALE_SIGNS else Fraction(0)
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    terms_fit = max(scale.numerator, scale.denominator) <= MAX_SCALE_TERM
    if terms_fit and Fraction(MIN_SCALE) <= scale <= Fraction(MAX_SCALE):
        return scale
    message = (
        f"scale is {text!r}, allowed are {MIN_SCALE} to {MAX_SCALE}, written as '3.14' or '22/7', with terms of up to "
        f"{MAX_SCALE_TERM:,} as a fraction"
    )
    raise Refusal(message, reason="SCALE_OUT_OF_RANGE", field="parameters.scale")


def _options(given: pb.UpscaleOptions) -> pb.UpscaleOptions:
    for option, limit in (("steps", MAX_STEPS), ("texture", MAX_TEXTURE)):
        value = getattr(given, option)
        if not 0 <= value <= limit:
            message = f"{option} is {value:g}, allowed are 0 to {limit:g}"
            raise Refusal(message, reason="OPTION_OUT_OF_RANGE", field=f"parameters.options.{option}")
    options = pb.UpscaleOptions()
    options.CopyFrom(DEFAULTS)
    options.MergeFrom(given)
    return options
