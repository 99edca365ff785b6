"""The images that tables are made on: what they are called, what they show, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery import pixels as imagery_pixels
from hndsr_ensemble.training.imagery.manifest import Image, Manifest, Split
from hndsr_ensemble.training.imagery.splits import grouped

LETTERS = r"([^\W\d_]+)[^/]*$"
"""The default group: the first letters of the file's name."""
NAME_DIGITS = 12
"""Of a sha256 in an image's name."""
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
    scene: str
    """Images of one scene share ground: together they count as one observation."""
    read: Callable[[], Rgb]
    sha256: Callable[[], str]
    """Of its file, in hexadecimal; empty where there is no file."""

    @classmethod
    def of(cls, name: str, pixels: Rgb, *, group: str = OTHERS, scene: str = "") -> Truth:
        """An image that is at hand, a scene of its own unless one is given."""
        return cls(name, group, scene or name, lambda: pixels, str)


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
        return (_in_folder(folder, folder.name, grouping),)
    if not folder.is_dir():
        raise ImageFileError(path=str(folder), reason="there is no such folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return tuple(_in_folder(path, path.relative_to(folder).as_posix(), grouping) for path in paths)


def truths_of(manifest: Manifest, split: Split, grouping: Grouping) -> tuple[Truth, ...]:
    """All different contents of a split that can be measured on, by their sha256 and file names.

    So neither where the images lie nor which others there are decides about a name. Groups go by whole paths, scenes
    are what overlaps and scenes of the manifest connect.
    """
    images = sorted((one for one in manifest.images(split) if one.is_measurable), key=lambda one: one.path)
    usable = [image for image in manifest.records if image.refused is None]
    scenes = {member: min(group) for group in grouped(usable, manifest.overlaps) for member in group}
    different = {image.sha256: image for image in reversed(images)}.values()
    return tuple(_in_manifest(image, grouping, scenes[image.sha256]) for image in reversed(different))


def _in_folder(path: Path, name: str, grouping: Grouping) -> Truth:
    return Truth(name, grouping(name), name, lambda: read_rgb(str(path)), lambda: file_digest(path))


def _in_manifest(image: Image, grouping: Grouping, scene: str) -> Truth:
    name = f"{image.sha256[:NAME_DIGITS]}/{PurePosixPath(image.path).name}"
    return Truth(name, grouping(image.path), scene, lambda: read_rgb(image.path), lambda: image.sha256)


def evenly(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """At most `limit` of them, spread over all; every one where the limit is 0."""
    if not 0 < limit < len(items):
        return tuple(items)
    return tuple(items[place * len(items) // limit] for place in range(limit))


def read_rgb(path: str) -> Rgb:
    """The first three bands of an image of 8 bits a sample; a single band stands for all three.

    Raises:
        ImageFileError: it is none, or some of its pixels hold nothing.
    """
    try:
        with imagery_pixels.opened(path) as dataset:
            if dataset.dtypes[0] != "uint8":
                raise ImageFileError(path=path, reason=f"its samples are {dataset.dtypes[0]}, not of 8 bits")
            if share := imagery_pixels.invalid_share(dataset):
                raise ImageFileError(path=path, reason=f"{share:.2%} of it holds nothing; cut it to its valid part")
            return imagery_pixels.read_rgb(dataset)
    except (imagery_pixels.UndecodableError, OSError) as error:
        raise ImageFileError(path=path, reason=str(error)) from error
