"""Which images weights have seen, those that they began with included: they must not be measured on them.

A run's folder and a released repository keep it in one small file: a line that says whether it lists all, then one
sha256 of an image's file a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hndsr_ensemble.release import SEEN as SEEN_OF_REPOSITORY
from hndsr_ensemble.training.durable import write_text
from hndsr_ensemble.training.errors import TrainingError

SEEN: Final = "seen.txt"
"""In a run's folder."""
COMPLETE, INCOMPLETE = "# complete", "# incomplete: "
DIGEST = re.compile(r"[0-9a-f]{64}")


class SeenFileError(TrainingError):
    """A list of seen images is damaged."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(f"{path} is no list of sha256, one a line; restore it, or remove it to have it unknown")


@dataclass(frozen=True)
class Seen:
    """What weights were fitted to, as far as it is known."""

    images: frozenset[str] = frozenset()
    """sha256 of files, in hexadecimal."""
    gap: str = ""
    """Why there may be more; empty where there are not."""

    @property
    def is_complete(self) -> bool:
        """Whether the weights have seen nothing else."""
        return not self.gap

    def also(self, images: Iterable[str]) -> Seen:
        """The same with more images."""
        return Seen(self.images | set(images), self.gap)


def read_seen(folder: Path) -> Seen:
    """What the weights of a run's folder, of its `weights` folder, or of a model repository have seen.

    Raises:
        SeenFileError: the list is damaged.
    """
    places = [folder / SEEN, folder / SEEN_OF_REPOSITORY]
    if folder.resolve().name == "weights":
        places.append(folder.resolve().parent / SEEN)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return Seen(gap=f"{folder.name} does not say what its weights have seen")
    first, *digests = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    if not (first == COMPLETE or first.startswith(INCOMPLETE)) or not all(map(DIGEST.fullmatch, digests)):
        raise SeenFileError(path=path)
    return Seen(frozenset(digests), first.removeprefix(COMPLETE).removeprefix(INCOMPLETE))


def write_seen(path: Path, seen: Seen) -> None:
    """Write a list."""
    first = COMPLETE if seen.is_complete else INCOMPLETE + " ".join(seen.gap.split())
    write_text(path, "".join(f"{line}\n" for line in [first, *sorted(seen.images)]))
