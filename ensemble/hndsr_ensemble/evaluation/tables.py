"""Rows of methods and columns of measures, over the same images by the same protocol, bicubic always among them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from hndsr_ensemble.evaluation.degrade import reduce_bicubic, target_px
from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.measures import MEASURES, Perceptual, Result, measure
from hndsr_ensemble.evaluation.methods import BICUBIC, Bicubic, Method
from hndsr_ensemble.evaluation.metrics import BORDER_PX, Rgb
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.geometry import WindowGeometry
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError

LEAST_TARGET_PX = 48
"""Shortest side that all measures can be taken of, the border included."""
SHOWN = 10
"""Images that an error names, at most."""

ALL = frozenset(entry.name for entry in MEASURES)
Progress = Callable[[int, int], None]
"""Told after each image: how many are done, and of how many."""


class NoImagesError(TrainingError):
    """There is nothing to measure."""

    def __init__(self, *, where: str) -> None:
        super().__init__(f"there is no image to measure in {where}")


class SmallImageError(TrainingError):
    """Images whose targets are too small to be measured."""

    def __init__(self, *, sizes: Mapping[str, tuple[int, int]]) -> None:
        shown = [f"{name} is {width} × {height} px" for name, (height, width) in list(sizes.items())[:SHOWN]]
        more = f" and {len(sizes) - SHOWN} more are too small" if len(sizes) > SHOWN else ""
        super().__init__(f"{', '.join(shown)}{more} once reduced and restored; a side takes {LEAST_TARGET_PX}")


@dataclass(frozen=True, slots=True)
class Row:
    """One method and all that was measured of it; what was not measured is NaN for every image."""

    name: str
    psnr: Figure
    psnr_y: Figure
    ssim: Figure
    consistency: Figure
    high_frequency_ratio: Figure
    beyond_source: Figure
    spectrum_distance: Figure
    energy_2_4_px: Figure
    energy_4_8_px: Figure
    energy_8_16_px: Figure
    energy_16_32_px: Figure
    patch_distance: Figure
    improvement: Figure
    omission: Figure
    hallucination: Figure
    seams: Figure
    lpips: Figure

    def figure(self, measure_name: str) -> Figure:
        """One of `measures.MEASURES` by its name.

        Raises:
            KeyError: there is none of that name.
        """
        if measure_name not in ALL:
            raise KeyError(measure_name)
        figure: Figure = getattr(self, measure_name)
        return figure

    def at(self, places: Sequence[int]) -> Row:
        """Of some of the images."""
        return Row(self.name, **{name: self.figure(name).at(places) for name in _FIGURES})


_FIGURES = tuple(entry.name for entry in fields(Row) if entry.name != "name")


@dataclass(frozen=True, slots=True)
class Table:
    """Every method on every image at one scale; figures of one measure are of the same images in all rows."""

    scale: Scale
    images: tuple[str, ...]
    groups: tuple[str, ...]
    """Of each image."""
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """The row of a method.

        Raises:
            KeyError: there is no such row.
        """
        return next((row for row in self.rows if row.name == name), None) or _no_row(name, self.rows)

    def difference(self, name: str, other: str, measure_name: str) -> Figure:
        """How much more one row has than another, paired by image."""
        return self.row(name).figure(measure_name).minus(self.row(other).figure(measure_name))

    def of_group(self, group: str) -> Table:
        """The same rows on the images of one group."""
        places = [place for place, name in enumerate(self.groups) if name == group]
        return Table(
            self.scale,
            tuple(self.images[place] for place in places),
            tuple(self.groups[place] for place in places),
            tuple(row.at(places) for row in self.rows),
        )

    @property
    def scenes(self) -> int:
        """How many different scenes the images show."""
        figure = self.rows[0].psnr
        return len(set(figure.scenes)) or len(figure.values)

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the measures that any image could be measured by."""
        return tuple(name for name in _FIGURES if any(row.figure(name).measured for row in self.rows))


def measure_set(
    images: Sequence[Truth],
    methods: Iterable[Method],
    *,
    scale: Scale,
    seed: int = 0,
    measures: Collection[str] = ALL,
    window: WindowGeometry | None = None,
    perceptual: Perceptual | None = None,
    progress: Progress | None = None,
) -> Table:
    """Reduce every image, restore it by every method, and measure what came out against it.

    Every method gets the same source and the same seed for an image, and is measured on the same pixels. A measure
    that one method's result does not admit is left out for that image in all rows. Values depend on an image, never on
    its name or on which other images are measured.

    Args:
        images: the truths, with different names.
        methods: rows in their order; bicubic comes first, whether it is named or not.
        scale: from source to target.
        seed: in [0, 2³²), from which each image has its own.
        measures: names of those to take, of `MEASURES`; the others stay NaN.
        window: of the model whose seams are looked for in larger targets; without it, none are.
        perceptual: the measure `lpips`; without it, there is none.
        progress: told after each image.

    Raises:
        NoImagesError: there is no image.
        SmallImageError: an image is too small to be measured.
        ValueError: names are not distinct, or a measure is unknown.
    """
    rows = _with_bicubic(methods)
    _check(images, rows, measures)
    taken: list[list[dict[str, float]]] = [[] for _ in rows]
    for count, image in enumerate(images, start=1):
        truth, source = reduce(image, scale)
        own_seed = seed_of(truth, seed)
        for method, values in zip(rows, taken, strict=True):
            restored = method(source, scale, own_seed)
            values.append(measure(Result(restored, truth, source, scale, window, perceptual), measures))
        if progress:
            progress(count, len(images))
    names, groups = tuple(image.name for image in images), tuple(image.group for image in images)
    scenes = tuple(image.scene for image in images)
    return Table(scale, names, groups, _rows([method.name for method in rows], taken, scenes))


def reduce(image: Truth, scale: Scale) -> tuple[Rgb, Rgb]:
    """The truth, cut to what the source reaches, and the source.

    Raises:
        SmallImageError: too little would be left to measure.
    """
    whole = image.read()
    height, width = _reached(whole, scale)
    if min(height, width) < LEAST_TARGET_PX:
        raise SmallImageError(sizes={image.name: (height, width)})
    return whole[:height, :width], reduce_bicubic(whole, scale.numerator, scale.denominator)


def check_images(images: Iterable[Truth], scales: Sequence[Scale]) -> None:
    """Look at every image before anything is measured, which may take hours.

    Args:
        images: to be measured.
        scales: at which every image has to be large enough.

    Raises:
        SmallImageError: naming those that are not.
        TrainingError: an image cannot be read.
    """
    small = dict[str, tuple[int, int]]()
    for image in images:
        whole = image.read()
        least = min((_reached(whole, scale) for scale in scales), key=min)
        if min(least) < LEAST_TARGET_PX:
            small[image.name] = least
    if small:
        raise SmallImageError(sizes=small)


def _reached(whole: Rgb, scale: Scale) -> tuple[int, int]:
    """Height and width of what is made of the source of a truth."""
    height, width = (target_px(int(length / scale.fraction), scale) for length in whole.shape[:2])
    return height, width


def seed_of(truth: Rgb, seed: int) -> int:
    """An image's own seed, by its pixels: with one for all, every image would get the same noise.

    Their errors would then go together. By name, an image would get other noise where it is called otherwise.
    """
    return (seed << 32) + zlib.crc32(truth.tobytes())


def protocol(table: Table, *, seed: int) -> dict[str, str | int]:
    """What has to be known to take the same figures again."""
    return {
        "scale": str(table.scale),
        "images": len(table.images),
        "degradation": "Pillow's BICUBIC (Keys, a = −1/2), antialiased, by exactly the scale, rounded to 8 bits",
        "bicubic": "as the service's model of this name: Keys, a = −1/2, on the exact grid, mirrored at the edges",
        "truth": "the image from its top left corner, as far as whole source pixels reach",
        "data_range": "0…255",
        "rounding": "results are rounded to 8 bits before they are measured",
        "border_px": BORDER_PX,
        "border": "cut from every side before any measure but seams; of consistency, as much in source pixels",
        "seed": seed,
        "error": (
            "standard error of the mean over images, those of one scene together as one observation; of differences, "
            "of the mean of paired differences"
        ),
    }


def _with_bicubic(methods: Iterable[Method]) -> list[Method]:
    given = list(methods)
    if any(method.name == BICUBIC and not isinstance(method, Bicubic) for method in given):
        raise ValueError(f"the row {BICUBIC!r} is the baseline of this project and no other method")
    return [Bicubic(), *(method for method in given if method.name != BICUBIC)]


def _check(images: Sequence[Truth], rows: Sequence[Method], measures: Collection[str]) -> None:
    if not images:
        raise NoImagesError(where="what was given")
    for kind, names in (("images", [image.name for image in images]), ("rows", [row.name for row in rows])):
        if len(set(names)) < len(names):
            raise ValueError(f"{kind} share a name: {', '.join(sorted(names))}")
    if set(measures) - ALL:
        raise ValueError(f"unknown measures: {', '.join(sorted(set(measures) - ALL))}")


def _rows(
    names: Sequence[str], taken: Sequence[Sequence[dict[str, float]]], scenes: tuple[str, ...]
) -> tuple[Row, ...]:
    """Rows from values by row and image; what is not a number in one row counts in none."""
    dropped = {
        (place, name)
        for values in taken
        for place, found in enumerate(values)
        for name in _FIGURES
        if math.isnan(found.get(name, math.nan))
    }
    rows = []
    for row, values in zip(names, taken, strict=True):
        figures = {
            name: Figure(
                tuple(math.nan if (place, name) in dropped else found[name] for place, found in enumerate(values)),
                scenes,
            )
            for name in _FIGURES
        }
        rows.append(Row(row, **figures))
    return tuple(rows)


def _no_row(name: str, rows: Sequence[Row]) -> Row:
    raise KeyError(f"{name!r} is none of the rows {', '.join(row.name for row in rows)}")
