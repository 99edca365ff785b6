"""What is measured is what sorting all samples would tell, however they are read."""

import math
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hndsr_client._raster.measure import Span, blocks, measure, passes
from hndsr_client._stream.windows import Window
from hndsr_client.errors import ArgumentError

Ends = tuple[float, float]

SIZE_PX = (4, 6)
WHOLE: list[Window] = [(slice(0, 4), slice(0, 6))]
OPEN = (None, None, None)


class ArraySource:
    """Samples and their validity in memory; it counts the windows that are asked for."""

    def __init__(self, samples: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> None:
        self.samples = samples
        self.valid = np.ones(samples.shape[:2], np.bool_) if valid is None else valid
        self.read_px = 0

    def native(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """What is there of a window."""
        valid = self.valid[window]
        self.read_px += valid.size
        return self.samples[window], valid


def measured(
    source: ArraySource,
    windows: Sequence[Window] = WHOLE,
    *,
    percentiles: Ends = (0.1, 99.9),
    ranges: Sequence[Ends | None] = OPEN,
    clip: Ends | None = None,
) -> tuple[Span, ...]:
    return measure(source, windows, percentiles=percentiles, given=ranges, clip=clip, on_progress=id)


def sorted_ranks(samples: npt.NDArray[Any], percentiles: Ends) -> tuple[Any, Any]:
    ordered = np.sort(samples + samples.dtype.type(0))
    low, high = (Fraction(str(one)) / 100 * (ordered.size - 1) for one in percentiles)
    return ordered[math.floor(low)], ordered[math.ceil(high)]


def arrays(dtype: str) -> st.SearchStrategy[npt.NDArray[Any]]:
    some = hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
    few = some.flatmap(lambda one: st.sampled_from([one, one, np.dtype(dtype).type(0)]))
    return hnp.arrays(np.dtype(dtype), (*SIZE_PX, 3), elements=some | few)


@st.composite
def cuts(draw: st.DrawFn) -> list[Window]:
    rows, columns = (sorted({0, side, *draw(st.sets(st.integers(1, side - 1)))}) for side in SIZE_PX)
    windows = [
        (slice(top, bottom), slice(left, right)) for top, bottom in pairwise(rows) for left, right in pairwise(columns)
    ]
    return draw(st.permutations(windows))


percentile_pairs = st.tuples(st.sampled_from([0, 0.1, 2, 12.5]), st.sampled_from([87.5, 98, 99.9, 100]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_measure_gives_the_ranks_of_sorted_samples(dtype: str, data: st.DataObject) -> None:
    samples, valid = data.draw(arrays(dtype)), data.draw(hnp.arrays(np.bool_, SIZE_PX))
    percentiles = data.draw(percentile_pairs)
    spans = measured(ArraySource(samples, valid), data.draw(cuts()), percentiles=percentiles)
    for span, band in zip(spans, samples[valid].T, strict=True):
        if band.size and np.ptp(ends := np.array(sorted_ranks(band, percentiles), np.float64)) > 0:
            assert (span.range_low, span.range_high) == tuple(ends)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_measure_rounds_the_ranks_of_float64_outwards_within_the_extremes(data: st.DataObject) -> None:
    samples, percentiles = data.draw(arrays("float64")), data.draw(percentile_pairs)
    for span, band in zip(
        measured(ArraySource(samples), percentiles=percentiles), samples.reshape(-1, 3).T, strict=True
    ):
        low, high = (float(one) for one in sorted_ranks(band, percentiles))
        if low < high:
            assert max(band.min(), low - abs(low) * 2.0**-20) <= span.range_low <= low
            assert high <= span.range_high <= min(band.max(), high + abs(high) * 2.0**-20)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_measure_gives_the_same_however_the_windows_are_cut(dtype: str, data: st.DataObject) -> None:
    source = ArraySource(data.draw(arrays(dtype)), data.draw(hnp.arrays(np.bool_, SIZE_PX)))
    assert repr(measured(source, data.draw(cuts()))) == repr(measured(source))


@pytest.mark.parametrize("dtype", ["int16", "float64"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_measure_gives_the_same_in_either_byte_order(dtype: str, data: st.DataObject) -> None:
    samples = data.draw(arrays(dtype))
    swapped = samples.astype(samples.dtype.newbyteorder(">"))
    assert measured(ArraySource(swapped)) == measured(ArraySource(samples))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_measure_gives_spans_that_hold_every_valid_float(dtype: str, data: st.DataObject) -> None:
    samples, valid = data.draw(arrays(dtype)), data.draw(hnp.arrays(np.bool_, SIZE_PX))
    for span, band in zip(measured(ArraySource(samples, valid)), samples[valid].T, strict=True):
        assert all(span.low <= one <= span.high for one in band)
        assert span.low <= span.range_low < span.range_high <= span.high


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_measure_clips_like_clipping_first(data: st.DataObject) -> None:
    samples, clip = data.draw(arrays("float32")), (-1.5, 2.25)
    clipped = ArraySource(np.clip(samples, np.float32(clip[0]), np.float32(clip[1])))
    assert measured(ArraySource(samples), clip=clip) == measured(clipped)


@pytest.mark.parametrize("payload", [0x7FA00001, 0xFFC12345, 0x7F800000, 0xFF800000])
def test_measure_looks_at_no_invalid_sample(payload: int) -> None:
    samples = np.arange(72, dtype=np.float32).reshape(*SIZE_PX, 3)
    valid = np.ones(SIZE_PX, np.bool_)
    valid[0, 0] = False
    samples[0, 0] = np.array([payload], np.uint32).view(np.float32)
    assert astuple(measured(ArraySource(samples, valid), percentiles=(0, 100))[0]) == (3, 69, 3, 69)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("uint16", 7, (0, 65535, 7, 8)),
        ("uint16", 65535, (0, 65535, 65534, 65535)),
        ("int16", -32768, (-32768, 32767, -32768, -32767)),
        ("float32", 2.0, (2.0, 2.0 + 2**-51, 2.0, 2.0 + 2**-51)),
        ("float64", -0.0, (0.0, 5e-324, 0.0, 5e-324)),
    ],
)
def test_measure_widens_constant_samples(dtype: str, value: float, expected: tuple[float, ...]) -> None:
    span = measured(ArraySource(np.full((*SIZE_PX, 3), value, dtype)))[0]
    assert repr(astuple(span)) == repr(tuple(float(one) for one in expected))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_measure_takes_the_extremes_where_percentiles_are_one_value(dtype: str) -> None:
    samples = np.zeros((*SIZE_PX, 3), dtype)
    samples[2, 2] = 100
    span = measured(ArraySource(samples), percentiles=(10, 90))[0]
    assert (span.range_low, span.range_high) == (0, 100)


@pytest.mark.parametrize(
    ("dtype", "clip", "expected"),
    [
        ("int16", None, (-32768, 32767, -32768, 32767)),
        ("float32", None, (0.0, 1.0, 0.0, 1.0)),
        ("float32", (-3.0, 5.0), (-3.0, 5.0, -3.0, 5.0)),
    ],
)
def test_measure_gives_something_harmless_where_nothing_is_valid(
    dtype: str, clip: Ends | None, expected: tuple[float, ...]
) -> None:
    source = ArraySource(np.zeros((*SIZE_PX, 3), dtype), np.zeros(SIZE_PX, np.bool_))
    assert astuple(measured(source, clip=clip)[2]) == expected


def test_measure_keeps_ranges_that_are_given_within_the_span() -> None:
    samples = np.full((*SIZE_PX, 3), 5.0, np.float32)
    span = measured(ArraySource(samples), ranges=[(0.0, 3.0), None, None])[0]
    assert astuple(span) == (0.0, 5.0, 0.0, 3.0)


@pytest.mark.parametrize(
    ("dtype", "clip", "expected"),
    [("uint16", None, 1), ("float32", (0.0, 9.0), 1), ("float32", None, 1 + 24)],
)
def test_measure_reads_no_more_than_it_needs_where_ranges_are_given(
    dtype: str, clip: Ends | None, expected: int
) -> None:
    source = ArraySource(np.ones((*SIZE_PX, 3), dtype))
    measured(source, ranges=[(1.0, 2.0)] * 3, clip=clip)
    assert source.read_px == expected


@pytest.mark.parametrize(("dtype", "ranges"), [("uint8", OPEN), ("float64", OPEN), ("float32", ((0.0, 1.0),) * 3)])
def test_measure_tells_pixels_up_to_those_of_all_passes(dtype: str, ranges: Sequence[Ends | None]) -> None:
    told: list[int] = []
    halves: list[Window] = [(slice(0, 2), slice(0, 6)), (slice(2, 4), slice(0, 6))]
    source = ArraySource(np.ones((*SIZE_PX, 3), dtype))
    measure(source, halves, percentiles=(1, 99), given=ranges, clip=None, on_progress=told.append)
    assert told == [12 * (i + 1) for i in range(2 * passes(dtype, ranges, None))]


def test_measure_takes_a_band_that_is_there_twice_for_one() -> None:
    samples = np.zeros((*SIZE_PX, 3), np.uint16)
    samples[..., 0], samples[..., 2] = 7, 9
    spans = measure(
        ArraySource(samples),
        WHOLE,
        percentiles=(1, 99),
        given=OPEN,
        clip=None,
        on_progress=id,
        bands=(8, 8, 3),
    )
    assert [span.range_low for span in spans] == [7, 7, 9]


@pytest.mark.parametrize("value_range", [(0.0, 2.0), (-1.0, 0.5)])
def test_measure_refuses_ranges_beyond_the_clip(value_range: Ends) -> None:
    with pytest.raises(ArgumentError, match="accepted is what the clip"):
        measured(ArraySource(np.zeros((*SIZE_PX, 3), np.float32)), ranges=[value_range, None, None], clip=(0.0, 1.0))


sides = st.integers(1, 20_000)
# Lines of a single pixel would make windows by the thousand.
block_sides = st.integers(100, 20_000)


@settings(max_examples=40, deadline=None)
@given(size_px=st.tuples(sides, sides), block_px=st.tuples(block_sides, block_sides), origin_px=st.tuples(sides, sides))
def test_blocks_cover_every_pixel_once(size_px: Any, block_px: Any, origin_px: Any) -> None:
    windows = blocks(size_px, block_px, origin_px=origin_px)
    rows = sorted({(row.start, row.stop) for row, _ in windows})
    columns = sorted({(column.start, column.stop) for _, column in windows})
    assert len(set(map(repr, windows))) == len(windows) == len(rows) * len(columns)
    for edges, side in ((rows, size_px[0]), (columns, size_px[1])):
        assert [0, *(stop for _, stop in edges)] == [*(start for start, _ in edges), side]


@settings(max_examples=40, deadline=None)
@given(size_px=st.tuples(sides, sides), block_px=st.tuples(block_sides, block_sides), origin_px=st.tuples(sides, sides))
def test_blocks_are_bounded(size_px: Any, block_px: Any, origin_px: Any) -> None:
    windows = blocks(size_px, block_px, origin_px=origin_px)
    assert max((row.stop - row.start) * (column.stop - column.start) for row, column in windows) <= 1 << 22


@pytest.mark.parametrize(
    ("size_px", "block_px", "expected"),
    [
        ((1000, 1000), (256, 256), (1000, 1000)),
        ((10_000, 10_000), (1, 10_000), (419, 10_000)),
        ((10_000, 10_000), (512, 512), (512, 8192)),
        ((10_000, 10_000), (10_000, 10_000), (10_000, 419)),
    ],
)
def test_blocks_are_whole(size_px: tuple[int, int], block_px: tuple[int, int], expected: tuple[int, int]) -> None:
    row, column = blocks(size_px, block_px)[0]
    assert (row.stop, column.stop) == expected


def test_blocks_end_where_those_of_the_file_do() -> None:
    rows = {row.stop for row, _ in blocks((5000, 8000), (512, 512), origin_px=(100, 0))}
    assert rows == {*range(412, 5000, 512), 5000}
