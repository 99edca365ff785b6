"""Geometry of every scale from 1.50 to 8.00, compared with the rules in Python's own fractions."""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import config
from unit.ensemble import design_reference as reference

from hndsr_ensemble.bicubic import cubic_taps
from hndsr_ensemble.geometry import Axis, WindowGeometry, mirror
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.windows import WindowBatch

WINDOW, STRIDE = 256, 224
SCALES = [Scale.parse(f"{hundredths / 100:.2f}") for hundredths in range(150, 801)]
SEAMS = frozenset([*range(225, 257), *range(449, 481)])
"""Target sizes around those at which one more window is needed."""


@pytest.fixture(autouse=True, scope="module")
def _without_shape_checks() -> Iterator[None]:
    """Checks of shapes, which other tests make of the same functions, would take nine tenths of the time here."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@cache
def cases(halo_px: int = 0) -> tuple[Axis, ...]:
    """Axes of all scales: every size of 1…600 at some of them, with all sizes of `SEAMS` as targets."""
    window, axes = WindowGeometry(WINDOW, STRIDE, halo_px), []
    for index, scale in enumerate(SCALES):
        for size in range(1, 601):
            target = reference.target_size(size, scale.numerator, scale.denominator) if size < 330 else 0
            if (target in SEAMS and (size + index) % 3 == 0) or (size + 7 * index) % 61 == 0:
                axes.append(Axis(size, scale, window))
    return tuple(axes)


def terms(axis: Axis) -> tuple[int, int]:
    return axis.scale.numerator, axis.scale.denominator


def sources(axis: Axis) -> list[tuple[int, int]]:
    """The source interval of each window, halo included, where it would lie without an edge."""
    halo = axis.window.source_halo_px
    side = reference.source_side(WINDOW, STRIDE, *terms(axis)) + 2 * halo
    starts = reference.window_starts(reference.target_size(axis.length, *terms(axis)), WINDOW, STRIDE)
    firsts = [reference.source_start(start, *terms(axis)) - halo for start in starts]
    return [(first, first + side) for first in firsts]


def test_cases_hold_every_size() -> None:
    assert {axis.length for axis in cases()} == set(range(1, 601))


def test_cases_hold_every_target_size_at_a_seam() -> None:
    assert {axis.target_length for axis in cases()} >= SEAMS


def test_target_length_is_the_rounded_product() -> None:
    wrong = [axis for axis in cases() if axis.target_length != reference.target_size(axis.length, *terms(axis))]
    assert not wrong


def test_target_length_is_at_least_one_pixel() -> None:
    assert Axis(1, Scale(1, 3), WindowGeometry(WINDOW, STRIDE)).target_length == 1


def test_windows_start_at_every_stride_as_few_as_cover_the_target() -> None:
    for axis in cases():
        starts = [axis.window_start(index) for index in range(axis.windows)]
        assert starts == reference.window_starts(axis.target_length, WINDOW, STRIDE), axis


def test_cores_partition_the_target() -> None:
    for axis in cases():
        bounds = [axis.core_bounds(index) for index in range(axis.windows)]
        assert bounds == reference.core_bounds(axis.target_length, WINDOW, STRIDE), axis


def test_core_lies_within_its_window() -> None:
    for axis in cases():
        for index in range(axis.windows):
            start, stop = axis.core_bounds(index)
            assert axis.window_start(index) == start < stop <= start + WINDOW, (axis, index)


def test_last_core_is_longer_than_the_overlap_when_it_is_not_the_only_one() -> None:
    lengths = {axis.target_length - (axis.windows - 1) * STRIDE for axis in cases() if axis.windows > 1}
    assert (min(lengths), max(lengths)) == (33, 256)


@pytest.mark.parametrize("window", [(256, 224, 0), (256, 224, 2), (64, 36, 0), (64, 32, 1), (480, 321, 0)])
def test_side_follows_the_side_rule(window: tuple[int, int, int]) -> None:
    window_px, stride_px, halo_px = window
    for scale in SCALES:
        expected = reference.source_side(window_px, stride_px, scale.numerator, scale.denominator) + 2 * halo_px
        assert Axis(100, scale, WindowGeometry(*window)).side == expected, scale


@pytest.mark.parametrize(
    ("scale", "side"),
    [("4", 64), ("8", 32), ("2", 128), ("1.6", 160), ("3.2", 80), ("6.4", 40), ("5.12", 51), ("3", 87), ("7", 38)],
)
def test_side_is_exact_only_where_windows_fall_on_whole_pixels(scale: str, side: int) -> None:
    assert Axis(100, Scale.parse(scale), WindowGeometry(WINDOW, STRIDE)).side == side


def test_window_needs_no_source_pixel_beyond_its_side() -> None:
    for scale in SCALES:
        num, den = scale.numerator, scale.denominator
        side = Axis(600, scale, WindowGeometry(WINDOW, STRIDE)).side
        for index in range(22):
            last = math.ceil(Fraction((index * STRIDE + WINDOW) * den, num))
            assert reference.source_start(index * STRIDE, num, den) + side >= last, (scale, index)


def test_source_start_is_the_floor_of_the_position() -> None:
    for axis in cases(halo_px=2):
        expected = [start for start, _ in sources(axis)]
        assert [axis.source_start(index) for index in range(axis.windows)] == expected, axis


def test_origin_is_what_the_floor_leaves_whatever_the_halo() -> None:
    for axis in cases(halo_px=2):
        for index in range(axis.windows):
            expected = reference.origin(index * STRIDE, *terms(axis))
            assert axis.origin_numerator(index) == expected * axis.scale.numerator, (axis, index)


@pytest.mark.parametrize("cores_per_tile", [1, 2, 3, 16])
def test_spans_partition_cores_and_target(cores_per_tile: int) -> None:
    for axis in cases():
        spans = axis.spans(cores_per_tile)
        cores = [core for span in spans for core in range(span.core_start, span.core_stop)]
        edges = [0, *(span.target_stop for span in spans)]
        assert cores == list(range(axis.windows)), axis
        assert [span.target_start for span in spans] == edges[:-1], axis
        assert edges[-1] == axis.target_length, axis


def test_span_source_is_the_union_of_its_windows_and_the_one_before() -> None:
    for axis in cases(halo_px=2):
        intervals = sources(axis)
        for start in range(axis.windows):
            stop = min(axis.windows, start + 1 + axis.length % 3)
            touching = intervals[max(0, start - 1) : stop]
            span = axis.span(start, stop)
            expected = (max(0, touching[0][0]), min(axis.length, touching[-1][1]))
            assert (span.source_start, span.source_stop) == expected, (axis, start, stop)


@pytest.mark.parametrize("cores", [(0, 0), (2, 1), (-1, 1), (0, 4), (3, 4)])
def test_span_refuses_cores_that_are_not_in_the_image(cores: tuple[int, int]) -> None:
    axis = Axis(150, Scale(4, 1), WindowGeometry(WINDOW, STRIDE))
    with pytest.raises(ValueError, match=r"not within 0…3"):
        axis.span(*cores)


@pytest.mark.parametrize("halo_px", [0, 2])
def test_source_indices_are_mirrored_about_the_image(halo_px: int) -> None:
    for axis in cases(halo_px=halo_px):
        margin = axis.side
        indices = np.pad(np.arange(axis.length), margin, mode="symmetric")
        for index, (start, stop) in enumerate(sources(axis)):
            expected = indices[start + margin : stop + margin]
            assert np.array_equal(axis.source_indices(index), expected), (axis, index)


@pytest.mark.parametrize("halo_px", [0, 2])
def test_windows_see_no_pixel_outside_the_source_of_their_tile(halo_px: int) -> None:
    for axis in cases(halo_px=halo_px):
        seen = mirror(np.array([range(*interval) for interval in sources(axis)]).ravel(), axis.length)
        windows = seen.reshape(axis.windows, -1)
        low, high = windows.min(axis=1).tolist(), windows.max(axis=1).tolist()
        for core in range(axis.windows):
            span, before = axis.span(core, core + 1), max(0, core - 1)
            assert span.source_start <= min(low[before], low[core]), (axis, core)
            assert max(high[before], high[core]) < span.source_stop, (axis, core)


@given(
    scale=st.fractions(Fraction(3, 2), 8, max_denominator=997),
    size=st.integers(1, 400),
    halo_px=st.sampled_from([0, 2]),
)
@settings(deadline=None, max_examples=100)
def test_windows_see_no_pixel_outside_the_source_of_their_tile_when_the_scale_is_odd(
    scale: Fraction, size: int, halo_px: int
) -> None:
    axis = Axis(size, Scale.parse(str(scale)), WindowGeometry(WINDOW, STRIDE, halo_px))
    for span in axis.spans(1):
        touching = range(max(0, span.core_start - 1), span.core_stop)
        seen = np.concatenate([axis.source_indices(index) for index in touching])
        assert span.source_start <= seen.min()
        assert seen.max() < span.source_stop


def test_nearest_source_is_under_the_centre_of_the_target_pixel() -> None:
    for axis in cases()[::50]:
        expected = [reference.nearest(at, axis.length, *terms(axis)) for at in range(axis.target_length)]
        assert axis.nearest_source(np.arange(axis.target_length)).tolist() == expected, axis


def test_nearest_source_lies_within_the_source_of_every_window_that_shows_it() -> None:
    for axis in cases():
        for index, (start, stop) in enumerate(sources(axis)):
            shown = np.array([axis.window_start(index), min(axis.target_length, axis.window_start(index) + WINDOW) - 1])
            low, high = axis.nearest_source(shown)
            assert start <= low, (axis, index)
            assert high < min(stop, axis.length), (axis, index)


def test_bicubic_taps_lie_within_the_source_of_their_tile() -> None:
    for axis in cases():
        spans = axis.spans(1)
        edge = np.arange(-(-3 * axis.scale.numerator // axis.scale.denominator))
        ends = np.array([[span.target_start + edge, span.target_stop - 1 - edge] for span in spans])
        first, _ = cubic_taps(ends.ravel(), axis.scale)
        seen = mirror((first[:, None] + np.arange(4)).ravel(), axis.length).reshape(len(spans), -1)
        assert (seen.min(axis=1) >= [span.source_start for span in spans]).all(), axis
        assert (seen.max(axis=1) < [span.source_stop for span in spans]).all(), axis


@given(index=st.integers(-(10**5), 10**5), size=st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_mirror_reflects_at_one_edge_after_the_other(index: int, size: int) -> None:
    assert mirror(np.array([index]), size).tolist() == [reference.mirrored(index, size)]


@st.composite
def large_axes(draw: st.DrawFn) -> Axis:
    """Axes of up to 2³¹ source pixels with scales of up to six digits in each term."""
    den = draw(st.one_of(st.integers(1, 125_000), st.just(125_000)))
    num = draw(st.integers(-(-3 * den // 2), 8 * den))
    return Axis(draw(st.integers(1, 2**31)), Scale.parse(f"{num}/{den}"), WindowGeometry(WINDOW, STRIDE, 2))


@given(axis=large_axes(), back=st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_source_indices_are_exact_when_the_image_is_huge(axis: Axis, back: int) -> None:
    index = max(0, axis.windows - 1 - back)
    start, side = reference.source_start(index * STRIDE, *terms(axis)) - 2, axis.side
    expected = [reference.mirrored(start + i, axis.length) for i in range(side)]
    assert axis.source_indices(index).tolist() == expected


@given(axis=large_axes(), back=st.integers(1, 1000))
@settings(deadline=None, max_examples=100)
def test_nearest_source_is_exact_when_the_image_is_huge(axis: Axis, back: int) -> None:
    at = max(0, axis.target_length - back)
    assert axis.nearest_source(np.array([at])).tolist() == [reference.nearest(at, axis.length, *terms(axis))]


@given(axis=large_axes(), back=st.integers(1, 1000))
@settings(deadline=None, max_examples=100)
def test_first_tap_is_exact_when_the_image_is_huge(axis: Axis, back: int) -> None:
    at = max(0, axis.target_length - back)
    first, _ = cubic_taps(np.array([at]), axis.scale)
    assert first.tolist() == [reference.taps(at, *terms(axis))[0][0]]


@given(axis=large_axes(), back=st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_origin_is_exact_to_single_precision_when_the_image_is_huge(axis: Axis, back: int) -> None:
    at = axis.window_start(max(0, axis.windows - 1 - back))
    batch = WindowBatch(np.zeros((1, 3, 1, 1), np.float32), np.array([[at, 0]]), axis.scale, Options(0, 0.0, 0))
    assert batch.origins[0, 0] == np.float32(float(reference.origin(at, *terms(axis))))


@pytest.mark.parametrize("stride_px", [0, 127, 256, 300])
def test_window_geometry_refuses_a_stride_that_windows_cannot_overlap_by(stride_px: int) -> None:
    with pytest.raises(ValueError, match=f"stride {stride_px}"):
        WindowGeometry(WINDOW, stride_px)
