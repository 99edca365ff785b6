"""A job whose target is there already, or something else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.client.stream_gateway import After, gateway, streaming
from unit.client.stream_jobs import (
    DONE,
    MASK,
    SOURCE,
    TILES,
    files,
    journal,
    leave,
    resume,
    sink,
    work,
)

from hndsr_client import Client, DestinationError, SourceChangedError
from hndsr_client._stream.journal import Journal

__all__ = ["gateway", "sink", "streaming"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_job_that_was_published_but_not_tidied_up_is_whole(streaming: Client, sink: Path, overwrite: bool) -> None:  # noqa: FBT001
    leave(streaming, sink, tiles=TILES)
    sink.hardlink_to(work(sink))
    before = sink.stat().st_ino
    assert resume(streaming, sink, overwrite=overwrite).resumed_tiles == TILES
    assert sink.stat().st_ino == before
    assert files(sink) == ["target.npy"]


def tidied_up_but_for_the_journal(client: Client, sink: Path) -> None:
    """Leave what a run leaves that was cut off as the last thing but one was to be removed."""
    leave(client, sink, tiles=TILES)
    with Journal.opened(journal(sink)) as open_journal:
        sink.hardlink_to(work(sink))
        open_journal.add_published(sink, invalid_px=0)
    for kind in ("work", "mask"):
        sink.with_name(f"{sink.name}.hndsr-{kind}").unlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_job_that_left_its_journal_alone_is_whole(streaming: Client, sink: Path, overwrite: bool) -> None:  # noqa: FBT001
    tidied_up_but_for_the_journal(streaming, sink)
    assert resume(streaming, sink, overwrite=overwrite).resumed_tiles == TILES
    assert files(sink) == ["target.npy"]


def test_job_that_left_its_journal_alone_is_refused_when_the_source_has_changed(streaming: Client, sink: Path) -> None:
    tidied_up_but_for_the_journal(streaming, sink)
    with pytest.raises(SourceChangedError):
        resume(streaming, sink, source=SOURCE ^ 1)


def test_job_that_left_its_journal_alone_is_refused_when_it_is_to_begin_anew(streaming: Client, sink: Path) -> None:
    tidied_up_but_for_the_journal(streaming, sink)
    before = sink.read_bytes()
    with pytest.raises(DestinationError):
        resume(streaming, sink, resume=False)
    assert sink.read_bytes() == before


def test_job_does_not_take_another_file_for_its_own(streaming: Client, sink: Path) -> None:
    tidied_up_but_for_the_journal(streaming, sink)
    sink.unlink()
    sink.write_bytes(b"mine")
    with pytest.raises(DestinationError):
        resume(streaming, sink)
    assert sink.read_bytes() == b"mine"


def test_job_begins_anew_when_its_work_file_has_become_another_file(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, tiles=TILES)
    other = sink.with_name("other.npy")
    other.hardlink_to(work(sink))
    before = other.read_bytes()
    assert resume(streaming, sink).resumed_tiles == 0
    assert other.read_bytes() == before


def test_job_waits_for_a_sink_that_exists(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    sink.write_bytes(b"mine")
    with pytest.raises(DestinationError):
        resume(streaming, sink)
    assert resume(streaming, sink, overwrite=True).resumed_tiles == DONE


def test_job_survives_a_sink_that_came_meanwhile(streaming: Client, sink: Path) -> None:
    with pytest.raises(DestinationError):
        resume(streaming, sink, on_progress=After(2, lambda: sink.write_bytes(b"mine")))
    sink.unlink()
    assert resume(streaming, sink).resumed_tiles == TILES


def test_job_refuses_to_overwrite_its_mask(streaming: Client, sink: Path) -> None:
    np.save(sink, MASK)
    before = sink.read_bytes()
    with pytest.raises(DestinationError, match="is the mask itself"):
        resume(streaming, sink, mask=sink, overwrite=True)
    assert sink.read_bytes() == before
