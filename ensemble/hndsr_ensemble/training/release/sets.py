"""The sets of images that a release is judged on: declared by whoever releases, and never trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from hndsr_ensemble.evaluation.tables import reduce
from hndsr_ensemble.evaluation.truths import Grouping, Truth, truths_in
from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.release.gate import LEAST_IMAGES, SmallSetError


class Declared(NamedTuple):
    """A folder of images under the name that the card gives it."""

    name: str
    folder: Path


class SetNameError(TrainingError):
    """A set is declared in another form, or two have one name."""

    def __init__(self, *, text: str, reason: str) -> None:
        super().__init__(f"--set {text}: {reason}")


class SeenImageError(TrainingError):
    """An image to be judged on was trained on."""

    def __init__(self, *, name: str, image: str, count: int) -> None:
        super().__init__(f"the run was trained on {count} images of the set {name}, {image} among them")


def parse_sets(texts: Sequence[str]) -> list[Declared]:
    """Read `NAME=FOLDER`.

    Raises:
        SetNameError: a name is missing or given twice.
    """
    sets = list[Declared]()
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name.strip() and equals and folder):
            raise SetNameError(text=text, reason="write it as NAME=FOLDER")
        if name.strip() in {earlier.name for earlier in sets}:
            raise SetNameError(text=text, reason="another set has this name")
        sets.append(Declared(name.strip(), Path(folder)))
    return sets


def read_set(declared: Declared, scales: Sequence[Scale], *, trained_on: Collection[str]) -> tuple[Truth, ...]:
    """The different images of a set, each looked at before anything is computed of it.

    Equal pictures count once: twice the same difference is no second observation.

    Args:
        declared: the set.
        scales: at which every image has to be large enough.
        trained_on: sha256 of the files that the run saw.

    Raises:
        SmallSetError: it has too few.
        SeenImageError: the run was trained on some of them.
        TrainingError: an image cannot be read, or is too small.
    """
    images = truths_in(declared.folder, Grouping())
    seen = [image.name for image in images if file_digest(_path(declared.folder, image)) in trained_on]
    if seen:
        raise SeenImageError(name=declared.name, image=seen[0], count=len(seen))
    different = tuple({_content(image): image for image in reversed(images)}.values())[::-1]
    if len(different) < LEAST_IMAGES:
        raise SmallSetError(name=declared.name, images=len(different))
    for image in different:
        for scale in scales:
            reduce(image, scale)
    return different


def _path(folder: Path, image: Truth) -> Path:
    return folder if folder.is_file() else folder / image.name


def _content(image: Truth) -> bytes:
    pixels = image.read()
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
