"""The rules of the design once more, slow and for the whole image, in Python's own integers and fractions.

Nothing here imports the code under test, and there are no tiles: every function speaks of the image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

LevelFunction = Callable[[np.ndarray, int, int], np.ndarray]
"""Integer samples [P, P, 3] of one window, from its filled source window and its target position (y, x)."""

TIE = Fraction(1, 10**6)
"""How close to a half an exact value must be for floating point to be free to round it either way."""


def target_size(size_px: int, num: int, den: int) -> int:
    """T = max(1, floor(N·num/den + 1/2))."""
    return max(1, math.floor(Fraction(size_px * num, den) + Fraction(1, 2)))


def window_starts(target_px: int, window_px: int, stride_px: int) -> list[int]:
    """Where windows start along an axis: 0, stride, …, as few as cover the target."""
    starts = [0]
    while starts[-1] + window_px < target_px:
        starts.append(starts[-1] + stride_px)
    return starts


def core_bounds(target_px: int, window_px: int, stride_px: int) -> list[tuple[int, int]]:
    """One core for each window; the last runs to the edge of the image."""
    starts = window_starts(target_px, window_px, stride_px)
    return list(zip(starts, [*starts[1:], target_px], strict=True))


def source_side(window_px: int, stride_px: int, num: int, den: int) -> int:
    """The side rule, without halo."""
    side, step = Fraction(window_px * den, num), Fraction(stride_px * den, num)
    if side.denominator == 1 and side.numerator % 8 == 0 and step.denominator == 1:
        return side.numerator
    return math.ceil(side) + 1


def source_start(position: int, num: int, den: int) -> int:
    """Source start of a window, without halo."""
    return math.floor(Fraction(position * den, num))


def origin(position: int, num: int, den: int) -> Fraction:
    """What the source start leaves of a window's true position, in source pixels."""
    exact = Fraction(position * den, num)
    return exact - math.floor(exact)


def mirrored(index: int, size_px: int) -> int:
    """Symmetric reflection, one edge after the other."""
    while not 0 <= index < size_px:
        index = -1 - index if index < 0 else 2 * size_px - 1 - index
    return index


def nearest(position: int, size_px: int, num: int, den: int) -> int:
    """The source pixel under the centre of a target pixel."""
    return min(size_px - 1, math.floor(Fraction((2 * position + 1) * den, 2 * num)))


def ramp(length_px: int) -> list[int]:
    """The rising ramp of the blend."""
    weights = [128] * length_px
    for i in range(length_px // 2):
        weights[i] = math.floor(256 * math.sin(math.pi * (2 * i + 1) / (4 * length_px)) ** 2 + 0.5)
        weights[length_px - 1 - i] = 256 - weights[i]
    return weights


def axis_weights(index: int, count: int, window_px: int, stride_px: int) -> list[int]:
    """Weights of window `index` of `count` along one axis."""
    weights = [256] * window_px
    rising = ramp(window_px - stride_px)
    if index > 0:
        weights[: len(rising)] = rising
    if index < count - 1:
        weights[stride_px:] = rising[::-1]
    return weights


def keys(distance: Fraction) -> Fraction:
    """The cubic convolution kernel, a = −1/2."""
    x, a = abs(distance), Fraction(-1, 2)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return Fraction(0)


@lru_cache(maxsize=4096)
def taps(position: int, num: int, den: int) -> tuple[tuple[int, int], ...]:
    """The four source indices of a target position, before any mirroring, with weights on a common denominator."""
    centre = Fraction((2 * position + 1) * den, 2 * num) - Fraction(1, 2)
    first = math.floor(centre) - 1
    return tuple((index, int(keys(centre - index) * 2 * (2 * num) ** 3)) for index in range(first, first + 4))


def bicubic_sample(source: np.ndarray, valid: np.ndarray, at: tuple[int, int], num: int, den: int) -> Fraction:
    """Exact value of one band at a target pixel; invalid taps are dropped and the others keep their proportions.

    What is left of the taps may weigh next to nothing, so without all of them the value stays within those it is of.
    """
    height, width = source.shape
    total = weight = 0
    used = list[int]()
    for row, along_y in taps(at[0], num, den):
        for column, along_x in taps(at[1], num, den):
            y, x = mirrored(row, height), mirrored(column, width)
            if valid[y, x]:
                total += along_y * along_x * int(source[y, x])
                weight += along_y * along_x
                used.append(int(source[y, x]))
    value = Fraction(total, weight)
    return value if len(used) == 16 else min(max(value, Fraction(min(used))), Fraction(max(used)))


def filled(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A window whose invalid pixels hold each band's rounded mean over the valid ones."""
    result = values.copy()
    for band in range(values.shape[2]):
        known = [int(value) for value in values[..., band][valid]]
        result[..., band][~valid] = (2 * sum(known) + len(known)) // (2 * len(known))
    return result


@dataclass(frozen=True)
class Upscaled:
    """What a whole image becomes: each sample lies in `low … high`, which differ only where rounding is a tie."""

    low: np.ndarray
    high: np.ndarray
    valid: np.ndarray
    interpolated: np.ndarray

    def agrees(self, pixels: np.ndarray) -> bool:
        """Whether a target is this one."""
        return bool(((self.low <= pixels) & (pixels <= self.high)).all())


@dataclass(frozen=True)
class Rules:
    """The numbers that a model's manifest decides, and the scale."""

    window_px: int
    stride_px: int
    halo_px: int
    num: int
    den: int

    @property
    def side(self) -> int:
        """Source pixels of a window along an axis."""
        return source_side(self.window_px, self.stride_px, self.num, self.den) + 2 * self.halo_px

    def target_size(self, size_px: int) -> int:
        """Target pixels of an axis."""
        return target_size(size_px, self.num, self.den)

    def starts(self, size_px: int) -> list[int]:
        """Target positions of an axis' windows."""
        return window_starts(self.target_size(size_px), self.window_px, self.stride_px)

    def window(self, image: np.ndarray, y: int, x: int) -> np.ndarray:
        """The mirrored source window of the window at target (y, x)."""
        corner = [source_start(at, self.num, self.den) - self.halo_px for at in (y, x)]
        rows, columns = (
            [mirrored(start + i, size) for i in range(self.side)]
            for start, size in zip(corner, image.shape[:2], strict=True)
        )
        return image[np.ix_(rows, columns)]

    def over_target(self, values: np.ndarray) -> np.ndarray:
        """Each target pixel's nearest source value."""
        rows, columns = (
            [nearest(at, size, self.num, self.den) for at in range(self.target_size(size))] for size in values.shape[:2]
        )
        return values[np.ix_(rows, columns)]

    def blend(self, image: np.ndarray, valid: np.ndarray, function: LevelFunction) -> np.ndarray:
        """Every window of the image, blended with integers that cannot overflow."""
        height, width = (self.target_size(size) for size in image.shape[:2])
        rows, columns = (self.starts(size) for size in image.shape[:2])
        total = np.zeros((height, width, image.shape[2]), dtype=object)
        for i, y in enumerate(rows):
            for j, x in enumerate(columns):
                known = self.window(valid, y, x)
                if not known.any():
                    continue
                levels = function(filled(self.window(image, y, x), known), y, x).astype(object)
                along_y = np.array(axis_weights(i, len(rows), self.window_px, self.stride_px), dtype=object)
                along_x = np.array(axis_weights(j, len(columns), self.window_px, self.stride_px), dtype=object)
                products = np.multiply.outer(along_y, along_x)[..., None] * levels
                seen = total[y : y + self.window_px, x : x + self.window_px]
                seen += products[: seen.shape[0], : seen.shape[1]]
        return (total + 32768) // 65536

    def upscale(
        self, image: np.ndarray, valid: np.ndarray, ranges: list[tuple[int, int]], function: LevelFunction
    ) -> Upscaled:
        """The whole image at once; `function` yields samples that are clamped to their range already."""
        low = self.blend(image, valid, function)
        high = low.copy()
        mask = self.over_target(valid)
        limit = np.iinfo(image.dtype).max
        outside = np.stack(
            [(image[..., band] < ranges[band][0]) | (image[..., band] > ranges[band][1]) for band in range(3)], axis=-1
        )
        interpolated = self.over_target(outside) & mask[..., None]
        for y, x, band in np.argwhere(interpolated):
            exact = bicubic_sample(image[..., band], valid, (int(y), int(x)), self.num, self.den)
            bounds = [math.floor(exact + Fraction(1, 2) + margin) for margin in (-TIE, TIE)]
            low[y, x, band], high[y, x, band] = (min(limit, max(0, bound)) for bound in bounds)
        low[~mask] = high[~mask] = 0
        return Upscaled(low, high, mask, interpolated)
