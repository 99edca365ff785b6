"""Which split each image belongs to: whole groups of images that share ground or a scene, by hash."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import SPLITS, Image, Overlap, Settings, Split

NO_SCENES: Final = "none"
FOLDERS: Final = "folder"
FRACTION_TOLERANCE: Final = 1e-6
STRONGEST_FIRST: Final[tuple[Split, ...]] = ("test", "val", "train")
"""Where groups join, what was held back stays held back."""


class SettingsError(TrainingError):
    """Fractions or scenes that decide nothing."""

    def __init__(self, *, setting: str, value: str, rule: str) -> None:
        super().__init__(f"--{setting} {value}: {rule}")


@dataclass(frozen=True, slots=True)
class Move:
    """An image that changed its split since the last manifest."""

    path: str
    before: Split
    after: Split


def checked(settings: Settings) -> Settings:
    """The settings, if they can be used.

    Raises:
        SettingsError: fractions do not sum to 1, or the expression for scenes has not one group.
    """
    written = ",".join(f"{fraction:g}" for fraction in settings.fractions)
    if min(settings.fractions) < 0 or abs(sum(settings.fractions) - 1) > FRACTION_TOLERANCE:
        raise SettingsError(setting="fractions", value=written, rule="they are not negative and sum to 1")
    if settings.scenes not in (NO_SCENES, FOLDERS):
        try:
            groups = re.compile(settings.scenes).groups
        except re.error as error:
            raise SettingsError(setting="scenes", value=settings.scenes, rule=f"no expression ({error})") from error
        if groups != 1:
            raise SettingsError(setting="scenes", value=settings.scenes, rule=f"one group is needed, not {groups}")
    return settings


def scene_of(name: str, scenes: str) -> str | None:
    """The scene that an image's name says it is of; None: it stands by itself.

    Args:
        name: of the image, as in `Found`.
        scenes: as in `Settings`.
    """
    if scenes == NO_SCENES:
        return None
    if scenes == FOLDERS:
        return str(PurePosixPath(name).parent)
    found = re.search(scenes, name)
    return found.group(1) if found else None


def assign_splits(
    images: Sequence[Image], overlaps: Iterable[Overlap], settings: Settings, previous: Mapping[str, Split]
) -> tuple[Image, ...]:
    """The images with their splits.

    A group is what overlaps and scenes connect. It keeps the split that its images had; where these differ, test wins
    over val and val over train. A group of new images goes by the hash of its smallest sha256. So adding images moves
    others only where it joins groups.

    Args:
        images: all of them, with their scenes; refused ones get no split.
        overlaps: between their contents.
        settings: fractions.
        previous: split of each content that had one, by its sha256.
    """
    groups = grouped([image for image in images if image.refused is None], overlaps)
    splits = {member: _split_of(group, settings, previous) for group in groups for member in group}
    return tuple(replace(image, split=None if image.refused else splits[image.sha256]) for image in images)


def find_moves(before: Iterable[Image], after: Iterable[Image]) -> list[Move]:
    """Contents whose split changed, under the path that they have now."""
    splits = {image.sha256: image.split for image in before if image.split is not None}
    return [
        Move(image.path, old, image.split)
        for image in after
        if image.split is not None and (old := splits.get(image.sha256, image.split)) != image.split
    ]


def grouped(images: Sequence[Image], overlaps: Iterable[Overlap]) -> list[set[str]]:
    """Contents that overlaps and scenes connect, by their sha256."""
    parents = {image.sha256: image.sha256 for image in images}

    def root(member: str) -> str:
        while parents[member] != member:
            parents[member] = parents[parents[member]]
            member = parents[member]
        return member

    links = [(overlap.first, overlap.second) for overlap in overlaps]
    scenes: dict[str, str] = {}
    links += [(one.sha256, scenes.setdefault(one.scene, one.sha256)) for one in images if one.scene is not None]
    for one, other in links:
        if one in parents and other in parents:
            parents[root(one)] = root(other)
    groups: dict[str, set[str]] = defaultdict(set)
    for member in parents:
        groups[root(member)].add(member)
    return list(groups.values())


def _split_of(group: set[str], settings: Settings, previous: Mapping[str, Split]) -> Split:
    held = {previous[member] for member in group if member in previous}
    if held:
        return next(split for split in STRONGEST_FIRST if split in held)
    return hashed_split(min(group), settings.fractions)


def hashed_split(sha256: str, fractions: tuple[float, float, float]) -> Split:
    """The split of a new group by its smallest sha256; one with no fraction is never chosen."""
    draw = int.from_bytes(hashlib.sha256(f"split {sha256}".encode()).digest()[:8], "big") / 2**64
    reached = 0.0
    for split, fraction in zip(SPLITS, fractions, strict=True):
        reached += fraction
        if draw < reached:
            return split
    return next(split for split, fraction in reversed(list(zip(SPLITS, fractions, strict=True))) if fraction > 0)
