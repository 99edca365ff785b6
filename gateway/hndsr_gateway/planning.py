"""From parameters as a caller writes them to a checked plan."""

from __future__ import annotations

import math

import numpy as np

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE, Options
from hndsr_ensemble.scale import Scale, ScaleError
from hndsr_ensemble.values import Ranges, SampleType, check_ranges, full_ranges
from hndsr_gateway.caller import current_caller
from hndsr_gateway.errors import (
    AnswerTooLargeError,
    EmptyImageError,
    ImageTooLargeError,
    OptionOutOfRangeError,
    PlanIncompatibleError,
    RevisionChangedError,
    ScaleOutOfRangeError,
    SideTooLongError,
    ValueRangeError,
)
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, OptionChoices, Parameters, Plan

BANDS = 3
TIMEOUT_SHARE = 0.5
"""Share of a tile's timeout that its windows may take by the estimate."""
MAX_CORES_PER_TILE = 16
TILES_PER_HOUR = 4
"""Tiles, at least, that a caller's target pixels of an hour are enough for."""
MESSAGE_OVERHEAD_BYTES = 4096
"""Room for everything in an answer beside its pixels."""

MAX_SIDE_PX = 2**22
"""Longest side of a target: a plan lists at most 18,725 spans along it, and all products stay within 64 bits."""


def checked_scale(text: str, model: ModelDescription) -> Scale:
    """Read a scale and compare it with what a model supports.

    Raises:
        ScaleOutOfRangeError: naming the limits.
    """
    try:
        scale = Scale.parse(text)
    except ScaleError as error:
        raise ScaleOutOfRangeError(str(error)) from error
    if not model.manifest.supports(scale):
        low, high = model.manifest.min_scale, model.manifest.max_scale
        raise ScaleOutOfRangeError(f"scale {scale} is not within {low} to {high}, which model {model.name!r} supports")
    return scale


def checked_options(choices: OptionChoices, model: ModelDescription) -> Options:
    """The caller's choices over the model's defaults.

    Raises:
        OptionOutOfRangeError: naming the option and its limit.
    """
    if not model.manifest.generative:
        return model.default_options
    options = choices.over(model.default_options)
    if options.steps > MAX_STEPS:
        raise OptionOutOfRangeError(option="steps", value=options.steps, limit=MAX_STEPS)
    if not 0 <= options.texture <= MAX_TEXTURE:
        raise OptionOutOfRangeError(option="texture", value=options.texture, limit=MAX_TEXTURE)
    return options


def checked_ranges(given: tuple[tuple[float, float], ...], dtype: SampleType) -> Ranges:
    """One range for each band.

    Raises:
        ValueRangeError: if there are neither none nor three, or one is not within the sample type.
    """
    if not given:
        return full_ranges(dtype)
    if len(given) != 3:
        raise ValueRangeError(f"{len(given)} value ranges were given; give none, or one for each of the 3 bands")
    ranges = np.array(given, dtype=np.float64)
    try:
        check_ranges(ranges, dtype)
    except ValueError as error:
        raise ValueRangeError(str(error)) from error
    return ranges


def cores_per_tile(model: ModelDescription, options: Options, tile_time_s: float) -> int:
    """How many cores a tile is wide and high, so that it takes about `tile_time_s` of device time."""
    side = round(math.sqrt(tile_time_s / max(model.window_time_s(options), 1e-6)))
    return max(1, min(MAX_CORES_PER_TILE, side))


def tile_bytes(axes: tuple[Axis, Axis], sample_type: str, cores: int) -> int:
    """What a tile of `cores` x `cores` cores holds at most: source, target, and a byte a pixel for their masks."""
    sample_bytes = BANDS * np.dtype(sample_type or "uint16").itemsize + 1
    sides = [_tile_sides(axis, cores) for axis in axes]
    return sum(height * width for height, width in zip(*sides, strict=True)) * sample_bytes


def _most_cores_by_time(window_s: float, limit_s: float) -> int:
    """The same of the largest tile whose windows, those of its seams included, take no longer than that."""
    fitting = (n for n in range(MAX_CORES_PER_TILE, 1, -1) if (n + 1) ** 2 * window_s <= limit_s)
    return next(fitting, 1)


def _most_cores_by_bytes(axes: tuple[Axis, Axis], sample_type: str, limit_bytes: int) -> int:
    """Cores along each side of the largest tile that stays within so many bytes, at least 1."""
    fitting = (n for n in range(MAX_CORES_PER_TILE, 1, -1) if tile_bytes(axes, sample_type, n) <= limit_bytes)
    return next(fitting, 1)


def _most_cores_by_quota(axes: tuple[Axis, Axis], limit_px: int) -> int:
    """The same of the largest tile whose target has at most so many pixels; 0 is no limit."""
    if not limit_px:
        return MAX_CORES_PER_TILE

    def target_px(cores: int) -> int:
        sides = (cores * axis.window.stride_px + axis.window.overlap_px for axis in axes)
        return math.prod(min(axis.target_length, side) for axis, side in zip(axes, sides, strict=True))

    fitting = (n for n in range(MAX_CORES_PER_TILE, 1, -1) if TILES_PER_HOUR * target_px(n) <= limit_px)
    return next(fitting, 1)


def _tile_sides(axis: Axis, cores: int) -> tuple[int, int]:
    """Source and target pixels of a tile along an axis, at most."""
    target_px = cores * axis.window.stride_px
    source_px = target_px * axis.scale.denominator // axis.scale.numerator + axis.side + 1
    return min(axis.length, source_px), min(axis.target_length, target_px + axis.window.window_px)


def make_plan(
    size: tuple[int, int],
    parameters: Parameters,
    model: ModelDescription,
    settings: Settings,
    *,
    sample_type: str = "",
    cores: int = 0,
    tile_time_s: float | None = None,
) -> Plan:
    """Cut an image of `size` (height, width) into tiles, which for one caller are always the same.

    Args:
        size: of the source.
        parameters: what the caller asks for.
        model: that is asked for.
        settings: limits.
        sample_type: NumPy's name, empty where it is not known.
        cores: along each side of a tile, 0 for the server's choice, which heeds the current caller's quota.
        tile_time_s: device time that a tile is sized to where nobody says; None for that of unary calls.

    Raises:
        PlanIncompatibleError: if the tiles are too large.
        EmptyImageError: for a side of 0.
        SideTooLongError: for a side that a plan cannot list.
        RevisionChangedError: if another revision is required.
        InvalidRequestError: if scale or options are out of range.
    """
    if parameters.required_revision not in {"", model.revision}:
        raise RevisionChangedError(required=parameters.required_revision, served=model.revision)
    if min(size) < 1:
        raise EmptyImageError
    scale = checked_scale(parameters.scale or model.manifest.default_scale, model)
    options = checked_options(parameters.options, model)
    rows, columns = (Axis(length, scale, model.manifest.geometry) for length in size)
    target = (rows.target_length, columns.target_length)
    if max(target) > MAX_SIDE_PX:
        raise SideTooLongError(length=max(target), limit=MAX_SIDE_PX)
    limit_bytes = min(settings.stream_bytes, settings.max_stream_bytes)
    most = min(
        _most_cores_by_bytes((rows, columns), sample_type, limit_bytes),
        _most_cores_by_time(model.window_time_s(options), TIMEOUT_SHARE * settings.tile_timeout_s),
    )
    if cores > most:
        why = " (HNDSR_STREAM_BYTES, HNDSR_TILE_TIMEOUT_S)" if most < MAX_CORES_PER_TILE else ""
        raise PlanIncompatibleError(f"tiles of {cores} cores a side are asked for, the limit here is {most}{why}")
    chosen = settings.cores_per_tile or cores_per_tile(model, options, tile_time_s or settings.tile_time_s)
    affordable = _most_cores_by_quota((rows, columns), current_caller().quotas.target_px_per_hour)
    cores = cores or min(chosen, most, affordable)
    return Plan(
        source=size,
        target=target,
        scale=scale,
        model=model.name,
        revision=model.revision,
        options=options,
        value_ranges=parameters.value_ranges,
        sample_type=sample_type,
        cores_per_tile=cores,
        row_spans=rows.spans(cores),
        column_spans=columns.spans(cores),
    )


def check_unary_size(size: tuple[int, int], *, which: str, limit_px: int) -> None:
    """Keep a unary call's image within what one process may hold.

    Raises:
        ImageTooLargeError: naming the size and the limit.
    """
    if size[0] * size[1] > limit_px:
        raise ImageTooLargeError(which=which, height=size[0], width=size[1], limit_px=limit_px)


def check_answer_size(size: tuple[int, int], dtype: SampleType, *, bands: int, limit_bytes: int) -> None:
    """Refuse before the work what could not be answered after it: its samples and a mask in one message.

    Raises:
        ImageTooLargeError: naming the size and the limit.
    """
    bits_per_px = 8 * bands * dtype.itemsize + 1
    limit_px = 8 * (limit_bytes - MESSAGE_OVERHEAD_BYTES) // bits_per_px
    check_unary_size(size, which="target", limit_px=limit_px)


def check_file_size(encoded: bytes, *, limit_bytes: int) -> None:
    """Refuse what can be known only after the work: a file may be larger than its samples.

    Raises:
        AnswerTooLargeError: naming the size and the limit.
    """
    if len(encoded) > limit_bytes - MESSAGE_OVERHEAD_BYTES:
        raise AnswerTooLargeError(size_bytes=len(encoded), limit_bytes=limit_bytes - MESSAGE_OVERHEAD_BYTES)
