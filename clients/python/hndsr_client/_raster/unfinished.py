"""How far a raster's jobs are, and whether what their journals say is in their work files."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hndsr_client._raster.lock import Lock
from hndsr_client._raster.results import Verification
from hndsr_client._raster.vrt import WorkBand
from hndsr_client._raster.worked import read_bands
from hndsr_client._raster.works import Works
from hndsr_client._stream.job import job_files
from hndsr_client._stream.journal import Entry, Header, Journal
from hndsr_client._stream.npy import NpyReader
from hndsr_client._stream.windows import Window
from hndsr_client.errors import HndsrError, LocalFileError

_STRIP_ROWS = 256


def verify_job(path: Path, *, on_progress: Callable[[int], object]) -> Verification:
    """Compare the work file of each triple of bands with its journal; a triple that was not begun misses all tiles.

    Args:
        path: Of the job, which is where the target will appear unless the caller has named another.
        on_progress: Is told how many target pixels were read, over all triples.

    Raises:
        JobInUseError: A process is at work on it.
        LocalFileError: A journal cannot be read.
    """
    with Lock(Works(path, 1).lock_path):
        tiles, works = _extent(path)
        missing, done_px, bad = tiles * len(works.jobs), 0, set[tuple[int, int]]()
        for job in works.jobs:
            for (row, column), pixels, is_there in _entries(job):
                missing -= 1
                done_px += pixels
                if not is_there:
                    bad.add((row, column))
                on_progress(done_px)
    return Verification(path, tiles * len(works.jobs), tuple(sorted(bad)), missing, unfinished=True, lossy=False)


def _extent(path: Path) -> tuple[int, Works]:
    """How many tiles each triple has, and the jobs of all triples: the journal of the first one says both."""
    journal = Journal.opened(job_files(path)["journal"])
    if journal is None:
        raise LocalFileError(path=path, problem="its job has just ended; try again")
    with journal:
        header = journal.checked_header()
    measured = header.asked.get("measured")
    count = len(json.loads(measured)) if isinstance(measured, str) else 1
    return (len(header.rows_px) - 1) * (len(header.columns_px) - 1), Works(path, count)


def _entries(job: Path) -> Iterator[tuple[tuple[int, int], int, bool]]:
    """Of each tile that a journal takes for done: its place, how many pixels it has, and whether they are there."""
    journal = Journal.opened(job_files(job)["journal"])
    if journal is None:
        return
    with journal:
        header = journal.checked_header()
        for place, entry in journal.entries().items():
            rows = slice(*header.rows_px[entry.row : entry.row + 2])
            columns = slice(*header.columns_px[entry.column : entry.column + 2])
            pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
            yield place, pixels, _is_there(job, header, entry, (rows, columns))


def _is_there(job: Path, header: Header, entry: Entry, window: Window) -> bool:
    """Whether the samples, and the mask after them, are those of which a tile's checksum is."""
    files = job_files(job)
    try:
        checksum = 0
        with contextlib.closing(NpyReader(files["work"])) as work:
            for strip in _strips(window):
                checksum = zlib.crc32(work[strip].data, checksum)
        if header.asked.get("mask") == "given":
            mask = WorkBand(files["mask"], 0, 1, header.target_px[1])
            for strip in _strips(window):
                checksum = zlib.crc32(np.ascontiguousarray(read_bands([mask], "uint8", strip)).data, checksum)
    except (HndsrError, OSError, ValueError):
        return False
    return checksum == entry.target


def _strips(window: Window) -> Iterator[Window]:
    rows, columns = window
    for y in range(rows.start, rows.stop, _STRIP_ROWS):
        yield slice(y, min(y + _STRIP_ROWS, rows.stop)), columns
