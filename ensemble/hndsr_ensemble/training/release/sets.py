"""The sets of images that a release is judged on: declared by whoever releases, and never trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hndsr_ensemble.evaluation.tables import reduce
from hndsr_ensemble.evaluation.truths import Grouping, Truth, truths_in, truths_of
from hndsr_ensemble.evaluation.unseen import require_unseen
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.release.gate import LEAST_SCENES, SmallSetError

MANIFESTS: Final = ".jsonl"
"""What a manifest's name ends in."""


class Declared(NamedTuple):
    """Images under the name that the card gives them."""

    name: str
    images: Path
    """A folder, or a manifest, whose split `test` it is."""


class SetNameError(TrainingError):
    """A set is declared in another form, or two have one name."""

    def __init__(self, *, text: str, reason: str) -> None:
        super().__init__(f"--set {text}: {reason}")


def parse_sets(texts: Sequence[str]) -> list[Declared]:
    """Read `NAME=FOLDER` or `NAME=MANIFEST`.

    Raises:
        SetNameError: a name is missing or given twice.
    """
    sets = list[Declared]()
    for text in texts:
        name, equals, images = text.partition("=")
        if not (name.strip() and equals and images):
            raise SetNameError(text=text, reason="write it as NAME=FOLDER or NAME=MANIFEST")
        if name.strip() in {earlier.name for earlier in sets}:
            raise SetNameError(text=text, reason="another set has this name")
        sets.append(Declared(name.strip(), Path(images)))
    return sets


def read_set(declared: Declared, scales: Sequence[Scale], *, seen: Collection[str]) -> tuple[Truth, ...]:
    """The different images of a set, each looked at before anything is computed of it.

    Equal pictures count once: twice the same difference is no second observation.

    Args:
        declared: the set.
        scales: at which every image has to be large enough.
        seen: sha256 of the files that the weights saw.

    Raises:
        SmallSetError: they show too few scenes.
        SeenImageError: the weights were trained on some of them.
        TrainingError: an image cannot be read, or is too small.
    """
    images = _images(declared.images)
    require_unseen(images, seen, where=f"the set {declared.name}")
    different = tuple({_content(image): image for image in reversed(images)}.values())[::-1]
    scenes = len({image.scene for image in different})
    if scenes < LEAST_SCENES:
        raise SmallSetError(name=declared.name, scenes=scenes)
    for image in different:
        for scale in scales:
            reduce(image, scale)
    return different


def _images(place: Path) -> tuple[Truth, ...]:
    if place.suffix == MANIFESTS:
        return truths_of(read_manifest(place), "test", Grouping())
    return truths_in(place, Grouping())


def _content(image: Truth) -> bytes:
    pixels = image.read()
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
