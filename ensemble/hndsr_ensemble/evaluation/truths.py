"""The images that tables are made on: what they are called, which group they belong to, and how they are read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rasterio.enums import ColorInterp

from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import Manifest, Split
from hndsr_ensemble.training.imagery.pixels import UndecodableError, opened

LETTERS = r"([^\W\d_]+)[^/]*$"
"""The default group: the first letters of the file's name."""
OTHERS = "other"
"""The group of names that the pattern does not match."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".jp2"})

Item = TypeVar("Item")


class ImageFileError(TrainingError):
    """A file that is no image of 8 bits a sample."""

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be measured on: {reason}")


class PatternError(TrainingError):
    """A pattern for groups that is no regular expression with one group."""

    def __init__(self, *, pattern: str, reason: str) -> None:
        super().__init__(f"{pattern!r} does not tell the groups of images: {reason}")


@dataclass(frozen=True, slots=True)
class Truth:
    """An image at full resolution. It is read when its turn comes: a set may be larger than the memory."""

    name: str
    """Different from that of every other image in a set."""
    group: str
    read: Callable[[], Rgb]

    @classmethod
    def of(cls, name: str, pixels: Rgb, *, group: str = OTHERS) -> Truth:
        """An image that is at hand."""
        return cls(name, group, lambda: pixels)


@dataclass(frozen=True, slots=True)
class Grouping:
    """Sorts images into groups by their names, with a regular expression that has one group."""

    pattern: str = LETTERS

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise PatternError(pattern=self.pattern, reason=str(error)) from error
        if groups != 1:
            raise PatternError(pattern=self.pattern, reason=f"it has {groups} groups in parentheses instead of one")

    def __call__(self, name: str) -> str:
        """The group of an image."""
        found = re.search(self.pattern, name)
        return (found.group(1) or OTHERS) if found else OTHERS


def truths_in(folder: Path, grouping: Grouping) -> tuple[Truth, ...]:
    """All images below a folder, by their names there; a file is a set of one.

    Raises:
        ImageFileError: there is no such folder.
    """
    if folder.is_file():
        return (truth_at(str(folder), folder.name, grouping),)
    if not folder.is_dir():
        raise ImageFileError(path=str(folder), reason="there is no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return tuple(truth_at(str(path), path.relative_to(folder).as_posix(), grouping) for path in paths)


def truths_of(manifest: Manifest, split: Split, grouping: Grouping) -> tuple[Truth, ...]:
    """All images of a split that have 8 bits a sample, by what their paths do not share."""
    paths = sorted(image.path for image in manifest.images(split) if image.sample_type == "uint8")
    shared = len(os.path.commonpath([os.path.dirname(path) for path in paths])) + 1 if paths else 0  # noqa: PTH120 - URLs
    return tuple(truth_at(path, path[shared:], grouping) for path in paths)


def truth_at(path: str, name: str, grouping: Grouping) -> Truth:
    """The image of one file or URL."""
    return Truth(name, grouping(name), lambda: read_rgb(path))


def evenly(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """At most `limit` of them, spread over all; every one where the limit is 0."""
    if not 0 < limit < len(items):
        return tuple(items)
    return tuple(items[place * len(items) // limit] for place in range(limit))


def read_rgb(path: str) -> Rgb:
    """The first three bands of an image of 8 bits a sample; a single band stands for all three.

    Raises:
        ImageFileError: it is none.
    """
    try:
        with opened(path) as dataset:
            return _rgb(dataset, path)
    except (UndecodableError, OSError) as error:
        raise ImageFileError(path=path, reason=str(error)) from error


def _rgb(dataset: Any, path: str) -> Rgb:
    if dataset.dtypes[0] != "uint8":
        raise ImageFileError(path=path, reason=f"its samples are {dataset.dtypes[0]}, not of 8 bits")
    if dataset.colorinterp[0] == ColorInterp.palette:
        colours = dataset.colormap(1)
        table = np.array([colours.get(index, (0, 0, 0))[:3] for index in range(256)], np.uint8)
        return table[dataset.read(1)]
    bands = [1, 2, 3] if dataset.count >= 3 else [1, 1, 1]
    return np.ascontiguousarray(dataset.read(bands).transpose(1, 2, 0))
