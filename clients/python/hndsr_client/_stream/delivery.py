"""Tiles to where the caller wants them: an array, a sink, a file, by way of a job or straight."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.files import Destination, is_same
from hndsr_client._core.pixels import BANDS
from hndsr_client._core.requests import Priority, priority_message
from hndsr_client._stream.asked import Asked, Fact
from hndsr_client._stream.form import Form, WireForm
from hndsr_client._stream.job import Job, job_files
from hndsr_client._stream.journal import local, published_invalid_px
from hndsr_client._stream.npy import SUFFIX
from hndsr_client._stream.recovery import Recovery
from hndsr_client._stream.scene import Scene
from hndsr_client._stream.windows import AnySource, Source, WindowedSink, check_mask, check_sink
from hndsr_client.errors import ArgumentError, DestinationError, LocalFileError, ServiceError
from hndsr_client.results import Plan, Progress, StreamResult, TargetTile

AnyPath = str | os.PathLike[str]
AnySink = WindowedSink | str | os.PathLike[str]
"""An object, or the path of a .npy file to be made."""
OnProgress = Callable[[Progress], object]
# What a server says that cannot go on with a plan.
_REFUSALS = {"REVISION_CHANGED", "PLAN_INCOMPATIBLE"}


@dataclass(frozen=True)
class Order:
    """What is to be upscaled, and where it goes."""

    source: AnySource
    parameters: pb.UpscaleParameters
    mask: AnySource | None = None
    sink: AnySink | None = None
    mask_sink: WindowedSink | None = None
    job: AnyPath | None = None
    overwrite: bool = False
    resume: bool = True
    cores_per_tile: int | None = None
    priority: Priority | None = None
    kept: Form | None = None
    """The job's files are what is wanted: its samples are of this form, there is no sink, and they stay in the end."""
    notes: Mapping[str, Fact] = field(default_factory=dict)
    """What the job must keep to beside the parameters."""
    on_plan: Callable[[Plan], object] = lambda _: None
    """May refuse what the plan says before anything is written."""

    def scene(self, recovery: Recovery) -> Scene:
        """The image alone, for who takes its tiles by himself.

        Raises:
            ArgumentError: An argument that no request can carry.
            LocalFileError: A file cannot be read.
        """
        source = Source(self.source, self.mask)
        try:
            asked = Asked.of(source, self.parameters, cores_per_tile=self.cores_per_tile, notes=self.notes)
            return Scene(source, asked, recovery, priority_message(self.priority))
        except BaseException:
            source.close()
            raise


class Delivery(AbstractContextManager["Delivery"]):
    """One order, from its tiles to its end.

    Attributes:
        scene: The image.
    """

    def __init__(self, order: Order, recovery: Recovery) -> None:
        """Refuse what can be refused before anything is sent, and open the job.

        Raises:
            ArgumentError: An argument that no request can carry, or a sink's path that is no .npy file's.
            DestinationError: The sink's file exists and is not to be overwritten.
            JobError: The job that was begun earlier cannot be gone on with.
            LocalFileError: A file cannot be read.
        """
        self._order, self._started_s = order, time.monotonic()
        self._destination = _destination(order)
        self._job: Job | None = None
        self._sink: Any = None if self._destination is not None else order.sink
        self._mask_sink: Any = order.mask_sink
        self._made = _Made()
        self._tiles_done = self._px_done = self._invalid_px = 0
        self.scene = order.scene(recovery)
        try:
            self._open_job()
        except BaseException:
            self.scene.source.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if self._job is not None and isinstance(error, ServiceError) and error.reason in _REFUSALS:
            error.message = f"{error.message}; {self._job.remedy}"
            error.args = (error.message,)

    def close(self) -> None:
        """Close the source and let another process go on with the job."""
        self.scene.source.close()
        if self._job is not None:
            self._job.close()

    def begin(self) -> Iterator[None]:
        """Compare sinks with the plan, and make what is to be written to, step by step.

        Raises:
            ArgumentError: A sink does not take the target as it will be.
            JobError: The job that was begun earlier cannot be gone on with.
            LocalFileError: A file cannot be written, or there is no room for it.
        """
        scene, plan = self.scene, self.scene.tiles.plan
        self._order.on_plan(plan)
        size_px = plan.target_height_px, plan.target_width_px
        if self._sink is not None:
            check_sink(self._sink, size_px, scene.asked.sample_type)
        if self._mask_sink is not None:
            check_mask("mask sink", self._mask_sink, size_px)
        if self._order.sink is None and self._order.kept is None:
            self._sink = self._made.image = np.empty((*size_px, BANDS), scene.asked.sample_type)
            if scene.asked.masked and self._mask_sink is None:
                self._mask_sink = self._made.mask = np.empty(size_px, np.bool_)
        if self._job is not None:
            yield from self._job.begin(scene)
            self._invalid_px = self._job.resumed_invalid_px
        done = [number for number in range(scene.tiles.count) if scene.is_done(number)] if self._resumed else []
        self._tiles_done, self._px_done = len(done), sum(map(scene.tiles.target_px, done))

    def write(self, tile: TargetTile) -> None:
        """Take a tile.

        Raises:
            LocalFileError: A file cannot be written.
        """
        if self._job is None:
            _put(self._sink, tile.rows, tile.columns, tile.pixels)
            if self._mask_sink is not None:
                mask = np.ones(tile.pixels.shape[:2], np.bool_) if tile.mask is None else tile.mask
                _put(self._mask_sink, tile.rows, tile.columns, mask)
        else:
            self._job.write(tile, self.scene)
        self._tiles_done += 1
        self._px_done += tile.pixels.shape[0] * tile.pixels.shape[1]
        self._invalid_px += 0 if tile.mask is None else tile.mask.size - int(np.count_nonzero(tile.mask))

    def finish(self) -> Iterator[None]:
        """Bring a job's target to where it goes, step by step, and forget the job.

        Raises:
            DestinationError: The sink's file came to exist meanwhile and is not to be overwritten.
            LocalFileError: A file cannot be written.
        """
        if self._job is None or self._order.kept is not None:
            return
        if self._job.is_whole:
            self._job.remove()
            return
        if self._sink is not None or self._mask_sink is not None:
            for number in range(self.scene.tiles.count):
                self._fill(self._job, *self.scene.tiles.target(number))
                yield
        if self._destination is not None:
            self._job.publish(self._destination, invalid_px=self._invalid_px)
        self._job.remove()

    def progress(self) -> Progress:
        """How far it has come."""
        plan = self.scene.tiles.plan
        return Progress(
            tiles_done=self._tiles_done,
            tiles_total=self.scene.tiles.count,
            target_px_done=self._px_done,
            target_px_total=plan.target_height_px * plan.target_width_px,
            resumed_tiles=self._resumed,
            elapsed_s=time.monotonic() - self._started_s,
        )

    def result(self) -> StreamResult:
        """What was done."""
        summaries = self.scene.summaries
        return StreamResult(
            plan=self.scene.tiles.plan,
            tiles=self.scene.tiles.count,
            resumed_tiles=self._resumed,
            reconnections=self.scene.streams - 1,
            cache_hits=sum(summary.cache_hits for summary in summaries),
            computed_windows=sum(summary.computed_windows for summary in summaries),
            empty_windows=sum(summary.empty_windows for summary in summaries),
            out_of_range_samples=sum(summary.out_of_range_samples for summary in summaries),
            invalid_px=self._invalid_px,
            elapsed_s=time.monotonic() - self._started_s,
            image=self._made.image,
            mask=None if self._made.mask is None or self._made.mask.all() else self._made.mask,
        )

    @property
    def sample_checksums(self) -> dict[int, int]:
        """CRC-32 of the samples of each tile in the work file, by number."""
        return {} if self._job is None else self._job.sample_checksums

    @property
    def mask_checksums(self) -> dict[int, int]:
        """CRC-32 of the mask of each of them, where there is one."""
        return {} if self._job is None else self._job.mask_checksums

    @property
    def _resumed(self) -> int:
        return 0 if self._job is None else self._job.resumed_tiles

    def _open_job(self) -> None:
        path = self._order.job
        if path is None and self._destination is not None:
            path = self._destination.path
        if path is not None:
            _check_same_system(self._destination, path)
            published = None if self._destination is None else self._destination.path
            form = self._order.kept or WireForm(self.scene.asked.sample_type)
            self._job = Job(_real_path(path), self.scene.asked, form, resume=self._order.resume, published=published)
            self.scene.go_on_with(self._job.pin)

    def _fill(self, job: Job, rows: slice, columns: slice) -> None:
        if self._sink is not None:
            _put(self._sink, rows, columns, job.pixels((rows, columns)))
        if self._mask_sink is not None:
            mask = job.mask((rows, columns))
            size = rows.stop - rows.start, columns.stop - columns.start
            _put(self._mask_sink, rows, columns, np.ones(size, np.bool_) if mask is None else mask)


@dataclass
class _Made:
    """Arrays for who has no sink."""

    image: npt.NDArray[Any] | None = field(default=None)
    mask: npt.NDArray[np.bool_] | None = field(default=None)


def _put(sink: Any, rows: slice, columns: slice, pixels: npt.NDArray[Any]) -> None:
    sink[rows, columns] = pixels


def _real_path(path: AnyPath) -> Path:
    with local(path):
        return Path(os.path.realpath(path))


def _check_same_system(destination: Destination | None, job: AnyPath) -> None:
    """Refuse what could not be named in the end without copying it."""
    if destination is None:
        return
    with local(job):
        folders = [Path(os.path.realpath(path)).parent.stat().st_dev for path in (destination.path, job)]
    if folders[0] != folders[1]:
        raise LocalFileError(path=job, problem="is on another file system than the sink; name a job beside the sink")


def npy_destination(
    sink: AnyPath,
    *,
    source: AnyPath | None,
    mask: object = None,
    job: AnyPath | None = None,
    resume: bool = True,
    overwrite: bool = False,
) -> Destination:
    """A .npy file to be made by a job; one that was cut off may have made it, and not have tidied up yet.

    Raises:
        ArgumentError: The extension is another.
        DestinationError: It exists and `overwrite` is not set, or it is the source or the mask itself.
        LocalFileError: It cannot be made.
    """
    if Path(sink).suffix.lower() != SUFFIX:
        raise ArgumentError(f"{os.fspath(sink)}: the sink's extension says no format, accepted is {SUFFIX}")
    if isinstance(mask, (str, os.PathLike)) and is_same(Path(mask), Path(sink)):
        raise DestinationError(path=sink, problem="is the mask itself; name another destination")
    files, target = job_files(_real_path(sink if job is None else job)), _real_path(sink)
    is_whole = published_invalid_px(files["journal"], target) is not None
    work = target if is_whole else files["work"]
    return Destination(sink, source=source, overwrite=overwrite, work=work if resume else None)


def _destination(order: Order) -> Destination | None:
    if not isinstance(order.sink, (str, os.PathLike)):
        return None
    source = order.source if isinstance(order.source, (str, os.PathLike)) else None
    return npy_destination(
        order.sink, source=source, mask=order.mask, job=order.job, resume=order.resume, overwrite=order.overwrite
    )
