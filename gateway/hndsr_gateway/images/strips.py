"""Large arrays a few rows at a time, so that what is computed in between stays small."""

from __future__ import annotations

from collections.abc import Iterator

STRIP_PX = 2**20


def strips(height: int, width: int, *, multiple: int = 1) -> Iterator[slice]:
    """Rows that lie together, about `STRIP_PX` pixels at a time.

    Args:
        height: rows in all.
        width: columns.
        multiple: rows that are read or written together anyway.
    """
    rows = max(1, STRIP_PX // (width * multiple)) * multiple
    return (slice(start, min(start + rows, height)) for start in range(0, height, rows))
