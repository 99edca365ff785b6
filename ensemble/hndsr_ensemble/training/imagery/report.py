"""What became of a set of images, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hndsr_ensemble.training.imagery.manifest import SPLITS, Manifest
from hndsr_ensemble.training.imagery.splits import Move


def report(manifest: Manifest, moves: Sequence[Move]) -> str:
    """Counts by split, refused and unused files by reason, copies and overlaps, and images that changed their split."""
    tables = [_splits(manifest), _refused(manifest), _left_out(manifest), _shared(manifest), _moved(moves)]
    return "\n\n".join(table for table in tables if table)


def _splits(manifest: Manifest) -> str:
    total = sum(1 for image in manifest.records if image.split is not None)
    rows = []
    for split in SPLITS:
        images = manifest.images(split)
        megapixels = sum(image.width_px * image.height_px for image in images) / 1e6
        share = len(images) / total if total else 0.0
        rows.append((split, f"{len(images)}", f"{share:.1%}", f"{megapixels:.1f}"))
    return _table(("split", "images", "share", "megapixels"), rows)


def _refused(manifest: Manifest) -> str:
    reasons = Counter(image.refused.partition(":")[0] for image in manifest.records if image.refused is not None)
    return _table(("refused", "files"), [(reason, f"{count}") for reason, count in reasons.most_common()])


def _left_out(manifest: Manifest) -> str:
    kept = [image for image in manifest.records if image.split is not None]
    reasons = (
        ("some pixels hold nothing", sum(image.invalid_share > 0 for image in kept)),
        ("samples are not of 8 bits", sum(image.sample_type != "uint8" for image in kept)),
    )
    return _table(("neither trained nor measured on", "images"), [(why, f"{count}") for why, count in reasons if count])


def _shared(manifest: Manifest) -> str:
    contents = Counter(image.sha256 for image in manifest.records if image.refused is None)
    kinds = Counter(overlap.kind for overlap in manifest.overlaps)
    rows = (
        ("files equal to another", sum(contents.values()) - len(contents)),
        ("pairs encoded again", kinds["copy"]),
        ("pairs of overlapping crops", kinds["crop"]),
        ("pairs of intersecting footprints", kinds["footprint"]),
        ("images that overlap another", len({sha for one in manifest.overlaps for sha in (one.first, one.second)})),
    )
    return _table(("shared ground", "count"), [(name, f"{count}") for name, count in rows])


def _moved(moves: Sequence[Move]) -> str:
    return _table(
        ("moved, since groups joined", "from", "to"), [(move.path, move.before, move.after) for move in moves]
    )


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Lines of columns, numbers to the right; nothing where there are no rows."""
    rows = list(rows)
    if not rows:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(heading, *rows, strict=True)]
    lines = [heading, tuple("-" * width for width in widths), *rows]
    return "\n".join("  ".join(_cells(line, widths)).rstrip() for line in lines)


def _cells(line: tuple[str, ...], widths: Sequence[int]) -> Iterable[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
