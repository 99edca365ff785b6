"""Images, ways to cut them into tiles, and a window model that shows in every pixel what it was asked."""

import functools
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from unit.ensemble.design_reference import Rules, Upscaled, origin

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest, Options, model_repository, read_manifests
from hndsr_ensemble.masks import Mask
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import Tile, TileGeometry, TileStats, UpscaledTile
from hndsr_ensemble.tiling import Tiler, Workers
from hndsr_ensemble.windows import WindowBatch

WINDOW, STRIDE = 64, 32
"""The smallest windows that the committed blending ramp fits."""

PERIOD = 64
"""Noise repeats after as many target pixels, so that windows two strides apart may share a cached one."""

SHIPPED = json.loads(read_manifests(model_repository())["bicubic"].text)

Ranges = tuple[tuple[int, int], ...]
Cores = tuple[int, int, int, int]


def make_manifest(
    *, window_px: int = WINDOW, stride_px: int = STRIDE, halo_px: int = 0, generative: bool = True
) -> Manifest:
    """A window model of any geometry."""
    changes = {
        "name": "hashed",
        "window_px": window_px,
        "stride_px": stride_px,
        "source_halo_px": halo_px,
        "generative": generative,
        "noise_period_px": PERIOD,
    }
    return Manifest.parse(json.dumps(SHIPPED | changes))


@dataclass(frozen=True)
class Picture:
    """A source image and how it is to be upscaled."""

    pixels: np.ndarray
    mask: Mask | None
    ranges: Ranges
    scale: Scale
    options: Options
    halo_px: int = 0
    window_px: int = WINDOW
    stride_px: int = STRIDE

    @property
    def manifest(self) -> Manifest:
        """Of the window model."""
        return make_manifest(window_px=self.window_px, stride_px=self.stride_px, halo_px=self.halo_px)

    @property
    def rules(self) -> Rules:
        """For the whole-image reference."""
        return Rules(self.window_px, self.stride_px, self.halo_px, self.scale.numerator, self.scale.denominator)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns."""
        height, width = self.pixels.shape[:2]
        geometry = self.manifest.geometry
        return Axis(height, self.scale, geometry), Axis(width, self.scale, geometry)

    @property
    def valid(self) -> Mask:
        """The mask, or one that is true everywhere."""
        return np.ones(self.pixels.shape[:2], bool) if self.mask is None else self.mask

    def tile(self, cores: Cores) -> Tile:
        """The request of one tile."""
        rows, columns = self.axes
        geometry = TileGeometry.of(rows, columns, rows.span(*cores[:2]), columns.span(*cores[2:]))
        top, bottom, left, right = geometry.source
        mask = None if self.mask is None else self.mask[top:bottom, left:right]
        ranges = np.array(self.ranges, dtype=np.float64)
        return Tile(self.pixels[top:bottom, left:right], geometry, ranges, self.options, mask)

    @property
    def whole(self) -> Cores:
        """All cores as one tile."""
        rows, columns = (len(self.rules.starts(size)) for size in self.pixels.shape[:2])
        return (0, rows, 0, columns)

    def with_pixels(self, pixels: np.ndarray) -> "Picture":
        """The same with other samples."""
        return replace(self, pixels=pixels)

    def reference(self) -> Upscaled:
        """The whole image by the rules of the design."""
        return self.rules.upscale(self.pixels, self.valid, list(self.ranges), HashedWindows(self).samples)


@dataclass
class HashedWindows:
    """A window model whose pixels are a hash of what a window sees, where it lies, and how it is drawn."""

    picture: Picture
    batches: list[int] = field(default_factory=list)

    def __call__(self, batch: WindowBatch) -> np.ndarray:
        """Run as a `WindowFunction`."""
        self.batches.append(len(batch.lr))
        low, high = np.array(self.picture.ranges, dtype=np.float64).T
        results = []
        for lr, corner, place in zip(batch.lr, batch.origins, batch.positions, strict=True):
            seen = np.rint(((lr.transpose(1, 2, 0).astype(np.float64) + 1) * (high - low) / 2) + low).astype(np.int64)
            levels = self._levels(seen, corner, place, str(batch.scale.fraction), batch.options)
            results.append((2 * levels - (low + high)) / (high - low))
        return np.stack(results).astype(np.float32).transpose(0, 3, 1, 2)

    def samples(self, values: np.ndarray, y: int, x: int) -> np.ndarray:
        """Run as the reference's `LevelFunction`."""
        low, high = np.array(self.picture.ranges, dtype=np.int64).T
        scale = self.picture.scale
        terms = (scale.numerator, scale.denominator)
        corner = np.array([float(origin(y, *terms)), float(origin(x, *terms))], dtype=np.float32)
        seen = np.clip(values.astype(np.int64), low, high)
        levels = self._levels(seen, corner, np.array([y, x]), str(Fraction(*terms)), self.picture.options)
        return np.clip(levels, low, high)

    def _levels(
        self, seen: np.ndarray, corner: np.ndarray, place: np.ndarray, scale: str, options: Options
    ) -> np.ndarray:
        """Samples from a few below the value range to a few above it."""
        drawn = options.steps > 0 and options.texture > 0
        noise = (*(place % PERIOD).tolist(), options.steps, options.texture, options.seed) if drawn else ()
        facts = hashlib.shake_128(repr((corner.tolist(), scale, noise, seen.shape)).encode())
        facts.update(seen.tobytes())
        low, high = np.array(self.picture.ranges, dtype=np.int64).T
        side = self.picture.window_px
        random = np.frombuffer(facts.digest(side * side * 3 * 2), dtype="<u2").reshape(side, side, 3)
        return low - 3 + random.astype(np.int64) % (high - low + 7)


@functools.cache
def workers(threads: int) -> Workers | None:
    """As many threads; none where one is enough."""
    return Workers(ThreadPoolExecutor(threads), threads) if threads > 1 else None


@dataclass(frozen=True)
class Cut:
    """A way to make an image from tiles: which tiles in which order, some of them more than once, and where."""

    tiles: tuple[Cores, ...]
    cache_bytes: int
    batch: int
    threads: int = 1

    def tiler(self, picture: Picture, run: HashedWindows) -> Tiler:
        """A tiler with an empty cache; a batch that is alone is run like the others."""
        cache, crew = WindowCache(self.cache_bytes), workers(self.threads)
        crew = crew and replace(crew, alone=run)
        return Tiler(picture.manifest, revision="r", run=run, batch=self.batch, cache=cache, workers=crew)

    def run(self, picture: Picture) -> tuple["Assembled", HashedWindows]:
        """Upscale an image tile by tile."""
        function = HashedWindows(picture)
        tiler = self.tiler(picture, function)
        results = [(cores, tiler.run(picture.tile(cores), cancelled=lambda: False)) for cores in self.tiles]
        return assemble(picture, results), function


@dataclass(frozen=True)
class Assembled:
    """A target put together from its tiles."""

    pixels: np.ndarray
    mask: Mask
    stats: dict[Cores, TileStats]
    """Of each tile's first run."""


def assemble(picture: Picture, results: list[tuple[Cores, UpscaledTile]]) -> Assembled:
    """Put tiles where they belong; one that comes again must be the same."""
    rows, columns = picture.axes
    pixels = np.zeros((rows.target_length, columns.target_length, 3), picture.pixels.dtype)
    mask = np.zeros(pixels.shape[:2], bool)
    stats: dict[Cores, TileStats] = {}
    for cores, result in results:
        row, column = rows.span(*cores[:2]), columns.span(*cores[2:])
        place = (slice(row.target_start, row.target_stop), slice(column.target_start, column.target_stop))
        valid = np.ones(result.pixels.shape[:2], bool) if result.mask is None else result.mask
        if cores in stats:
            assert np.array_equal(pixels[place], result.pixels)
            assert np.array_equal(mask[place], valid)
        pixels[place], mask[place] = result.pixels, valid
        stats.setdefault(cores, result.stats)
    return Assembled(pixels, mask, stats)


SCALES = ("1.5", "1.51", "2", "22/7", "3.2", "4", "5.33", "8/3", "6.4", "7.99", "8", "999999/250000")

SIDES = st.one_of(st.integers(1, WINDOW), st.integers(WINDOW + 1, 3 * WINDOW))
"""About how many target pixels a side has."""


@st.composite
def pictures(draw: st.DrawFn, *, masked: bool | None = None) -> Picture:
    """Images of up to five windows a side, random or uniform, some with a mask, some with samples out of range.

    Args:
        draw: given by hypothesis.
        masked: whether there is a mask; None: sometimes.
    """
    scale = Scale.parse(draw(st.sampled_from(SCALES)))
    height, width = (max(1, round(draw(SIDES) / float(scale))) for _ in range(2))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    ranges = draw(st.sampled_from([full_range(dtype), _narrow_ranges(dtype, random)]))
    options = draw(st.sampled_from([Options(0, 1.0, 5), Options(3, 0.0, 5), Options(2, 1.5, 7), Options(4, 0.5, 0)]))
    pixels = _pixels(draw(st.sampled_from(["random", "uniform", "striped"])), (height, width), ranges, random)
    pixels = pixels.astype(dtype)
    for _ in range(draw(st.integers(0, 3))):
        place = (random.integers(height), random.integers(width), random.integers(3))
        pixels[place] = random.choice([0, np.iinfo(dtype).max])
    kinds = ["none"] if masked is False else ["random", "dense", "sparse", "empty", "single", "full", "half"]
    kind = draw(st.sampled_from(kinds if masked is not None else ["none", *kinds]))
    halo_px = draw(st.sampled_from([0, 2]))
    return Picture(pixels, _mask(kind, (height, width), random), ranges, scale, options, halo_px)


def full_range(dtype: type[np.unsignedinteger]) -> Ranges:
    """All that a sample type can hold, for each band."""
    return ((0, int(np.iinfo(dtype).max)),) * 3


def _narrow_ranges(dtype: type[np.unsignedinteger], random: np.random.Generator) -> Ranges:
    limit = int(np.iinfo(dtype).max)
    lows = random.integers(1, limit // 2, 3).tolist()
    return tuple((low, low + int(random.integers(1, limit - low))) for low in lows)


def _pixels(kind: str, size: tuple[int, int], ranges: Ranges, random: np.random.Generator) -> np.ndarray:
    low, high = np.array(ranges).T
    if kind == "uniform":
        return np.broadcast_to(random.integers(low, high + 1), (*size, 3)).copy()
    if kind == "striped":
        return np.where((np.arange(size[1]) % 4 < 2)[None, :, None], low, high) + np.zeros((*size, 1), dtype=np.int64)
    return random.integers(low, high + 1, (*size, 3))


def _mask(kind: str, size: tuple[int, int], random: np.random.Generator) -> Mask | None:
    if kind in {"none", "full", "empty"}:
        return None if kind == "none" else np.full(size, kind == "full")
    if kind == "single":
        mask = np.zeros(size, bool)
        mask[random.integers(size[0]), random.integers(size[1])] = True
        return mask
    if kind == "half":
        return np.broadcast_to(np.arange(size[1]) * 2 < size[1], size).copy()
    return random.random(size) < {"random": 0.5, "dense": 0.97, "sparse": 0.02}[kind]


@st.composite
def cuts(draw: st.DrawFn, picture: Picture) -> Cut:
    """A partition into tiles by cuts along each axis, in any order, with some tiles run again."""
    spans = []
    for size in picture.pixels.shape[:2]:
        count = len(picture.rules.starts(size))
        inner = draw(st.sets(st.integers(1, count - 1))) if count > 1 else set()
        edges = [0, *sorted(inner), count]
        spans.append(list(pairwise(edges)))
    tiles = draw(st.permutations([(*row, *column) for row in spans[0] for column in spans[1]]))
    again = draw(st.lists(st.sampled_from(tiles), max_size=3))
    window_bytes = picture.window_px**2 * 3 * picture.pixels.dtype.itemsize
    capacity = draw(st.sampled_from([0, 1, window_bytes, 3 * window_bytes + 1, 1000 * window_bytes]))
    return Cut((*tiles, *again), capacity, draw(st.integers(1, 5)), draw(st.integers(1, 4)))


@st.composite
def cut_pictures(draw: st.DrawFn, *, masked: bool | None = None) -> tuple[Picture, Cut]:
    """An image and one way to cut it."""
    picture = draw(pictures(masked=masked))
    return picture, draw(cuts(picture))


def uniform_picture(value: int, *, size: int = 40, scale: str = "4", dtype: type = np.uint8, **changes: Any) -> Picture:
    """One grey over all, upscaled without noise, where nothing else is asked for."""
    picture = Picture(
        pixels=np.full((size, size, 3), value, dtype),
        mask=None,
        ranges=full_range(dtype),
        scale=Scale.parse(scale),
        options=Options(0, 1.0, 0),
    )
    return replace(picture, **changes)


def random_picture(*, size: tuple[int, int] = (40, 40), seed: int = 0, **changes: Any) -> Picture:
    """Random samples of 8 bits, else like `uniform_picture`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return replace(uniform_picture(0), pixels=pixels, **changes)
