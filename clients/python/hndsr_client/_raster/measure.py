"""What has to be known of all samples of a raster before the first of them travels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hndsr_client._core.pixels import BANDS
from hndsr_client._raster.values import Ends, widened
from hndsr_client._stream.windows import Window
from hndsr_client.errors import ArgumentError

_WINDOW_PX = 1 << 22
_COUNTS = 1 << 16
_SIGN = 1 << 31
_KEY_BITS = (1 << 32) - 1
_PIXEL: Window = (slice(0, 1), slice(0, 1))


class NativeSource(Protocol):
    """What is measured: three bands of a raster."""

    def native(self, window: Window, /) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Samples (height, width, 3) of the raster's type, and where (height, width) they are valid, hence finite."""
        ...


@dataclass(frozen=True)
class Span:
    """What was measured of a band."""

    low: float
    high: float
    """Of floating point: ends that hold every valid sample, clipped, and the range. Of integers: all the type holds."""
    range_low: float
    range_high: float
    """The values that the networks see."""


def passes(dtype: str, given: Sequence[Ends | None], clip: Ends | None) -> int:
    """How often `measure` reads all samples."""
    is_open = any(value_range is None for value_range in given)
    if np.dtype(dtype).kind != "f":
        return int(is_open)
    return 2 if is_open else int(clip is None)


def measure(
    source: NativeSource,
    windows: Sequence[Window],
    *,
    percentiles: Ends,
    given: Sequence[Ends | None],
    clip: Ends | None,
    on_progress: Callable[[int], object],
    bands: Sequence[int] = range(BANDS),
) -> tuple[Span, ...]:
    """Spans and value ranges of the triple's bands; one window is held at a time.

    Of n valid samples in rising order, a range begins with number floor(p (n - 1) / 100), p being the low percentile,
    and ends with number ceil(q (n - 1) / 100), q being the high one, counted from 0: with samples that occur. Those of
    float64 are rounded outwards to 21 significant bits, but not beyond the extremes. The percentiles are the decimals
    that they are written as. Where both ends are one value, the range goes from the least sample to the greatest, and
    where these are one, to the next number. Neither the windows nor their order change the result.

    Args:
        source: Samples of one type.
        windows: They cover it, each pixel once.
        percentiles: Where ranges that are not given lie, two from 0 to 100, rising.
        given: The value range of each band, two numbers, rising; None where it is to be measured.
        clip: Samples of floating point beyond are taken for these ends.
        on_progress: Told how many pixels were read so far, in all `passes`.
        bands: What the three are, so that a band that is there twice is measured once.

    Raises:
        ArgumentError: A range is not within the clip.
    """
    within = tuple(None if one is None else _within(one, clip) for one in given)
    dtype = source.native(_PIXEL)[0].dtype.newbyteorder("=")
    times = passes(dtype.name, within, clip)
    firsts = [list(bands).index(band) for band in bands]
    counted = {channel: _Band(dtype) for channel in firsts}
    for number in range(times):
        read_px = number * sum(_size_px(window) for window in windows)
        for window in windows:
            samples, valid = source.native(window)
            for channel, band in counted.items():
                band.add(samples[..., channel][valid])
            read_px += _size_px(window)
            on_progress(read_px)
        for band in counted.values():
            band.seek(percentiles)
    span = _float_span if dtype.kind == "f" else _integer_span
    return tuple(span(counted[first], one, percentiles, clip) for first, one in zip(firsts, within, strict=True))


def blocks(size_px: tuple[int, int], block_px: tuple[int, int], *, origin_px: tuple[int, int] = (0, 0)) -> list[Window]:
    """Windows of whole blocks, of 4 Mpx at most, in the order of the file.

    Args:
        size_px: Height and width of what they cover.
        block_px: Height and width of the file's blocks; such as are larger than a window are cut.
        origin_px: Row and column of the file where it begins.
    """
    height_px, width_px = size_px
    block_height_px, block_width_px = block_px
    across_px = _whole(block_width_px, _WINDOW_PX // min(block_height_px, height_px))
    if across_px >= width_px:
        # Nothing is cut across, wherever the blocks begin.
        columns = [slice(0, width_px)]
    else:
        columns = _cut(width_px, across_px, origin_px[1] % block_width_px)
    widest_px = max(side.stop - side.start for side in columns)
    rows = _cut(height_px, _whole(block_height_px, _WINDOW_PX // widest_px), origin_px[0] % block_height_px)
    return [(row, column) for row in rows for column in columns]


@dataclass
class _Band:
    """Extremes and order statistics of a band's valid samples, of which only counts are kept.

    Samples have keys of 32 bits, which are in their order. The first time that all are added, the first half of each
    key is counted; after `seek`, the second half of those whose first half is that of a sample that is sought.
    """

    dtype: np.dtype[Any]
    low: float = math.inf
    high: float = -math.inf
    count: int = 0
    halves: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_COUNTS, np.int64))
    rests: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    def add(self, samples: npt.NDArray[Any]) -> None:
        if not samples.size:
            return
        keys = _keys(samples, self.dtype)
        halves = keys >> 16
        if not self.rests:
            self.low, self.high = min(self.low, float(samples.min())), max(self.high, float(samples.max()))
            self.count += samples.size
            self.halves += np.bincount(halves, minlength=_COUNTS)
        for half, counts in self.rests.items():
            counts[:] += np.bincount(keys[halves == half] & 0xFFFF, minlength=_COUNTS)

    def seek(self, percentiles: Ends) -> None:
        if self.count and not self.rests:
            self.rests = {
                _ranked(self.halves, rank)[0]: np.zeros(_COUNTS, np.int64) for rank in _ranks(self.count, percentiles)
            }

    def at(self, rank: int) -> Ends:
        """The sample of a rank, from 0; the least and the greatest it may be."""
        half, below = _ranked(self.halves, rank)
        if self.dtype.kind != "f":
            sample = half + float(np.iinfo(self.dtype).min)
            return sample, sample
        return _samples(half << 16 | _ranked(self.rests[half], rank - below)[0], self.dtype)

    def range(self, percentiles: Ends) -> Ends:
        """Between the percentiles, not beyond the extremes."""
        first, last = _ranks(self.count, percentiles)
        return max(self.low, self.at(first)[0]), min(self.high, self.at(last)[1])


def _integer_span(band: _Band, given: Ends | None, percentiles: Ends, clip: Ends | None) -> Span:
    del clip
    limits = float(np.iinfo(band.dtype).min), float(np.iinfo(band.dtype).max)
    if given is not None or not band.count:
        return Span(*limits, *(given or limits))
    low, high = band.range(percentiles)
    if low == high:
        low, high = band.low, band.high
    if low == high:
        low, high = (low, low + 1) if low < limits[1] else (low - 1, low)
    return Span(*limits, low, high)


def _float_span(band: _Band, given: Ends | None, percentiles: Ends, clip: Ends | None) -> Span:
    """Extremes and percentiles of clipped samples are clipped extremes and percentiles."""
    if not band.count:
        whole = clip or given or (0.0, 1.0)
        return Span(*whole, *(given or whole))
    # A zero of either sign is one value, whichever came first.
    low, high = _clipped((band.low, band.high), clip)
    if given is not None:
        return Span(min(low, given[0]), max(high, given[1]), *given)
    ends, extremes = _clipped(band.range(percentiles), clip), widened(low, high)
    return Span(*extremes, *(ends if ends[0] < ends[1] else extremes))


def _clipped(ends: Ends, clip: Ends | None) -> Ends:
    low, high = (-math.inf, math.inf) if clip is None else clip
    return min(max(ends[0], low), high) + 0.0, min(max(ends[1], low), high) + 0.0


def _keys(samples: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[np.uint32]:
    if dtype.kind != "f":
        return (samples.astype(np.int32) - int(np.iinfo(dtype).min)).astype(np.uint32) << np.uint32(16)
    bits = (samples.astype(dtype) + dtype.type(0)).view(f"u{dtype.itemsize}")
    words = bits if dtype.itemsize == 4 else (bits >> np.uint64(32)).astype(np.uint32)
    return words ^ np.where(words & np.uint32(_SIGN), np.uint32(_KEY_BITS), np.uint32(_SIGN))


def _samples(key: int, dtype: np.dtype[Any]) -> Ends:
    """The least and the greatest sample of a key."""
    word = key ^ (_SIGN if key & _SIGN else _KEY_BITS)
    if dtype.itemsize == 4:
        sample = float(np.uint32(word).view(np.float32))
        return sample, sample
    near, far = (float(np.uint64(word << 32 | rest).view(np.float64)) for rest in (0, _KEY_BITS))
    return min(near, far), max(near, far)


def _ranked(counts: npt.NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The number of a rank among numbers that were counted, and how many are less."""
    sums = np.cumsum(counts)
    # A source that changes while it is read may have lost the rank; that is noticed elsewhere.
    number = min(int(np.searchsorted(sums, rank, side="right")), _COUNTS - 1)
    return number, int(sums[number] - counts[number])


def _ranks(count: int, percentiles: Ends) -> tuple[int, int]:
    low, high = (Fraction(str(one)) * (count - 1) / 100 for one in percentiles)
    return math.floor(low), math.ceil(high)


def _within(given: Ends, clip: Ends | None) -> Ends:
    low, high = float(given[0]), float(given[1])
    if clip is not None and not clip[0] <= low < high <= clip[1]:
        raise ArgumentError(f"a value range is {low:g} to {high:g}, accepted is what the clip {clip} leaves of it")
    return low, high


def _size_px(window: Window) -> int:
    rows, columns = window
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _whole(block_px: int, limit_px: int) -> int:
    """As many whole blocks as the limit allows, a part of one where it allows none."""
    return limit_px // block_px * block_px or max(1, limit_px)


def _cut(size_px: int, side_px: int, begun_px: int) -> list[slice]:
    starts = range(-begun_px, size_px, side_px)
    sides = [slice(max(0, start), min(size_px, start + side_px)) for start in starts]
    return [side for side in sides if side.start < side.stop]
