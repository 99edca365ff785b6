"""Between the samples of a raster, those that travel, and those of the target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._core.pixels import BANDS
from hndsr_client._stream.windows import WIRE_DTYPES
from hndsr_client.errors import ArgumentError

SAMPLE_DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
"""Types of samples that can be upscaled, as NumPy calls them."""

Ends = tuple[float, float]

_STEPS = 65535
"""Between the ends of a span that travels in 16 bits."""
_STEPS_OF_RANGE = 1024
"""At least, of those within a value range."""
_STRIP_PX = 1 << 18
"""Converted at once, so that a tile of floating point takes no more than itself."""
_SAFE_EXPONENT = 900
"""Numbers of this many bits before or behind the point are computed with as they are."""
_CLEARANCE = 2.0**-20
"""GDAL takes samples for nodata that differ from it by less than about 2^-21 of it."""


class OutOfSpanError(ValueError):
    """A valid sample lies outside the span that was measured to hold all of them."""


@dataclass(frozen=True)
class Transfer:
    """How samples of a type travel as uint8 or uint16, and come back."""

    dtype: np.dtype[Any]
    """Of the raster, in the machine's order."""
    spans: tuple[Ends, ...] | None = None
    """Of floating point: the values of each of the triple's bands that travel as 0 and 65535. None: not known yet."""
    clips: bool = False
    """Whether samples outside of their span are taken for its ends."""

    @property
    def wire(self) -> str:
        """The contract's name of the type that travels."""
        return "uint8" if self.dtype == np.uint8 else "uint16"

    def to_wire(self, samples: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """What travels of samples (height, width, 3), which are of any byte order; 0 where they are not valid.

        Raises:
            OutOfSpanError: A valid sample is outside of its span and not to be clipped, or no number.
        """
        samples = samples.astype(self.dtype, casting="equiv", copy=False)
        wire = np.zeros(samples.shape, WIRE_DTYPES[self.wire])
        for rows in _strips(samples.shape):
            np.copyto(wire[rows], self._encoded(samples[rows], valid[rows]), where=valid[rows, :, None])
        return wire

    def to_native(self, wire: npt.NDArray[Any], channels: Sequence[int] = range(BANDS)) -> npt.NDArray[Any]:
        """The samples that travelled, of the raster's type.

        Args:
            wire: (…, 3).
            channels: Which of the three are wanted, in which order.
        """
        wire = wire[..., list(channels)]
        if self.dtype.kind == "f":
            return self._decoded(wire, list(channels))
        if self.dtype.kind == "i":
            return (wire.astype(np.uint16) ^ np.uint16(0x8000)).view(np.int16)
        return wire.astype(self.dtype)

    def wire_range(self, channel: int, low: float, high: float) -> Ends:
        """What a value range is of the samples that travel.

        Raises:
            ArgumentError: It is not rising, or not within the type or the span.
        """
        low, high = float(low), float(high)
        span_low, span_high = self.limits(channel)
        if not span_low <= low < high <= span_high:
            raise ArgumentError(
                f"the value range is {low:.17g} to {high:.17g}, accepted is what rises within {span_low:.17g} to"
                f" {span_high:.17g}, all there is of {self.dtype}"
            )
        if self.dtype.kind != "f":
            return low - span_low, high - span_low
        start, width = Fraction(span_low), Fraction(span_high) - Fraction(span_low)
        return float((Fraction(low) - start) * _STEPS / width), float((Fraction(high) - start) * _STEPS / width)

    def limits(self, channel: int) -> Ends:
        """The least and the greatest sample that can travel."""
        if self.dtype.kind == "f":
            return self._known_spans()[channel]
        limits = np.iinfo(self.dtype)
        return float(limits.min), float(limits.max)

    def facts(self) -> str:
        """What decides the samples that travel, as text."""
        if self.dtype.kind != "f":
            return str(self.dtype)
        spans = ", ".join(f"{low!r} to {high!r}" for low, high in self._known_spans())
        return f"{self.dtype} of {spans}" + ", clipped" * self.clips

    def _known_spans(self) -> tuple[Ends, ...]:
        if self.spans is None:
            raise LookupError("the spans were not measured")
        return self.spans

    def _encoded(self, samples: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        if self.dtype.kind == "u":
            return samples
        if self.dtype.kind == "i":
            return np.ascontiguousarray(samples).view(np.uint16) ^ np.uint16(0x8000)
        # What is not valid goes first: a signalling NaN warns wherever it is looked at.
        values = np.where(valid[..., None], samples, self.dtype.type(0)).astype(np.float64)
        lows, highs = _columns(self._known_spans())
        outside = np.isnan(values) if self.clips else ~((values >= lows) & (values <= highs))
        if (outside & valid[..., None]).any():
            raise OutOfSpanError(f"a sample is outside of what was measured, {self.facts()}")
        shift = _shift(lows, highs)
        values, lows, highs = (np.ldexp(one, shift) for one in (np.clip(values, lows, highs), lows, highs))
        return np.floor((values - lows) * _STEPS / (highs - lows) + 0.5).astype(np.uint16)

    def _decoded(self, wire: npt.NDArray[Any], channels: list[int]) -> npt.NDArray[Any]:
        lows, highs = (ends[channels] for ends in _columns(self._known_spans()))
        shift = _shift(lows, highs)
        start, end = np.ldexp(lows, shift), np.ldexp(highs, shift)
        values = np.ldexp(np.minimum(start + wire * (end - start) / _STEPS, end), -shift)
        # Rounded, a sum may miss the ends.
        return np.where(wire == 0, lows, np.where(wire == _STEPS, highs, values)).astype(self.dtype)


def transfer_of(dtype: str, spans: Sequence[Ends] | None = None, clip: Ends | None = None) -> Transfer:
    """How samples travel.

    Args:
        dtype: One of `SAMPLE_DTYPES`.
        spans: Of floating point: what holds all valid samples, of each band of the triple. None: `clip`, or not known.
        clip: Samples of floating point beyond are taken for these ends.

    Raises:
        ArgumentError: The type cannot travel, or the clip cannot be for it.
    """
    if dtype not in SAMPLE_DTYPES:
        raise ArgumentError(f"the samples are {dtype}, accepted are {', '.join(SAMPLE_DTYPES)}")
    native = np.dtype(dtype)
    if clip is not None:
        _check_clip(native, clip)
    if native.kind != "f":
        return Transfer(native)
    if spans is None:
        spans = None if clip is None else (clip,) * BANDS
    known = None if spans is None else tuple(widened(float(low), float(high)) for low, high in spans)
    return Transfer(native, known, clips=clip is not None)


def widened(low: float, high: float) -> Ends:
    """Ends that differ: those given, or the next number where they are one."""
    if low < high:
        return low, high
    above = math.nextafter(low, math.inf)
    return (low, above) if math.isfinite(above) else (math.nextafter(low, -math.inf), low)


def check_steps(span: Ends, value_range: Ends, *, band: int | None = None) -> None:
    """Refuse a span of floating point that leaves a value range too few steps.

    Args:
        span: What travels in 16 bits.
        value_range: What the networks see of it.
        band: Whose, to name it.

    Raises:
        ArgumentError: The steps between samples are coarser than a 1,024th of the range.
    """
    if _width(span) / _STEPS > _width(value_range) / _STEPS_OF_RANGE:
        name = "a band" if band is None else f"band {band}"
        raise ArgumentError(
            f"the samples of {name} span {span[0]:g} to {span[1]:g}, too much for 16 bits to tell the values from"
            f" {value_range[0]:g} to {value_range[1]:g} apart; name the value that is no data, nodata=… (hndsr:"
            " --nodata), or the ends of those that count, clip=(…, …) (hndsr: --clip)"
        )


def as_sample(value: float, dtype: np.dtype[Any] | str) -> Any:
    """The sample of a type that a nodata value stands for, None where the type has none."""
    native = np.dtype(dtype)
    if native.kind != "f":
        limits = np.iinfo(native)
        is_one = math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
        return native.type(int(value)) if is_one else None
    with np.errstate(over="ignore"):
        sample = native.type(value)
    return None if np.isinf(sample) and not math.isinf(value) else sample


@dataclass(frozen=True)
class TargetForm:
    """What the target's samples are made of, tile by tile."""

    transfer: Transfer
    channels: tuple[int, ...]
    """Which of the triple's three are written, in which order."""
    nodata: float | None
    """What invalid samples are, and no valid one is; None: they are 0."""
    alpha: bool
    """Whether a band follows that says which pixels are valid; beside bands of whole numbers alone."""

    def __post_init__(self) -> None:
        if self.nodata is not None and as_sample(self.nodata, self.transfer.dtype) is None:
            raise ValueError(f"{self.transfer.dtype} has no {self.nodata!r}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples, little-endian."""
        return self.transfer.dtype.newbyteorder("<")

    @property
    def bands(self) -> int:
        """Samples of a pixel, alpha included."""
        return len(self.channels) + self.alpha

    def samples(self, pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
        """A tile's final samples (height, width, bands), contiguous.

        Valid samples that are nodata, or so near that GDAL takes them for it, are moved to the next value that is not:
        up, or down at the type's end.

        Args:
            pixels: (height, width, 3) of the type that travels.
            mask: (height, width), True = valid; None: every pixel is.
        """
        samples = np.empty((*pixels.shape[:2], self.bands), self.dtype)
        colours = samples[..., : len(self.channels)]
        for rows in _strips(pixels.shape):
            colours[rows] = self._moved(self.transfer.to_native(pixels[rows], self.channels))
        if self.alpha:
            samples[..., -1] = np.iinfo(self.transfer.dtype).max
        if mask is not None:
            colours[~mask] = self._fill()
            samples[~mask, len(self.channels) :] = 0
        return samples

    def _fill(self) -> Any:
        return as_sample(0.0 if self.nodata is None else self.nodata, self.transfer.dtype)

    def _moved(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.nodata is None or not math.isfinite(self.nodata):
            return samples
        below, above = _clearance(self._fill())
        moved = below if above is None else above
        is_near = samples == self._fill()
        if below is not None:
            is_near |= (samples > below) & (samples <= self._fill())
        if above is not None:
            is_near |= (samples >= self._fill()) & (samples < above)
        np.copyto(samples, moved, where=is_near)
        return samples


def _clearance(nodata: Any) -> tuple[Any, Any]:
    """The nearest values below and above that nobody takes for nodata, None where the type ends."""
    dtype = np.dtype(type(nodata))
    if dtype.kind != "f":
        return as_sample(int(nodata) - 1, dtype), as_sample(int(nodata) + 1, dtype)
    value, margin = float(nodata), abs(float(nodata)) * _CLEARANCE
    ends = []
    for side in (-1, 1):
        far = as_sample(value + side * margin, dtype)
        with np.errstate(over="ignore", under="ignore"):
            near = np.nextafter(nodata, dtype.type(side * math.inf))
        end = None if far is None else max(near, far, key=lambda one: side * float(one))
        ends.append(None if end is None or not np.isfinite(end) else end)
    return ends[0], ends[1]


def _check_clip(dtype: np.dtype[Any], clip: Ends) -> None:
    if dtype.kind != "f":
        raise ArgumentError(f"clip goes with samples of floating point, those of the source are {dtype}")
    limit = float(np.finfo(dtype).max)
    low, high = clip
    if not -limit <= low < high <= limit:
        raise ArgumentError(f"clip is {low:g} to {high:g}, accepted are two numbers that {dtype} has, the second above")


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, _STRIP_PX // max(1, shape[1]))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def _columns(spans: tuple[Ends, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    ends = np.array(spans, np.float64)
    return ends[:, 0], ends[:, 1]


def _shift(lows: npt.NDArray[np.float64], highs: npt.NDArray[np.float64]) -> npt.NDArray[np.intc]:
    """Powers of two to multiply with, so that no difference is infinite and no step is lost near zero."""
    exponents = np.frexp(np.maximum(np.abs(lows), np.abs(highs)))[1]
    return np.where(np.abs(exponents) > _SAFE_EXPONENT, -exponents, 0).astype(np.intc)


def _width(ends: Ends) -> Fraction:
    return Fraction(ends[1]) - Fraction(ends[0])
