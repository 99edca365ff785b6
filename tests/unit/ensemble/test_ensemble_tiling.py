"""Whatever way an image is cut into tiles, its target is that of the whole image, to the byte."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import config
from unit.ensemble.tile_cases import (
    Cut,
    HashedWindows,
    Picture,
    cut_pictures,
    cuts,
    full_range,
    pictures,
    random_picture,
    uniform_picture,
)

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import CancelledTileError, NotFiniteError, Tile, TileGeometry, TileMismatchError
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.windows import WindowBatch

SEAM_SIZES = [(4, 60), (57, 64), (113, 120), (1, 1), (1, 113)]
"""Sources that become 225…256 or 449…480 pixels at scale 4, and the smallest ones."""


def tiler_of(picture: Picture, function: HashedWindows | None = None, *, batch: int = 2, cache: int = 0) -> Tiler:
    return Cut((), cache, batch).tiler(picture, function or HashedWindows(picture))


@given(cut_pictures())
@settings(deadline=None, max_examples=80)
def test_tiles_make_the_target_of_the_whole_image(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    assembled, _ = cut.run(picture)
    assert picture.reference().agrees(assembled.pixels)


@pytest.mark.parametrize("size", SEAM_SIZES)
def test_tiles_make_the_target_of_the_whole_image_when_windows_are_those_of_the_shipped_models(
    size: tuple[int, int],
) -> None:
    picture = random_picture(size=size, window_px=256, stride_px=224)
    _, rows, _, columns = picture.whole
    single = tuple((y, y + 1, x, x + 1) for y in range(rows) for x in range(columns))
    assembled, _ = Cut(single, 0, 1).run(picture)
    assert picture.reference().agrees(assembled.pixels)


@given(cut_pictures())
@settings(deadline=None, max_examples=40)
def test_tiles_make_the_mask_of_the_whole_image(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    assembled, _ = cut.run(picture)
    assert np.array_equal(assembled.mask, picture.rules.over_target(picture.valid))


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_tiles_make_the_same_bytes_when_the_image_is_cut_otherwise(data: st.DataObject) -> None:
    picture = data.draw(pictures())
    one, other = data.draw(cuts(picture)), data.draw(cuts(picture))
    assert one.run(picture)[0].pixels.tobytes() == other.run(picture)[0].pixels.tobytes()


@given(cut_pictures())
@settings(deadline=None, max_examples=40)
def test_tiles_make_the_same_bytes_when_windows_are_cached(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    without, cached = (replace(cut, cache_bytes=capacity) for capacity in (0, 2**30))
    assert without.run(picture)[0].pixels.tobytes() == cached.run(picture)[0].pixels.tobytes()


@given(cut_pictures(), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_tiles_make_the_same_bytes_when_the_batch_is_another(case: tuple[Picture, Cut], batch: int) -> None:
    picture, cut = case
    assert cut.run(picture)[0].pixels.tobytes() == replace(cut, batch=batch).run(picture)[0].pixels.tobytes()


@given(st.data())
@settings(deadline=None, max_examples=30)
def test_tiles_make_the_same_bytes_when_images_share_a_cache(data: st.DataObject) -> None:
    first = data.draw(pictures())
    second = replace(first, options=data.draw(st.sampled_from([Options(0, 1.0, 0), Options(2, 1.5, 8)])))
    shared = tiler_of(first, cache=2**30)
    shared.run(first.tile(first.whole), cancelled=lambda: False)
    alone = tiler_of(second, HashedWindows(second)).run(second.tile(second.whole), cancelled=lambda: False)
    together = shared.run(second.tile(second.whole), cancelled=lambda: False)
    assert together.pixels.tobytes() == alone.pixels.tobytes()


@given(cut_pictures())
@settings(deadline=None, max_examples=40)
def test_out_of_range_adds_up_to_the_image(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    assembled, _ = cut.run(picture)
    counted = sum(stats.out_of_range for stats in assembled.stats.values())
    assert counted == picture.reference().interpolated.sum()


@given(cut_pictures())
@settings(deadline=None, max_examples=40)
def test_windows_are_those_of_the_cores_and_the_seams_before(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    assembled, _ = cut.run(picture)
    for (top, bottom, left, right), stats in assembled.stats.items():
        assert stats.windows == (bottom - max(0, top - 1)) * (right - max(0, left - 1))


@given(cut_pictures())
@settings(deadline=None, max_examples=40)
def test_windows_are_run_or_cached_or_empty(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    once = replace(cut, tiles=tuple(dict.fromkeys(cut.tiles)))
    assembled, function = once.run(picture)
    counted = sum(stats.windows - stats.cache_hits - stats.empty_windows for stats in assembled.stats.values())
    assert counted == sum(function.batches)


@given(cut_pictures())
@settings(deadline=None, max_examples=20)
def test_windows_come_in_batches_of_at_most_the_engines(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    _, function = cut.run(picture)
    assert all(1 <= windows <= cut.batch for windows in function.batches)


@given(pictures())
@settings(deadline=None, max_examples=20)
def test_no_window_is_run_twice_when_the_cache_is_large(picture: Picture) -> None:
    function = HashedWindows(picture)
    tiler = tiler_of(picture, function, cache=2**30)
    tiler.run(picture.tile(picture.whole), cancelled=lambda: False)
    before = list(function.batches)
    tiler.run(picture.tile(picture.whole), cancelled=lambda: False)
    assert function.batches == before


@pytest.mark.parametrize("side", [1, 2, 3])
def test_no_window_is_run_twice_row_by_row_when_a_row_of_windows_fits(side: int) -> None:
    picture = random_picture(size=(200, 400))
    function = HashedWindows(picture)
    _, rows, _, columns = picture.whole
    window_bytes = picture.manifest.geometry.window_px**2 * picture.pixels.dtype.itemsize * 3
    tiler = tiler_of(picture, function, batch=1, cache=2 * (columns + side**2) * window_bytes)
    for y in range(0, rows, side):
        for x in range(0, columns, side):
            cores = (y, min(y + side, rows), x, min(x + side, columns))
            tiler.run(picture.tile(cores), cancelled=lambda: False)
    assert sum(function.batches) == rows * columns


def test_equal_windows_of_one_batch_are_run_once() -> None:
    picture = uniform_picture(7)
    function = HashedWindows(picture)
    tiler_of(picture, function, batch=5).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert function.batches == [1]


def test_equal_windows_are_run_for_each_phase_of_the_noise() -> None:
    picture = uniform_picture(7, options=Options(1, 1.0, 0))
    function = HashedWindows(picture)
    tiler_of(picture, function, batch=5, cache=2**30).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert sum(function.batches) == 4


def test_equal_windows_are_run_for_each_origin() -> None:
    picture = uniform_picture(7, size=52, scale="3")
    function = HashedWindows(picture)
    tiler_of(picture, function, batch=5, cache=2**30).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert sum(function.batches) == 9


UNIFORM, DRAWN = uniform_picture(7), uniform_picture(7, options=Options(1, 1.0, 0))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (UNIFORM, uniform_picture(8)),
        (UNIFORM, uniform_picture(7, dtype=np.uint16, ranges=full_range(np.uint8))),
        (uniform_picture(0), uniform_picture(0, ranges=((0, 255), (0, 255), (0, 254)))),
        (uniform_picture(7, scale="3.999"), uniform_picture(7, scale="3.998")),
        (UNIFORM, DRAWN),
        (DRAWN, uniform_picture(7, options=Options(2, 1.0, 0))),
        (DRAWN, uniform_picture(7, options=Options(1, 0.5, 0))),
        (DRAWN, uniform_picture(7, options=Options(1, 1.0, 1))),
    ],
    ids=["content", "dtype", "ranges", "scale", "drawn", "steps", "texture", "seed"],
)
def test_cache_is_not_hit_when_something_that_decides_differs(first: Picture, second: Picture) -> None:
    tiler, corner = tiler_of(first, cache=2**30), (0, 1, 0, 1)
    tiler.run(first.tile(corner), cancelled=lambda: False)
    assert tiler.run(second.tile(corner), cancelled=lambda: False).stats.cache_hits == 0


def test_cache_is_not_hit_when_the_revision_differs() -> None:
    cache, corner = WindowCache(2**30), UNIFORM.tile((0, 1, 0, 1))
    one, other = (
        Tiler(UNIFORM.manifest, revision=revision, run=HashedWindows(UNIFORM), batch=1, cache=cache)
        for revision in ("one", "other")
    )
    one.run(corner, cancelled=lambda: False)
    assert other.run(corner, cancelled=lambda: False).stats.cache_hits == 0


@pytest.mark.parametrize("options", [Options(0, 1.0, 9), Options(5, 0.0, 9), Options(0, 0.0, 0)])
def test_cache_is_hit_when_only_options_without_effect_differ(options: Options) -> None:
    tiler, corner, other = tiler_of(UNIFORM, cache=2**30), (0, 1, 0, 1), replace(UNIFORM, options=options)
    tiler.run(UNIFORM.tile(corner), cancelled=lambda: False)
    assert tiler.run(other.tile(corner), cancelled=lambda: False).stats.cache_hits == 1


@given(pictures())
@settings(deadline=None, max_examples=20)
def test_tile_is_not_written_to(picture: Picture) -> None:
    tile = picture.tile(picture.whole)
    pixels = tile.pixels.copy()
    tiler_of(picture).run(tile, cancelled=lambda: False)
    assert np.array_equal(tile.pixels, pixels)


def test_cancelled_is_asked_before_each_batch() -> None:
    picture, events = random_picture(), list[str]()

    class Recorded(HashedWindows):
        def _levels(self, *args: object) -> np.ndarray:
            events.append("run")
            return super()._levels(*args)

    def cancelled() -> bool:
        events.append("ask")
        return False

    tiler_of(picture, Recorded(picture), batch=3).run(picture.tile(picture.whole), cancelled=cancelled)
    assert events == ["ask", "run", "run", "run"] * 5 + ["ask", "run"]


@pytest.mark.parametrize("batches", [0, 1, 3, 5])
def test_no_window_is_run_when_the_caller_is_gone(batches: int) -> None:
    picture = random_picture()
    function, answers = HashedWindows(picture), iter([False] * batches + [True])
    with pytest.raises(CancelledTileError):
        tiler_of(picture, function, batch=3).run(picture.tile(picture.whole), cancelled=lambda: next(answers))
    assert function.batches == [3] * batches


def test_tile_is_the_same_when_it_was_cancelled_before() -> None:
    picture = random_picture()
    tiler, answers = tiler_of(picture, cache=2**30), iter([False, False, True])
    with pytest.raises(CancelledTileError):
        tiler.run(picture.tile(picture.whole), cancelled=lambda: next(answers))
    result = tiler.run(picture.tile(picture.whole), cancelled=lambda: False)
    assert picture.reference().agrees(result.pixels)


class Broken(HashedWindows):
    """Yields no number in one sample, as long as it is broken."""

    number: float = np.nan

    def __call__(self, batch: WindowBatch) -> np.ndarray:
        """Run as a `WindowFunction`."""
        windows = super().__call__(batch)
        windows[-1, 2, 63, 63] = self.number
        return windows


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_tile_is_given_up_when_the_model_yields_no_number(number: float) -> None:
    picture = random_picture()
    function = Broken(picture)
    function.number = number
    with pytest.raises(NotFiniteError):
        tiler_of(picture, function).run(picture.tile(picture.whole), cancelled=lambda: False)


def test_no_window_is_kept_of_a_batch_that_holds_no_numbers() -> None:
    picture = random_picture()
    function = Broken(picture)
    tiler = tiler_of(picture, function, batch=3, cache=2**30)
    with pytest.raises(NotFiniteError):
        tiler.run(picture.tile(picture.whole), cancelled=lambda: False)
    function.number = 0.0
    assert tiler.run(picture.tile(picture.whole), cancelled=lambda: False).stats.cache_hits == 0


def _changed(source: tuple[int, int, int, int], index: int, by: int) -> tuple[int, int, int, int]:
    edges = list(source)
    edges[index] += by
    return (edges[0], edges[1], edges[2], edges[3])


INNER = random_picture(size=(100, 100)).tile((3, 5, 4, 6))
"""A tile with neighbours on all sides."""


@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize("by", [-1, 1])
def test_tile_is_refused_when_its_rectangle_is_not_the_plans(edge: int, by: int) -> None:
    wrong = replace(INNER, geometry=replace(INNER.geometry, source=_changed(INNER.geometry.source, edge, by)))
    with pytest.raises(TileMismatchError, match="take source"):
        tiler_of(UNIFORM).run(wrong, cancelled=lambda: False)


@pytest.mark.parametrize("crop", [np.s_[1:], np.s_[:, 1:], np.s_[:-1, :-1], np.s_[:0], np.s_[:, :0]])
def test_tile_is_refused_when_its_pixels_are_not_its_rectangle(crop: tuple[slice, ...]) -> None:
    with pytest.raises(TileMismatchError):
        tiler_of(UNIFORM).run(replace(INNER, pixels=INNER.pixels[crop]), cancelled=lambda: False)


@pytest.mark.parametrize(
    "cores",
    [
        (3, 3, 4, 6),
        (5, 3, 4, 6),
        (-1, 5, 4, 6),
        (3, 13, 4, 6),
        (3, 5, 4, 13),
        (12, 13, 4, 6),
        (3, 5, 6, 4),
        (0, 0, 0, 0),
    ],
)
def test_tile_is_refused_when_its_cores_are_not_in_the_image(cores: tuple[int, int, int, int]) -> None:
    with pytest.raises(TileMismatchError, match="not within 0…12"):
        tiler_of(UNIFORM).run(replace(INNER, geometry=replace(INNER.geometry, cores=cores)), cancelled=lambda: False)


@pytest.mark.parametrize("size", [(0, 100), (100, 0), (-1, 100), (99, 100), (100, 300)])
def test_tile_is_refused_when_the_image_is_another(size: tuple[int, int]) -> None:
    edge = random_picture(size=(100, 100)).tile((11, 12, 11, 12))
    wrong = replace(edge, geometry=replace(edge.geometry, height=size[0], width=size[1]))
    with pytest.raises(TileMismatchError):
        tiler_of(UNIFORM).run(wrong, cancelled=lambda: False)


@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_tile_is_refused_when_the_image_is_empty(size: tuple[int, int]) -> None:
    geometry = TileGeometry(size[0], size[1], Scale(4, 1), (0, size[0], 0, size[1]), (0, 1, 0, 1))
    empty = replace(INNER, pixels=np.zeros((*size, 3), np.uint8), geometry=geometry)
    with pytest.raises(TileMismatchError):
        tiler_of(UNIFORM).run(empty, cancelled=lambda: False)


@pytest.fixture
def _without_shape_checks() -> Iterator[None]:
    """Outside of tests, nothing but the tiler looks at a mask's shape."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_without_shape_checks")
@pytest.mark.parametrize("by", [(1, 0), (0, -1), (1, -1)])
def test_tile_is_refused_when_its_mask_has_another_shape(by: tuple[int, int]) -> None:
    height, width = INNER.pixels.shape[:2]
    wrong = replace(INNER, mask=np.ones((height + by[0], width + by[1]), bool))
    with pytest.raises(TileMismatchError, match="mask"):
        tiler_of(UNIFORM).run(wrong, cancelled=lambda: False)


@pytest.mark.parametrize("scale", ["1.49999", "8.00001", "1", "100", "0.25"])
def test_tile_is_refused_when_the_model_does_not_support_its_scale(scale: str) -> None:
    wrong = replace(INNER, geometry=replace(INNER.geometry, scale=Scale.parse(scale)))
    with pytest.raises(TileMismatchError, match="not supported"):
        tiler_of(UNIFORM).run(wrong, cancelled=lambda: False)


def test_no_window_is_run_when_the_tile_is_refused() -> None:
    function = HashedWindows(UNIFORM)
    with pytest.raises(TileMismatchError):
        tiler_of(UNIFORM, function).run(replace(INNER, pixels=INNER.pixels[1:]), cancelled=lambda: False)
    assert not function.batches


@given(pictures())
@settings(deadline=None, max_examples=20)
def test_geometry_survives_its_tensor(picture: Picture) -> None:
    geometry = picture.tile(picture.whole).geometry
    assert TileGeometry.unpack(geometry.pack()) == geometry


def test_geometry_is_read_with_its_scale_reduced() -> None:
    tensor = np.array([10, 10, 8, 2, 0, 10, 0, 10, 0, 1, 0, 1], dtype=np.int64)
    assert TileGeometry.unpack(tensor).scale == Scale(4, 1)


@pytest.mark.parametrize("terms", [(0, 1), (4, 0), (-4, 1), (4, -1), (4_000_001, 1_000_000)])
def test_geometry_is_refused_when_its_scale_is_none(terms: tuple[int, int]) -> None:
    tensor = np.array([10, 10, *terms, 0, 10, 0, 10, 0, 1, 0, 1], dtype=np.int64)
    with pytest.raises(ValueError, match="scale"):
        TileGeometry.unpack(tensor)


def _whole_tile(size: int) -> Tile:
    picture = random_picture(size=(size, size))
    return picture.tile(picture.whole)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tile_is_as_large_as_the_target_when_the_image_is_tiny(size: int) -> None:
    result = tiler_of(UNIFORM).run(_whole_tile(size), cancelled=lambda: False)
    assert result.pixels.shape == (4 * size, 4 * size, 3)
