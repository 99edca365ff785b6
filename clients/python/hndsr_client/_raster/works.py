"""The files of a raster's jobs, one job for each triple of bands, and what of the target lies where in them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from hndsr_client._raster.values import TargetForm
from hndsr_client._raster.vrt import WorkBand
from hndsr_client._stream.job import job_files, work_layout
from hndsr_client._stream.journal import Journal, count_tiles, local, published_invalid_px


class Works:
    """Where everything lies.

    Attributes:
        jobs: The path of each job, to which the kinds of its files are added.
        journals: Those of the jobs.
        lock_path: The file that is locked by who works on any of them.
    """

    def __init__(self, path: Path, count: int) -> None:
        """Name the files.

        Args:
            path: Of the first job.
            count: How many jobs there are.

        Raises:
            LocalFileError: No file can have the name.
        """
        with local(path):
            path = Path(os.path.realpath(path))
        self.jobs = [path, *(path.with_name(f"{path.name}.{number}") for number in range(2, count + 1))]
        self.journals = [job_files(job)["journal"] for job in self.jobs]
        self.lock_path = path.with_name(f"{path.name}.hndsr-lock")

    def bands(self, size_px: tuple[int, int], forms: Sequence[TargetForm]) -> tuple[WorkBand, ...]:
        """The target's bands in their order; an alpha band, the last of the first job's, is the last."""
        placed = [self._bands(job, size_px, form) for job, form in zip(self.jobs, forms, strict=True)]
        alpha = [placed[0].pop()] if forms[0].alpha else []
        return (*(band for each in placed for band in each), *alpha)

    def mask(self, size_px: tuple[int, int]) -> WorkBand:
        """The mask of the target."""
        return WorkBand(job_files(self.jobs[0])["mask"], offset_bytes=0, pixel_bytes=1, row_bytes=size_px[1])

    def size_bytes(self, size_px: tuple[int, int], forms: Sequence[TargetForm], *, masked: bool) -> int:
        """What the files take of the disk."""
        return sum(self._sizes(size_px, forms, masked=masked).values())

    def missing_bytes(self, size_px: tuple[int, int], forms: Sequence[TargetForm], *, masked: bool) -> int:
        """What of that is not there yet."""
        sizes = self._sizes(size_px, forms, masked=masked)
        return sum(max(0, size - _allocated_bytes(file)) for file, size in sizes.items())

    def is_published_as(self, target: Path) -> bool:
        """Whether an earlier run was cut off when all that was left was to tidy up."""
        return published_invalid_px(self.journals[0], target) is not None

    def add_published(self, target: Path, *, invalid_px: int) -> None:
        """Say that the target has its name."""
        journal = Journal.opened(self.journals[0])
        if journal is not None:
            with journal:
                journal.add_published(target, invalid_px=invalid_px)

    @property
    def has_tiles(self) -> bool:
        """Whether an earlier run has left anything to go on with."""
        return job_files(self.jobs[0])["work"].exists() and count_tiles(self.journals[0]) > 0

    def remove(self) -> None:
        """Remove all of them, the first job's journal last."""
        self.remove_others()
        _remove(self.jobs[0])

    def remove_others(self) -> None:
        """Remove those of the second and all further jobs, of which an earlier run may have had more."""
        first = self.jobs[0]
        pattern = re.compile(rf"({re.escape(first.name)}\.\d+)\.hndsr-(?:journal|work|mask)")
        with local(first):
            names = [pattern.fullmatch(path.name) for path in first.parent.iterdir()]
        for name in {match[1] for match in names if match is not None}:
            _remove(first.with_name(name))

    def _sizes(self, size_px: tuple[int, int], forms: Sequence[TargetForm], *, masked: bool) -> dict[Path, int]:
        sizes = {}
        for job, form in zip(self.jobs, forms, strict=True):
            files = job_files(job)
            sizes[files["work"]] = work_layout(size_px, form).size_bytes
            sizes[files["mask"]] = size_px[0] * size_px[1] if masked else 0
        return sizes

    def _bands(self, job: Path, size_px: tuple[int, int], form: TargetForm) -> list[WorkBand]:
        layout, work, item = work_layout(size_px, form), job_files(job)["work"], form.dtype.itemsize
        return [
            WorkBand(
                work,
                offset_bytes=len(layout.header) + band * item,
                pixel_bytes=layout.pixel_bytes,
                row_bytes=size_px[1] * layout.pixel_bytes,
            )
            for band in range(form.bands)
        ]


def _remove(job: Path) -> None:
    files = job_files(job)
    for kind in ("mask", "work", "journal"):
        with local(files[kind]):
            files[kind].unlink(missing_ok=True)


def _allocated_bytes(file: Path) -> int:
    try:
        return file.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
