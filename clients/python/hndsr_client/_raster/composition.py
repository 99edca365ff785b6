"""A target's final form, made out of work files by a process of its own, so that GDAL's memory and time are its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.description import Band, Georeference, GroundPoint, Raster
from hndsr_client._raster.formats import needed_bytes
from hndsr_client._raster.vrt import WorkBand
from hndsr_client._stream.journal import local
from hndsr_client.errors import LocalFileError

__all__ = ["Composition", "WorkBand", "compose"]

NO_SPACE = "no space left on device"
_POLL_S = 0.2
_PAUSE = 10
"""Times as long as counting took, nothing is counted again: a folder of zarr may be of many files."""
# The child takes its modules from where this process does, and nothing from the folder it is started in.
_START = (
    "import sys; fd, part, *sys.path = sys.argv[1:]; from hndsr_client._raster.convert import main; main(int(fd), part)"
)


@dataclass(frozen=True)
class Composition:
    """What a target is made of."""

    raster: Raster
    bands: tuple[WorkBand, ...]
    """In the order of the target; alpha last, where its validity is "alpha"."""
    mask: WorkBand | None
    """Bytes of 0 and 255, where its validity is "mask"."""
    target: RasterTarget

    def text(self) -> str:
        """All of it, for another process."""
        return json.dumps(asdict(self), default=os.fspath)

    @classmethod
    def of(cls, text: str) -> Composition:
        """What another process has written."""
        facts = json.loads(text)
        bands = tuple(_work_band(band) for band in facts["bands"])
        mask = None if facts["mask"] is None else _work_band(facts["mask"])
        return cls(_raster(facts["raster"]), bands, mask, RasterTarget(**facts["target"]))


def compose(
    composition: Composition, part: Path, *, held: Sequence[int] = (), on_progress: Callable[[int], object]
) -> None:
    """Make the target, whole and on the disk, under a name that is not yet its own.

    Whatever happens, the child has ended when this returns, and has ended soon after this process has.

    Args:
        composition: What it is made of.
        part: The file, or folder, to make; what an earlier child has left there is removed.
        held: Descriptors, for instance of a lock, that the child keeps open as long as it lives.
        on_progress: Is told how many bytes were written, five times a second; those of many files are counted less
            often.

    Raises:
        LocalFileError: It cannot be made, or its format does not keep all that is said of it; nothing is left.
    """
    with local(part):
        remove_part(part)
    try:
        problem = _run(composition, part, held=held, on_progress=on_progress)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_part(part)
        raise
    if problem is None:
        return
    if problem == NO_SPACE:
        needed = needed_bytes(composition.raster, composition.target)
        problem = f"{NO_SPACE}, about {needed:,} bytes were needed beside the work files"
    with contextlib.suppress(OSError):
        remove_part(part)
    raise LocalFileError(path=composition.target.path, problem=problem)


def remove_part(part: Path) -> None:
    """Remove what a child has made, whole or not, with all that GDAL puts beside it meanwhile."""
    for path in [part, *_beside(part)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _beside(part: Path) -> list[Path]:
    """Its overviews, mask and statistics, of GDAL's naming."""
    begin = f"{part.name}."
    with os.scandir(part.parent) as entries:
        return [part.with_name(entry.name) for entry in entries if entry.name.startswith(begin)]


def _run(
    composition: Composition, part: Path, *, held: Sequence[int], on_progress: Callable[[int], object]
) -> str | None:
    """What went wrong in the child, if anything did."""
    written = _Written(part)
    with _child(part, held) as child:
        _tell(child, composition.text())
        while (said := _said(child)) is None:
            on_progress(written.seen())
    on_progress(written.counted())
    answer, complaints = said
    # What the system said of a write, also of one that GDAL took for done, libtiff says on its standard error alone.
    systems = re.search(r"_tiff\w+: (.+)", complaints)
    if child.returncode == 0 and systems is None:
        return None
    if NO_SPACE in complaints.lower():
        return NO_SPACE
    if child.returncode == -signal.SIGKILL:
        return "the process that writes it was killed, perhaps for want of memory; the same call again goes on"
    reason = "" if systems is None else f"{systems[1].rstrip('.').lower()}: "
    try:
        return reason + str(json.loads(answer)["problem"])
    except (ValueError, KeyError, TypeError):
        last = (complaints.strip().splitlines() or ["without a word"])[-1]
        return f"{reason}the process that writes it ended with status {child.returncode}: {last}"


def _tell(child: subprocess.Popen[str], text: str) -> None:
    # Not by communicate: tried again after a timeout, it leaves out what it had not sent.
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError), child.stdin as way:
            way.write(text)
        child.stdin = None


def _said(child: subprocess.Popen[str]) -> tuple[str, str] | None:
    """What it said until it ended, None while it goes on."""
    try:
        return child.communicate(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return None


@contextlib.contextmanager
def _child(part: Path, held: Sequence[int]) -> Iterator[subprocess.Popen[str]]:
    # The child sees the end of this pipe, which nobody writes to, when this process has ended in whatever way.
    watched, kept = os.pipe()
    try:
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", _START, str(watched), str(part.absolute()), *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(watched, *held),
                text=True,
                encoding="utf-8",
                errors="replace",
                # An interrupt of the terminal is for this process alone, which then ends the child.
                start_new_session=True,
            )
        finally:
            os.close(watched)
        try:
            yield child
        finally:
            child.kill()
            child.communicate()
    finally:
        os.close(kept)


@dataclass
class _Written:
    """The bytes of what a child makes, which do not become fewer."""

    part: Path
    size_bytes: int = 0
    due_s: float = 0.0
    """When they are counted again."""

    def seen(self) -> int:
        """How many they were when they were counted last; that takes a small part of the time alone."""
        begun_s = time.monotonic()
        if begun_s >= self.due_s:
            self.counted()
            ended_s = time.monotonic()
            self.due_s = ended_s + _PAUSE * (ended_s - begun_s)
        return self.size_bytes

    def counted(self) -> int:
        """How many they are."""
        with contextlib.suppress(OSError):
            self.size_bytes = max(self.size_bytes, sum(_size_bytes(path) for path in [self.part, *_beside(self.part)]))
        return self.size_bytes


def _size_bytes(path: str | Path) -> int:
    """Of a file, or of all in a folder; 0 of what is gone meanwhile."""
    with contextlib.suppress(OSError):
        state = os.lstat(path)
        if not stat.S_ISDIR(state.st_mode):
            return state.st_size
        with os.scandir(path) as entries:
            return sum(_size_bytes(entry.path) for entry in entries)
    return 0


def _work_band(facts: dict[str, Any]) -> WorkBand:
    return WorkBand(**{**facts, "path": Path(facts["path"])})


def _raster(facts: dict[str, Any]) -> Raster:
    georeference = facts["georeference"]
    transform = georeference["transform"]
    georeference["transform"] = None if transform is None else tuple(transform)
    georeference["points"] = tuple(GroundPoint(**point) for point in georeference["points"])
    height_px, width_px = facts["size_px"]
    facts["size_px"] = height_px, width_px
    facts["bands"] = tuple(Band(**band) for band in facts["bands"])
    return Raster(**{**facts, "georeference": Georeference(**georeference)})
