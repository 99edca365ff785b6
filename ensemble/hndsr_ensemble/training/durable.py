"""Files that are either the old one or the new one, whenever the machine stops, and whose turn it is to write them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: Path, *, writer: str = "unfinished") -> Iterator[Path]:
    """Yields a path to write to, which takes the place of `path` once it is on the disk.

    Processes that may write it at the same time each need a name of their own; others write over what a crash left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{writer}")
    try:
        yield beside
        synchronise(beside)
        os.replace(beside, path)  # noqa: PTH105 - atomic on every system, an existing file included
        synchronise(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole file so."""
    with replaced(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_shared(path: Path, content: bytes) -> None:
    """Write a whole file so that several processes may write at the same time: one of them comes last."""
    with replaced(path, writer=str(os.getpid())) as beside:
        beside.write_bytes(content)


@contextmanager
def locked(path: Path, busy: Exception) -> Iterator[None]:
    """Keep other processes out for a while; the lock goes with this process, however it ends.

    Args:
        path: of a folder that is there, or of a file, which is made.
        busy: what is raised where another process has the lock.
    """
    # On network file systems only what is open for writing can be locked.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(descriptor)


def synchronise(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
