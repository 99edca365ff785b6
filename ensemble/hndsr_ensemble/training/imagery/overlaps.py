"""Which images show the same ground: copies, crops of one scene, and intersecting georeferences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float32

from hndsr_ensemble.training.imagery.candidates import Candidate, Placement, find_candidates
from hndsr_ensemble.training.imagery.footprints import find_intersections
from hndsr_ensemble.training.imagery.inspection import read_keypoints
from hndsr_ensemble.training.imagery.keypoints import Keypoints
from hndsr_ensemble.training.imagery.manifest import Image, Overlap
from hndsr_ensemble.training.imagery.pixels import Piece, UndecodableError, opened, pieces_of, read_luminance
from hndsr_ensemble.training.imagery.registration import CommonGround, common_ground

KEPT_PIECES: Final = 24
"""Pieces that a process keeps decoded."""
COPY_SHARE: Final = 0.97
"""Of the smaller image in common with the larger, and of the larger with the smaller, from which they are copies."""


class Comparison(NamedTuple):
    """Two pieces of images and the placements to try."""

    first: tuple[str, Piece]
    """Path and piece."""
    second: tuple[str, Piece]
    placements: tuple[Placement, ...]


class Unread(NamedTuple):
    """Why two pieces were not compared."""

    path: str
    """Of the image that could not be read."""
    cause: str


Compared = CommonGround | Unread | None
"""What two pieces have in common, if anything."""
Mapper = Callable[[Callable[[Comparison], Compared], Sequence[Comparison]], Iterable[Compared]]
"""What runs comparisons, here or in other processes, and answers in their order."""


class Overlaps(NamedTuple):
    """What was found, and what could not be looked at."""

    found: tuple[Overlap, ...]
    unread: dict[str, str]
    """Why an image could not be read, by its path: some of its pairs were not compared."""


class _Pictures(NamedTuple):
    """Pieces of all contents, in the order in which they are numbered."""

    keypoints: list[Keypoints]
    images: list[Image]
    pieces: list[Piece]
    owners: list[int]


def find_overlaps(
    images: Sequence[Image],
    keypoints_folder: Path,
    *,
    known: Iterable[Overlap] = (),
    compared: frozenset[str] = frozenset(),
    mapper: Mapper = map,
) -> Overlaps:
    """Pairs of contents that overlap, by their sha256: enough of them to connect all that do.

    Images of the same content count once: they are equal, and no overlap is needed to say so.

    Args:
        images: those that were not refused, with their keypoints in `keypoints_folder`.
        keypoints_folder: where `inspect` put them.
        known: overlaps found before.
        compared: contents that were all compared with each other when `known` was found.
        mapper: runs comparisons.

    Raises:
        OSError, ValueError, KeyError: keypoints are missing.
    """
    contents = {image.sha256: image for image in sorted(images, key=lambda one: (one.sha256, one.path), reverse=True)}
    pairs = {(one.first, one.second): one for one in known}
    kept = {pair: one for pair, one in pairs.items() if contents.keys() >= set(pair)}
    # What a content that has gone connected may have to be connected anew.
    parted = {member for pair in pairs.keys() - kept.keys() for member in pair}
    pictures, unread = _read(contents, keypoints_folder), dict[str, str]()
    found = {(one.first, one.second): one for one in _by_pixels(pictures, compared - parted, mapper, unread)}
    footprints = {sha256: image.footprint for sha256, image in contents.items() if image.footprint is not None}
    lying = {pair: Overlap(*pair, "footprint", 0.0) for pair in find_intersections(footprints)}
    overlaps = {**lying, **kept, **found}
    return Overlaps(tuple(overlaps[pair] for pair in sorted(overlaps)), unread)


def compare(comparison: Comparison) -> Compared:
    """What two pieces have in common at the first placement that holds."""
    path = comparison.first[0]
    try:
        first = _luminance(*comparison.first)
        path = comparison.second[0]
        second = _luminance(*comparison.second)
    except (UndecodableError, OSError) as error:
        return Unread(path, str(error.__cause__ or error))
    tried = (common_ground(first, second, placement) for placement in comparison.placements)
    return next((ground for ground in tried if ground is not None), None)


@lru_cache(maxsize=KEPT_PIECES)
def _luminance(path: str, piece: Piece) -> Float32[np.ndarray, "height width"]:
    with opened(path) as dataset:
        return read_luminance(dataset, piece)[0]


def _read(contents: Mapping[str, Image], folder: Path) -> _Pictures:
    pictures = _Pictures([], [], [], [])
    for owner, sha256 in enumerate(sorted(contents)):
        image = contents[sha256]
        pieces = pieces_of(image.width_px, image.height_px)
        pictures.keypoints.extend(read_keypoints(folder, sha256))
        pictures.pieces.extend(pieces)
        pictures.images.extend([image] * len(pieces))
        pictures.owners.extend([owner] * len(pieces))
    return pictures


def _by_pixels(
    pictures: _Pictures, compared: frozenset[str], mapper: Mapper, unread: dict[str, str]
) -> Iterator[Overlap]:
    """Each overlap once; images that cannot be read go into `unread`."""
    if not pictures.owners:
        return
    owners = np.array(pictures.owners)
    fresh = np.array([image.sha256 not in compared for image in pictures.images])
    done: set[tuple[int, int]] = set()
    for candidates in find_candidates(pictures.keypoints, owners=owners, fresh=fresh):
        open_ = [one for one in candidates if _pair(one, owners) not in done]
        pairs = _grouped(open_)
        comparisons = [_comparison(pictures, group) for group in pairs]
        for group, ground in zip(pairs, mapper(compare, comparisons), strict=True):
            pair = _pair(group[0], owners)
            if isinstance(ground, Unread):
                unread[ground.path] = ground.cause
            elif ground is not None and pair not in done:
                done.add(pair)
                yield _overlap(pictures, group[0], ground)


def _pair(candidate: Candidate, owners: np.ndarray) -> tuple[int, int]:
    one, other = int(owners[candidate.first]), int(owners[candidate.second])
    return min(one, other), max(one, other)


def _grouped(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Candidates by the two pictures they compare; those that share the first are neighbours."""
    groups: dict[tuple[int, int], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.first, candidate.second].append(candidate)
    return [groups[pair] for pair in sorted(groups)]


def _comparison(pictures: _Pictures, group: Sequence[Candidate]) -> Comparison:
    first, second = (
        (pictures.images[number].path, pictures.pieces[number]) for number in (group[0].first, group[0].second)
    )
    return Comparison(first, second, tuple(candidate.placement for candidate in group))


def _overlap(pictures: _Pictures, candidate: Candidate, ground: CommonGround) -> Overlap:
    """What is in common, measured in the second's pixels, as a share of the smaller image."""
    first, second = pictures.images[candidate.first], pictures.images[candidate.second]
    reduction = pictures.pieces[candidate.first].reduction, pictures.pieces[candidate.second].reduction
    enlarged = (ground.placement.ratio * reduction[1] / reduction[0]) ** 2
    areas = first.width_px * first.height_px * enlarged, second.width_px * second.height_px
    common = ground.area_px * reduction[1] ** 2
    shas = sorted((first.sha256, second.sha256))
    share = round(min(1.0, common / min(areas)), 3)
    return Overlap(shas[0], shas[1], "copy" if common >= COPY_SHARE * max(areas) else "crop", share)
