"""A job that a run begins, and others go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_process import scene
from unit.client.stream_gateway import After, raising, random_mask

from hndsr_client import Client, StreamResult

SIZE = (200, 170)
SOURCE, MASK = scene(SIZE, "uint16"), random_mask(SIZE)
MODEL = {"model": "bicubic", "scale": 4}
TILES = 12
DONE = 5


class LeaveError(Exception):
    """What ends a run."""


@pytest.fixture
def sink(tmp_path: Path) -> Path:
    """A file to be made in a folder of its own."""
    (tmp_path / "made").mkdir()
    return tmp_path / "made" / "target.npy"


def files(sink: Path) -> list[str]:
    return sorted(path.name for path in sink.parent.iterdir())


def leave(client: Client, sink: Path, *, tiles: int = DONE, **options: Any) -> None:
    """Begin a job, and end when so many tiles are done."""
    with pytest.raises(LeaveError):
        client.upscale_array(
            options.pop("source", SOURCE),
            sink,
            on_progress=After(tiles, raising(LeaveError())),
            **{"mask": MASK, **MODEL, **options},
        )


def resume(client: Client, sink: Path, **options: Any) -> StreamResult:
    source = options.pop("source", SOURCE)
    return client.upscale_array(source, sink, **{"mask": MASK, **MODEL, **options})


def journal(sink: Path) -> Path:
    return sink.with_name(f"{sink.name}.hndsr-journal")


def work(sink: Path) -> Path:
    return sink.with_name(f"{sink.name}.hndsr-work")
