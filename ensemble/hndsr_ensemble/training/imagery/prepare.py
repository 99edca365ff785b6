"""`hndsr-train prepare`: from folders of imagery to a manifest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.inspection import UNREADABLE, keypoints_path
from hndsr_ensemble.training.imagery.journal import JOURNAL, open_journal, read_journal
from hndsr_ensemble.training.imagery.manifest import (
    MANIFEST,
    Image,
    Manifest,
    Overlap,
    Settings,
    read_manifest,
    write_manifest,
)
from hndsr_ensemble.training.imagery.overlaps import find_overlaps
from hndsr_ensemble.training.imagery.report import report
from hndsr_ensemble.training.imagery.sources import Found, find_files
from hndsr_ensemble.training.imagery.splits import FOLDERS, NO_SCENES, assign_splits, checked, find_moves, scene_of
from hndsr_ensemble.training.imagery.workers import Workers, running_workers

KEYPOINTS: Final = "keypoints-1"
"""Folder of keypoints; its number rises with what they mean."""
READINGS: Final = 2
"""Times that images are compared; what could not be read for it is inspected anew in between."""
EPILOG: Final = """\
FOLDER gets manifest.jsonl and, beside it, what a later run need not do again: files whose size and time of change are
the same are not read a second time. A run that was killed goes on where it stopped. Images that share ground or a
scene are put into one split; those that were in one before stay there, unless groups join: then test wins over val and
val over train.
"""


class NotComparedError(TrainingError):
    """Images were not compared, since files that could be read before cannot be read again."""

    def __init__(self, *, unread: Mapping[str, str]) -> None:
        path, cause = next(iter(sorted(unread.items())))
        super().__init__(
            f"{len(unread)} files could not be read again to be compared, {path} ({cause}) among them: splits might"
            " share ground, so there is no new manifest; the same command goes on"
        )


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to a parser's."""
    parser = subparsers.add_parser(
        "prepare",
        help="make a manifest of folders of imagery",
        description="Make a manifest: what the images are, which overlap, and which split each belongs to.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="folder, file, or URL as s3://bucket/prefix")
    parser.add_argument("--into", metavar="FOLDER", type=Path, required=True, help="where the manifest goes")
    parser.add_argument(
        "--scenes",
        default=NO_SCENES,
        metavar=f"{NO_SCENES}|{FOLDERS}|REGEX",
        help="images of one scene share a split: of one folder, or with the same group of an expression over the path,"
        " which begins with the name of the source's folder"
        f" (default {NO_SCENES})",
    )
    parser.add_argument(
        "--fractions",
        type=_fractions,
        default=(0.9, 0.05, 0.05),
        metavar="TRAIN,VAL,TEST",
        help="of the images, which sum to 1 (default 0.9,0.05,0.05)",
    )
    parser.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: one per core)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the manifest and print what became of the images.

    Raises:
        TrainingError: a source, a setting or an earlier manifest is wrong.
    """
    settings = Settings(arguments.fractions, arguments.scenes)
    manifest, text = prepare(arguments.sources, arguments.into, settings=settings, workers=arguments.workers)
    sys.stdout.write(f"{text}\n\n{arguments.into / MANIFEST}: {manifest.digest[:12]}\n")
    return 0


def prepare(sources: Sequence[str], into: Path, *, settings: Settings, workers: int) -> tuple[Manifest, str]:
    """Make the manifest of all files of the sources in the folder `into`; with it, its report.

    Raises:
        SourceError: a source cannot be listed.
        SettingsError: the settings decide nothing.
        ManifestError: the folder's earlier manifest cannot be read.
        NotComparedError: files could not be read again; the next run goes on.
        WorkerDiedError: a process died; the next run goes on.
    """
    checked(settings)
    files = {found.path: found for source in sorted(sources) for found in find_files(source)}
    into.mkdir(parents=True, exist_ok=True)
    before = read_manifest(into / MANIFEST) if (into / MANIFEST).exists() else Manifest(settings, (), ())
    with running_workers(workers) as running:
        images, overlaps = _compared(files, into, before, running)
    # Other fractions are another question: what was answered before does not bind.
    bound = before.records if before.settings.fractions == settings.fractions else ()
    previous = {image.sha256: image.split for image in bound if image.split is not None}
    scenes = [replace(image, scene=scene_of(files[image.path].name, settings.scenes)) for image in images]
    placed = assign_splits(scenes, overlaps, settings, previous)
    manifest = Manifest(settings, placed, overlaps)
    write_manifest(into / MANIFEST, manifest)
    (into / JOURNAL).unlink(missing_ok=True)
    _forget_keypoints(into / KEYPOINTS, [image for image in images if image.refused is None])
    return manifest, report(manifest, find_moves(bound, placed))


def _compared(
    files: dict[str, Found], into: Path, before: Manifest, workers: Workers
) -> tuple[list[Image], tuple[Overlap, ...]]:
    """The record of every file and all overlaps: what cannot be read any more is refused before they are complete."""
    known, unread = before.overlaps, dict[str, str]()
    compared = _contents(before.records)
    for _ in range(READINGS):
        images = _inspected(files, into, before, workers, unread)
        good = [image for image in images if image.refused is None]
        known, unread = find_overlaps(good, into / KEYPOINTS, known=known, compared=compared, mapper=workers.map)
        if not unread:
            return images, known
        compared = _contents(good) - {image.sha256 for image in good if image.path in unread}
    # What the journal refuses as unreadable, the next run inspects anew.
    with open_journal(into / JOURNAL) as journal:
        for image in images:
            if image.path in unread:
                journal.append(replace(image, refused=f"{UNREADABLE}: {unread[image.path]}"))
    raise NotComparedError(unread=unread)


def _contents(images: Iterable[Image]) -> frozenset[str]:
    return frozenset(image.sha256 for image in images if image.refused is None)


def _inspected(
    files: dict[str, Found], into: Path, before: Manifest, workers: Workers, doubted: Collection[str]
) -> list[Image]:
    """The record of every file, by path: taken over where nothing has changed and it is not in doubt, else new."""
    earlier = {image.path: image for image in [*before.records, *read_journal(into / JOURNAL)]}
    current = {path for path, found in files.items() if _is_current(earlier.get(path), found, into)}
    images = {path: earlier[path] for path in current.difference(doubted)}
    missing = [found for path, found in files.items() if path not in images]
    with open_journal(into / JOURNAL) as journal:
        for image in workers.inspect(missing, into / KEYPOINTS):
            journal.append(image)
            images[image.path] = image
    return [replace(images[path], split=None, scene=None) for path in sorted(images)]


def _is_current(image: Image | None, found: Found, into: Path) -> bool:
    """Whether an earlier record still says what the file is, and its keypoints are there."""
    if image is None or not found.modified or (image.size_bytes, image.modified) != (found.size_bytes, found.modified):
        return False
    if image.refused is not None:
        return not image.refused.startswith(UNREADABLE)
    return keypoints_path(into / KEYPOINTS, image.sha256).is_file()


def _forget_keypoints(folder: Path, images: Sequence[Image]) -> None:
    """Remove the keypoints of contents that are no longer there."""
    needed = {keypoints_path(folder, image.sha256) for image in images}
    for path in folder.glob("*/*"):
        if path not in needed:
            path.unlink()


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError("three numbers with commas between, as 0.9,0.05,0.05") from error
    return train, val, test


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("a positive number")
    return count
