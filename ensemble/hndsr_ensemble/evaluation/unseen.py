"""Whether weights have seen the images that they are to be measured on, or the ground that these show."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.training.config import read_config
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import MANIFEST, Manifest, read_manifest
from hndsr_ensemble.training.imagery.splits import grouped
from hndsr_ensemble.training.seen import Seen, read_seen


class SeenImageError(TrainingError):
    """An image to be measured on was trained on."""

    def __init__(self, *, where: str, image: str, count: int) -> None:
        super().__init__(
            f"the weights were trained on {count} images of {where}, {image} among them, or on the ground that they "
            "show; measure on others"
        )


def require_unseen(images: Sequence[Truth], seen: Collection[str], *, where: str) -> None:
    """Check that weights have not seen any of the images.

    Args:
        images: to be measured on.
        seen: sha256 of files.
        where: the images are from, in words.

    Raises:
        SeenImageError: some are among them.
    """
    found = [image.name for image in images if seen and image.sha256() in seen]
    if found:
        raise SeenImageError(where=where, image=found[0], count=len(found))


def seen_by(weights: Path, listed: Manifest | None = None) -> Seen:
    """What weights have seen, and all that shares ground or a scene with it as far as manifests know.

    Args:
        weights: a run's folder, its folder of weights, or a model repository.
        listed: a manifest of what is to be measured on, beside the run's own.

    Raises:
        TrainingError: a file of the run is damaged.
    """
    seen, own = read_seen(weights), run_manifest(weights)
    if own is not None:
        seen = seen.also(image.sha256 for image in own.images("train"))
    for manifest in (own, listed):
        if manifest is not None:
            seen = seen.also(_connected(seen.images, manifest))
    return seen


def run_manifest(weights: Path) -> Manifest | None:
    """The images that a run was given: its own copy of their manifest, or the file that it names if it still is that.

    Args:
        weights: a run's folder, or its folder of weights; None comes of anything else.

    Raises:
        TrainingError: the run's copy is damaged.
    """
    folder = weights.resolve()
    run = folder.parent if folder.name == "weights" else folder
    if (run / MANIFEST).is_file():
        return read_manifest(run / MANIFEST)
    try:
        digest = json.loads((run / "run.json").read_text(encoding="utf-8"))["manifest_digest"]
        manifest = read_manifest(read_config(run / "config.toml").data.manifest)
    except (OSError, ValueError, KeyError, TypeError, TrainingError):
        return None
    return manifest if manifest.digest == digest else None


def in_words(seen: Seen) -> str:
    """What is known, once none of it was found among the images."""
    known = f"None of them is among the {len(seen.images):,} that the weights have seen or that share ground with those"
    if seen.is_complete:
        return f"{known}."
    if seen.images:
        return f"{known}, as far as that is known: {seen.gap}."
    return f"Whether the weights have seen them cannot be checked: {seen.gap}."


def _connected(seen: Collection[str], manifest: Manifest) -> set[str]:
    """Contents of all groups that hold one of those that were seen."""
    usable = [image for image in manifest.records if image.refused is None]
    groups = grouped(usable, manifest.overlaps)
    return {member for group in groups if not group.isdisjoint(seen) for member in group}
