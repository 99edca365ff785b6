"""A raster upscaled into another: measured, upscaled triple by triple, written, checked, and only then named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from hndsr_client._core.parameters import UpscaleParameters, build_parameters
from hndsr_client._raster.composition import Composition, compose
from hndsr_client._raster.description import Raster
from hndsr_client._raster.formats import check_target, format_of, is_lossless, needed_bytes
from hndsr_client._raster.lock import Lock
from hndsr_client._raster.order import RasterOrder
from hndsr_client._raster.place import Place
from hndsr_client._raster.reading import Reading, spans_of
from hndsr_client._raster.record import RECORD_TAG, made_record
from hndsr_client._raster.results import RasterProgress, RasterResult, Stage
from hndsr_client._raster.space import check_space
from hndsr_client._raster.verify import verify
from hndsr_client._raster.works import Works
from hndsr_client._stream.asked import Fact
from hndsr_client._stream.delivery import Delivery, Order
from hndsr_client._stream.journal import begun_for
from hndsr_client._stream.recovery import Recovery
from hndsr_client.errors import AnswerError, DestinationError, JobMismatchError, LocalFileError
from hndsr_client.results import Plan, Progress, StreamResult

OnRasterProgress = Callable[[RasterProgress], object]


class RasterJob(AbstractContextManager["RasterJob"]):
    """One order, from the first look at the source to the end.

    The steps are `measure`, then each delivery of `deliveries` in its order, then `write`; each may take long, tells
    how it comes along, and can be gone on with by another process.

    Attributes:
        reading: The source.
    """

    def __init__(self, order: RasterOrder, on_progress: OnRasterProgress) -> None:
        """Refuse what can be refused before anything is sent, and lock the job.

        Raises:
            ArgumentError: A choice that does not go with the source or the format.
            DestinationError: The target exists and is not to be overwritten, or it is a part of the source.
            JobInUseError: Another process works on it.
            LocalFileError: A file cannot be read or written.
        """
        self._order, self._started_s, self._on_progress = order, time.monotonic(), on_progress
        self._format = format_of(order.target)
        self._plans: list[Plan] = []
        self._results: list[StreamResult] = []
        self._checksums: list[dict[int, int]] = []
        self._masks: dict[int, int] = {}
        self._tiles_done = self._resumed_tiles = 0
        with ExitStack() as stack:
            self.reading = stack.enter_context(Reading(order.source, lossy=not is_lossless(order.target)))
            check_target(self.reading.target(scale=Fraction(4), size_px=(1, 1), tags={}), order.target)
            self._place = Place(order.target, self._format, files=self.reading.files)
            self._works = Works(self._place.path if order.job is None else Path(order.job), len(self.reading.triples))
            self._check_place()
            self._locks = [stack.enter_context(Lock(path)) for path in self._lock_paths]
            self._place.restore()
            self._check_place(locked=True)
            self._resumes = order.resume and self._works.has_tiles
            self._stack = stack.pop_all()

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the source and let another process go on."""
        self._stack.close()

    @property
    def plan_arguments(self) -> dict[str, Any] | None:
        """What a server is to be asked, which may refuse it, before all of the source is read; None if it is not."""
        if self._noted is not None or not self.reading.measured_px:
            return None
        return self._order.plan_arguments(self.reading.sample_type)

    def measure(self) -> None:
        """Know the value ranges: from an earlier run, or by reading all of the source.

        Raises:
            LocalFileError: The source cannot be read.
            JobMismatchError: The earlier run was begun for something else.
            ArgumentError: Outliers make the steps between values too coarse.
        """
        noted = self._noted
        if noted is None:
            self._resumes = False
            self._works.remove_others()
            spans = self.reading.measure(lambda done, total: self._tell("measuring", done, total))
        else:
            spans = spans_of(noted["measured"])
        self.reading.settle(spans)

    @cached_property
    def _noted(self) -> dict[str, Fact] | None:
        """What the first journal says that can be gone on with, None where there is nothing to go on with."""
        notes = [begun_for(journal) if self._resumes else None for journal in self._works.journals]
        if notes[0] is None:
            return None
        for index, (journal, noted) in enumerate(zip(self._works.journals, notes, strict=True)):
            for what, asked in self.reading.choices(index).items():
                if noted is not None and noted.get(what) != asked:
                    raise JobMismatchError(path=journal, what=what, journal=noted.get(what), asked=asked)
        return notes[0]

    def deliveries(self, recovery: Callable[[], Recovery]) -> Iterator[Callable[[], Delivery]]:
        """What makes the delivery of each triple of bands, once that of the one before was run to its end."""
        for index in range(len(self.reading.triples)):
            yield partial(self._delivery, index, recovery)

    def tell_tiles(self, progress: Progress) -> None:
        """Say how far the present triple has come."""
        count, before = len(self.reading.triples), len(self._results)
        self._tiles_done = before * progress.tiles_total + progress.tiles_done
        self._resumed_tiles = sum(one.resumed_tiles for one in self._results) + progress.resumed_tiles
        done = before * progress.target_px_total + progress.target_px_done
        self._tell("upscaling", done, count * progress.target_px_total)

    def add(self, delivery: Delivery) -> None:
        """Take a triple that is done."""
        self._results.append(delivery.result())
        self._checksums.append(delivery.sample_checksums)
        self._masks = self._masks or delivery.mask_checksums

    def write(self) -> None:
        """Make the target of the work files, check it, give it its name, and forget the job.

        Raises:
            DestinationError: Another came to exist under its name meanwhile.
            LocalFileError: It cannot be written, or is not what was made; the job can be gone on with.
            SourceChangedError: The source was changed since it was opened.
        """
        self.reading.dataset.check_unchanged()
        composition = self._composition()
        total_px = composition.raster.size_px[0] * composition.raster.size_px[1]
        try:
            compose(
                composition,
                self._place.part,
                held=[lock.descriptor for lock in self._locks],
                on_progress=lambda done: self._tell("writing", done, None),
            )
            checked = verify(self._place.part, on_progress=lambda px: self._tell("checking", px, total_px))
            if not checked.ok:
                raise LocalFileError(path=self._place.part, problem="what was written is not what was made; try again")
            # Said before it is done, so that a run that is killed in between leaves nothing that looks unfinished.
            self._works.add_published(self._place.part, invalid_px=self._invalid_px)
            self._place.publish()
        finally:
            self._place.discard()
        self._works.remove()

    def result(self) -> RasterResult:
        """What was done."""
        plan, results = self._plans[0], self._results
        return RasterResult(
            path=self._place.path,
            format=self._format,
            height_px=plan.target_height_px,
            width_px=plan.target_width_px,
            bands=sum(len(triple.channels) for triple in self.reading.triples),
            dtype=self.reading.dtype,
            model=plan.model,
            revision=plan.revision,
            ranges=self.reading.ranges,
            tiles=sum(one.tiles for one in results),
            resumed_tiles=sum(one.resumed_tiles for one in results),
            out_of_range_samples=sum(one.out_of_range_samples for one in results),
            invalid_px=self._invalid_px,
            reconnections=sum(one.reconnections for one in results),
            cache_hits=sum(one.cache_hits for one in results),
            computed_windows=sum(one.computed_windows for one in results),
            empty_windows=sum(one.empty_windows for one in results),
            size_bytes=self._place.size_bytes,
            elapsed_s=time.monotonic() - self._started_s,
        )

    @property
    def _invalid_px(self) -> int:
        return max(one.invalid_px for one in self._results)

    @property
    def _lock_paths(self) -> list[Path]:
        """One of the target, and one of the job if that is elsewhere."""
        return list(dict.fromkeys((self._place.lock_path, self._works.lock_path)))

    def _check_place(self, *, locked: bool = False) -> None:
        try:
            self._place.check()
        except DestinationError:
            with ExitStack() as stack, suppress(LocalFileError):
                for path in () if locked else self._lock_paths:
                    stack.enter_context(Lock(path))
                self._tidy_up()
            raise

    def _tidy_up(self) -> None:
        """End what an earlier run has begun to end: the target has its name."""
        if self._works.is_published_as(self._place.path):
            self._place.tidy()
            self._works.remove()

    def _delivery(self, index: int, recovery: Callable[[], Recovery]) -> Delivery:
        return Delivery(self._stream_order(index), recovery())

    def _stream_order(self, index: int) -> Order:
        source = self.reading.source(index)
        return Order(
            source=source,
            mask=source.mask,
            parameters=build_parameters(**self._parameters(index)),
            job=self._works.jobs[index],
            resume=self._resumes,
            cores_per_tile=self._plans[0].cores_per_tile if self._plans else self._order.cores_per_tile,
            priority=self._order.priority,
            kept=self.reading.form(index),
            notes=self.reading.notes(index),
            on_plan=self._take_plan,
        )

    def _parameters(self, index: int) -> UpscaleParameters:
        """Those of the first plan for all triples, whatever the server's defaults and models are by then."""
        parameters = self._order.parameters.copy()
        parameters["value_ranges"] = self.reading.value_ranges(index)
        if self._plans:
            plan, options = self._plans[0], self._plans[0].options
            parameters |= {"model": plan.model, "required_revision": plan.revision}
            parameters |= {"steps": options.steps, "texture": options.texture, "seed": options.seed}
        return parameters

    def _take_plan(self, plan: Plan) -> None:
        """Refuse what has no room before anything is written."""
        if self._plans and plan.row_spans + plan.column_spans != self._plans[0].row_spans + self._plans[0].column_spans:
            raise AnswerError("the server cuts the next bands otherwise than the first; begin anew")
        if not self._plans:
            raster = self._target_raster(plan)
            check_target(raster, self._order.target)
            check_space(
                target=self._place.path,
                target_bytes=needed_bytes(raster, self._order.target),
                work=self._works.jobs[0],
                work_bytes=self._works.missing_bytes(
                    raster.size_px, self.reading.forms(), masked=self.reading.is_masked
                ),
            )
        self._plans.append(plan)

    def _target_raster(self, plan: Plan) -> Raster:
        size_px = plan.target_height_px, plan.target_width_px
        return self.reading.target(scale=plan.scale, size_px=size_px, tags=target_tags(plan))

    def _composition(self) -> Composition:
        plan = self._plans[0]
        raster = self._target_raster(plan)
        lossless = is_lossless(self._order.target)
        has_mask = raster.validity == "mask"
        masks = self._masks if has_mask else None
        record = made_record(self._plans, self.reading.triples, self._checksums, masks=masks, lossless=lossless)
        return Composition(
            raster=replace(raster, tags={**raster.tags, RECORD_TAG: record.text()}),
            bands=self._works.bands(raster.size_px, self.reading.forms()),
            mask=self._works.mask(raster.size_px) if has_mask else None,
            target=self._order.target,
        )

    def _tell(self, stage: Stage, done: int, total: int | None) -> None:
        tiles = len(self.reading.triples) * _tiles(self._plans[0]) if self._plans else 0
        elapsed_s = time.monotonic() - self._started_s
        self._on_progress(RasterProgress(stage, done, total, self._tiles_done, tiles, self._resumed_tiles, elapsed_s))


def target_tags(plan: Plan) -> dict[str, str]:
    """What a target's own tags say of how it was made."""
    options = {"STEPS": plan.options.steps, "TEXTURE": plan.options.texture, "SEED": plan.options.seed}
    facts = {"SCALE": str(plan.scale), "MODEL": plan.model, "REVISION": plan.revision}
    facts |= {name: str(value) for name, value in options.items() if value is not None}
    return {f"HNDSR_{name}": value for name, value in facts.items()}


def _tiles(plan: Plan) -> int:
    return len(plan.row_spans) * len(plan.column_spans)
