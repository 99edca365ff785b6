"""What is finished of a manifest that is being made, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Final

from hndsr_ensemble.training.imagery.manifest import Image, image_of

JOURNAL: Final = "journal.jsonl"


class Journal:
    """Finished records, one a line; it is flushed after each, so only a power cut loses any."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, image: Image) -> None:
        """Keep a finished record."""
        self._file.write(f"{json.dumps(asdict(image))}\n".encode())
        self._file.flush()


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """A journal to append to, begun or continued."""
    with path.open("ab+") as file:
        if file.tell() and not _ends_a_line(file):
            file.write(b"\n")
        yield Journal(file)


def read_journal(path: Path) -> list[Image]:
    """The finished records; a line that a crash cut off is left out."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [image for image in map(_parsed, lines) if image is not None]


def _ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"


def _parsed(line: bytes) -> Image | None:
    try:
        return image_of(json.loads(line))
    except (KeyError, TypeError, ValueError):
        return None
