"""A job that outlives its process: the target in a work file, and a journal of what of it is there."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._core.files import Destination, is_same
from hndsr_client._stream.asked import Asked, Pin
from hndsr_client._stream.form import VALID, Form
from hndsr_client._stream.journal import Entry, Header, Journal, local, published_invalid_px
from hndsr_client._stream.npy import npy_header
from hndsr_client._stream.planes import Layout, Plane
from hndsr_client._stream.scene import Scene
from hndsr_client._stream.windows import Window
from hndsr_client.errors import SourceChangedError
from hndsr_client.results import TargetTile


class Job:
    """The files of one job: at every instant, what the journal says is in the work file.

    Attributes:
        work: The target's samples, a whole .npy file when all of them are there.
        resumed_tiles: Tiles that an earlier run has left.
        resumed_invalid_px: Target pixels without a valid source among them.
        sample_checksums: CRC-32 of the samples of each tile that is there, by number.
        mask_checksums: The same of their masks, where the job has one.
    """

    def __init__(self, path: Path, asked: Asked, form: Form, *, resume: bool, published: Path | None = None) -> None:
        """Lock the job, if it was begun, and compare what it was begun for with what is asked.

        Args:
            path: Of the job, to which the kinds of its files are added.
            asked: What is asked for.
            form: How the samples lie in the work file.
            resume: Whether to go on with it.
            published: Where its work file gets another name in the end, None if it does not.

        Raises:
            JobInUseError: Another process works on it.
            JobMismatchError: It was begun for something else.
            JobError: Its journal is damaged.
            LocalFileError: Its files cannot be read.
        """
        self._paths = job_files(path)
        self._asked, self._form = asked, form
        self.resumed_tiles = self.resumed_invalid_px = 0
        self.sample_checksums: dict[int, int] = {}
        self.mask_checksums: dict[int, int] = {}
        self._work: Plane | None = None
        self._mask: Plane | None = None
        self._whole_invalid_px: int | None = None
        self._journal = Journal.opened(self._paths["journal"])
        try:
            if published is not None and resume:
                self._whole_invalid_px = published_invalid_px(self._paths["journal"], published)
            with local(path):
                is_begun = self.is_whole or _is_begun(self._paths["work"], published)
                # Nothing is lost with a journal that has no tile, and nobody is bound by what a server refused.
                is_bare = not self.is_whole and self._journal is not None and self._journal.is_bare
                self._discards = not resume or not is_begun or is_bare
            if self._journal is not None and not self._discards:
                self._journal.checked_header().check(asked, self._paths["journal"])
        except BaseException:
            self.close()
            raise

    @property
    def is_whole(self) -> bool:
        """Whether an earlier run was cut off when all that was left was to tidy up."""
        return self._whole_invalid_px is not None

    @property
    def pin(self) -> Pin | None:
        """The plan that is gone on with, None for a job that is new."""
        is_new = self._journal is None or self._discards
        return None if is_new or self._journal is None or self._journal.header is None else self._journal.header.pin

    @property
    def remedy(self) -> str:
        """What to do with a job that the server cannot go on with."""
        names = " and ".join(str(path) for path in self._paths.values() if path.exists())
        return f"to begin this job anew, pass resume=False, or remove {names}"

    @property
    def work(self) -> Plane:
        """The target's samples."""
        if self._work is None:
            raise LookupError("the job was not begun")
        return self._work

    def begin(self, scene: Scene) -> Iterator[None]:
        """Make the files, or see what of them can be gone on with, one tile at a time.

        Raises:
            SourceChangedError: The source of a tile that is done is not what it was.
            JobInUseError: Another process has begun the same job just now.
            LocalFileError: A file cannot be written, or there is no room for it.
        """
        scene.keeps_checksums = True
        if not self.is_whole:
            self._open_planes(scene)
        yield from self._verify(scene)

    def _open_planes(self, scene: Scene) -> None:
        plan, masked, form = scene.tiles.plan, scene.asked.masked, self._form
        size_px = plan.target_height_px, plan.target_width_px
        is_new = self.pin is None
        if is_new:
            self._begin_journal(Header(Pin.of(plan), size_px, *scene.tiles.edges_px, scene.asked.facts()))
        try:
            self._work = Plane(self._paths["work"], work_layout(size_px, form))
            self._mask = Plane(self._paths["mask"], Layout(size_px, 1)) if masked else None
        except BaseException:
            if is_new:
                self.remove()
            raise

    def write(self, tile: TargetTile, scene: Scene) -> None:
        """Put a tile in its place, for good, and then say so.

        Raises:
            LocalFileError: A file cannot be written.
        """
        window, number = (tile.rows, tile.columns), scene.tiles.number(tile.row, tile.column)
        samples = self._form.samples(tile.pixels, tile.mask)
        target = self.sample_checksums[number] = zlib.crc32(samples.data)
        self.work.write(window, samples)
        self.work.sync()
        if self._mask is not None:
            mask = np.full(tile.pixels.shape[:2], VALID, np.uint8)
            if tile.mask is not None:
                mask *= tile.mask
            self.mask_checksums[number] = zlib.crc32(mask.data)
            target = zlib.crc32(mask.data, target)
            self._mask.write(window, mask)
            self._mask.sync()
        if self._journal is not None:
            self._journal.add(Entry(tile.row, tile.column, scene.source_checksums[number], target))

    def pixels(self, window: Window) -> npt.NDArray[Any]:
        """What of the target lies in the work file."""
        size = [side.stop - side.start for side in window]
        return np.frombuffer(self.work.read(window), self._form.dtype).reshape(*size, self._form.bands)

    def mask(self, window: Window) -> npt.NDArray[np.bool_] | None:
        """What of the target is valid, None where no mask was given."""
        if self._mask is None:
            return None
        size = [side.stop - side.start for side in window]
        return np.frombuffer(self._mask.read(window), np.uint8).reshape(size) == VALID

    def publish(self, destination: Destination, *, invalid_px: int) -> None:
        """Let the work file become the target.

        Raises:
            DestinationError: Another file has come to exist there meanwhile and is not to be overwritten.
            LocalFileError: It cannot be named so.
        """
        self.work.sync()
        destination.publish(self.work.path)
        if self._journal is not None:
            self._journal.add_published(destination.path, invalid_px=invalid_px)

    def remove(self) -> None:
        """Forget the job: its files are gone. The journal goes last, since who holds it holds the others."""
        self._unlink_planes()
        if self._journal is not None:
            self._journal.remove()
        self.close()

    def close(self) -> None:
        """Let another process go on. Closing twice is fine."""
        for file in (self._work, self._mask, self._journal):
            if file is not None:
                file.close()

    def _begin_journal(self, header: Header) -> None:
        if self._journal is not None:
            self._journal.remove()
        self._journal = Journal.created(self._paths["journal"], header)
        self._unlink_planes()
        self._discards = False

    def _unlink_planes(self) -> None:
        for path in (self._paths["mask"], self._paths["work"]):
            with local(path):
                path.unlink(missing_ok=True)

    def _verify(self, scene: Scene) -> Iterator[None]:
        """Take for done what the journal says, and what is just that."""
        entries = {} if self._journal is None else self._journal.entries()
        for (row, column), entry in entries.items():
            number = scene.tiles.number(row, column)
            if scene.source.read(scene.tiles.source(number)).checksum != entry.source:
                raise SourceChangedError(path=self._paths["journal"], tile=(row, column))
            window = scene.tiles.target(number)
            if self.is_whole or self._is_there(number, window, entry.target):
                scene.complete(number)
                self.resumed_tiles += 1
                self.resumed_invalid_px += self._count_invalid(window)
            yield
        self.resumed_invalid_px += self._whole_invalid_px or 0

    def _is_there(self, number: int, window: Window, checksum: int) -> bool:
        samples = self.sample_checksums[number] = self.work.checksum(window)
        if self._mask is None:
            return checksum == samples
        mask = self._mask.read(window)
        self.mask_checksums[number] = zlib.crc32(mask)
        return checksum == zlib.crc32(mask, samples)

    def _count_invalid(self, window: Window) -> int:
        mask = self.mask(window)
        return 0 if mask is None else mask.size - int(np.count_nonzero(mask))


def work_layout(size_px: tuple[int, int], form: Form) -> Layout:
    """How a target lies in its work file, which is a .npy file."""
    header = npy_header((*size_px, form.bands), form.dtype)
    return Layout(size_px, form.bands * form.dtype.itemsize, header)


def job_files(path: Path) -> dict[str, Path]:
    """Where the files of a job are, by their kinds."""
    return {kind: path.with_name(f"{path.name}.hndsr-{kind}") for kind in ("journal", "work", "mask")}


def _is_begun(work: Path, published: Path | None) -> bool:
    """Whether there is anything to go on with.

    A file of two names was published by a run that was cut off before it was tidied up. Under any other name than the
    one it would get now, it is somebody's file.
    """
    return work.exists() and (work.stat().st_nlink == 1 or (published is not None and is_same(work, published)))
