"""What the gateway does, without any transport: plan, upscale and compare images."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from hndsr_gateway.backend import TileBackend
from hndsr_gateway.caller import current_caller
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import InvalidRequestError, OverloadedError, RequestTimeoutError
from hndsr_gateway.fair_gate import FairGate, Ticket
from hndsr_gateway.fallback import NO_ANSWER, Fallbacks, Way, count_degraded
from hndsr_gateway.images.encode import check_encoding
from hndsr_gateway.images.enlarge import enlarge
from hndsr_gateway.images.picture import Encoding, Enlarged, Picture
from hndsr_gateway.images.pool import ImageWorkers
from hndsr_gateway.jobs import (
    CompareAnswer,
    Quality,
    QualityReport,
    Source,
    UpscaleAnswer,
    UpscaleRequest,
    picture_bytes,
    size_bytes,
)
from hndsr_gateway.planning import check_file_size, check_unary_size, make_plan
from hndsr_gateway.quality import BLOCK_S, check_comparable, checked_data_range, measure, measuring_time_s
from hndsr_gateway.scene_stream import Send
from hndsr_gateway.scheduling import Admission, Work
from hndsr_gateway.settings import Settings
from hndsr_gateway.streaming import SceneStreams
from hndsr_gateway.strips import StreamStart, Strip
from hndsr_gateway.telemetry.calls import current_call
from hndsr_gateway.telemetry.tracing import span
from hndsr_gateway.tiles import TileQueue
from hndsr_gateway.types import Parameters, Plan, Raster, Upscaled
from hndsr_gateway.upscaling import RasterJob, RasterUpscaler

ALONE_TIMES = 8.0
"""How many times larger the tiles of a call are that nobody else is beside."""
BASELINE = "bicubic"
"""The model that a result is measured beside."""

AnswerT = TypeVar("AnswerT")


class UpscaleService:
    """Upscales and compares images.

    Args:
        backend: runs the tiles.
        catalogue: knows the models.
        images: reads and writes image files.
        settings: limits.
    """

    def __init__(self, backend: TileBackend, catalogue: Catalogue, images: ImageWorkers, settings: Settings) -> None:
        self._images, self._settings = images, settings
        self.catalogue = catalogue
        queue = TileQueue(backend, settings)
        self._admission = Admission(settings, lambda: queue.tickets)
        catalogue.watch(queue.wake)
        self._upscaler = RasterUpscaler(queue, catalogue, settings)
        self._fallbacks = Fallbacks(self._upscaler, backend, catalogue, settings)
        self._streams = SceneStreams(queue, catalogue, settings)
        self._measuring = FairGate(1)

    async def drain(self, grace_s: float) -> None:
        """Admit nothing more, and wait up to `grace_s` for what is being worked on."""
        await asyncio.gather(self._admission.drain(grace_s), self._streams.drain(grace_s))

    def plan(
        self, size: tuple[int, int], parameters: Parameters, *, sample_type: str = "", cores: int = 0
    ) -> tuple[Plan, float]:
        """Plan an image of `size` (height, width) as a stream does; also the device time that it takes, in seconds.

        Safe to call from another thread: large plans take a while.

        Raises:
            GatewayError: as `make_plan`.
        """
        model = self.catalogue.find(parameters.model, parameters.required_revision)
        plan = make_plan(
            size,
            parameters,
            model,
            self._settings,
            sample_type=sample_type,
            cores=cores,
            tile_time_s=self._settings.stream_tile_time_s,
        )
        return plan, model.work_s(plan)

    async def upscale(self, request: UpscaleRequest, *, deadline_s: float | None = None) -> UpscaleAnswer:
        """Upscale one image that fits in memory.

        Args:
            request: what is asked for.
            deadline_s: when the caller gives up, by the monotonic clock.

        Raises:
            GatewayError: if the request cannot be served; nothing of it goes on then.
        """
        return await self._in_time(self._upscale(request, deadline_s))

    async def stream(self, start: Coroutine[Any, Any, StreamStart], strips: AsyncIterator[Strip], send: Send) -> None:
        """Upscale an image of any size, tile by tile.

        Args:
            start: reads what the caller asks for.
            strips: the tiles' sources, read no faster than tiles are done.
            send: hands an answer to the caller, and returns when the way has taken it.

        Raises:
            GatewayError: if the stream cannot be served, or its caller breaks the contract or stalls.
        """
        await self._streams.run(start, strips, send)

    async def compare(
        self, image: Source, reference: Source, *, data_range: float = 0.0, deadline_s: float | None = None
    ) -> CompareAnswer:
        """Measure how close an image is to a reference.

        Args:
            image: to be measured.
            reference: of the same size.
            data_range: span of values to measure against, 0 for that of the sample type.
            deadline_s: when the caller gives up, by the monotonic clock.

        Raises:
            GatewayError: if either cannot be read, or they cannot be compared.
        """
        return await self._in_time(self._compare(image, reference, data_range, deadline_s))

    async def _in_time(self, work: Coroutine[Any, Any, AnswerT]) -> AnswerT:
        try:
            return await asyncio.wait_for(asyncio.create_task(work), self._settings.request_timeout_s)
        except asyncio.TimeoutError as error:
            raise RequestTimeoutError from error

    async def _upscale(self, request: UpscaleRequest, deadline_s: float | None) -> UpscaleAnswer:
        ticket = self._admission.ticket(request.size_bytes, priority=request.priority, deadline_s=deadline_s)
        way = await self._expected(request, ticket)
        with self._admission.request(ticket):
            self._admission.expect(ticket, way.least_work())
            enlarged = way.upscaler.enlarged(way.parameters)
            limit_px = self._settings.max_source_px
            field = "raw" if isinstance(request.source, Raster) else "encoded"
            source = await self._read(request.source, ticket, field=field, max_px=limit_px, enlarged=enlarged)
            reference = await self._reference(request, ticket)
            made: _Made | None = None
            while made is None:
                try:
                    async with contextlib.AsyncExitStack() as held:
                        made = await self._made(request, way, source, reference=reference, ticket=ticket, held=held)
                        encoded = await self._encoded(made.target, made.encoding) if made.encoding else None
                except NO_ANSWER as error:  # noqa: PERF203 - there are three ways at most
                    if made is not None:
                        raise
                    way = await self._fallbacks.after(way, request, error)
            if way.degradation is not None:
                count_degraded(way.degradation)
            current_call().answer()
            return UpscaleAnswer(
                upscaled=replace(made.upscaled, raster=made.target.raster),
                source_format=source.format,
                format=made.encoding.format if made.encoding else None,
                encoded=encoded,
                quality=made.quality,
                latency_s=time.monotonic() - ticket.arrival_s,
                degradation=way.degradation,
            )

    async def _expected(self, request: UpscaleRequest, ticket: Ticket) -> Way:
        """The first way that may be done in time, as far as that can be told of an image that is not read yet."""
        way = await self._fallbacks.first(request)
        while True:
            try:
                self._admission.check(ticket, way.least_work())
            except OverloadedError as error:  # noqa: PERF203 - there are three ways at most
                way = await self._fallbacks.after(way, request, error)
            else:
                return way

    async def _made(
        self,
        request: UpscaleRequest,
        way: Way,
        source: Picture,
        *,
        reference: Raster | None,
        ticket: Ticket,
        held: contextlib.AsyncExitStack,
    ) -> _Made:
        """The target in one way, with a place held for what is still to be done with it."""
        with span("plan"):
            job = way.upscaler.prepare(
                source.raster,
                way.parameters,
                bands=3 if source.alpha is None else 4,
                tile_time_s=self._tile_time_s(),
            )
        encoding = request.output.encoding(source.format)
        if encoding is not None:
            dtype = source.raster.pixels.dtype
            check_encoding(encoding, dtype=dtype, masked=not source.opaque, size=job.plan.target)
        measurement = None if reference is None else self._measurement(reference, job, way)
        self._admission.expect(ticket, way.work(job, beside_s=measurement.work_s if measurement else 0.0))
        long = job.is_long or (measurement is not None and self._is_long(measurement.measuring_s))
        place = self._fallbacks.place(ticket) if way.is_here else self._admission.place(ticket, long=long)
        await held.enter_async_context(place)
        await self._pay(ticket, job.plan)
        upscaled = await way.upscaler.run(job, ticket)
        target = await asyncio.to_thread(enlarge, source, upscaled.raster, job.plan.scale)
        quality = await self._report(measurement, source, target, way, ticket) if measurement else None
        return _Made(upscaled, target, encoding, quality)

    async def _pay(self, ticket: Ticket, plan: Plan) -> None:
        """Have the caller spend a target's pixels, once for all ways to make it."""
        target_px = plan.target[0] * plan.target[1]
        if target_px > ticket.paid_px:
            await current_caller().allowance.spend_target_px(target_px - ticket.paid_px)
            ticket.paid_px = target_px

    async def _compare(
        self, image: Source, reference: Source, data_range: float, deadline_s: float | None
    ) -> CompareAnswer:
        ticket = self._admission.ticket(size_bytes(image) + size_bytes(reference), deadline_s=deadline_s)
        self._admission.check(ticket, Work(0.0))
        with self._admission.request(ticket):
            limit_px = self._settings.max_target_px
            measured = (await self._read(image, ticket, field="image", max_px=limit_px)).raster
            truth = (await self._read(reference, ticket, field="reference", max_px=limit_px)).raster
            size = (measured.height, measured.width)
            check_comparable(size, measured.pixels.dtype, truth)
            span = checked_data_range(data_range, truth.pixels.dtype)
            work_s = measuring_time_s(size)
            self._admission.expect(ticket, Work(work_s))
            async with self._admission.place(ticket, long=self._is_long(work_s)):
                return CompareAnswer(await self._measure(measured, truth, span, ticket), size)

    def _tile_time_s(self) -> float:
        """Large tiles are faster, small ones keep nobody waiting: what a call that is alone need not mind."""
        alone = self._admission.count == 1 and not self._streams.count
        return self._settings.tile_time_s * (ALONE_TIMES if alone else 1)

    def _is_long(self, measuring_s: float) -> bool:
        return measuring_s > self._settings.tile_time_s

    async def _read(
        self, image: Source, ticket: Ticket, *, field: str, max_px: int, enlarged: Enlarged | None = None
    ) -> Picture:
        try:
            if isinstance(image, Raster):
                check_unary_size((image.height, image.width), which="sent", limit_px=max_px)
                return Picture(image)
            with span("read image", {"hndsr.bytes": len(image)}):
                picture = await self._images.decode(image, max_px=max_px, enlarged=enlarged)
        except InvalidRequestError as error:
            error.field = field
            raise
        self._admission.grow(ticket, picture_bytes(picture))
        return picture

    async def _encoded(self, target: Picture, encoding: Encoding) -> bytes:
        with span("write image", {"hndsr.format": encoding.format.name}):
            encoded = await self._images.encode(target, encoding)
        check_file_size(encoded, limit_bytes=self._settings.max_message_bytes)
        return encoded

    async def _reference(self, request: UpscaleRequest, ticket: Ticket) -> Raster | None:
        if request.reference is None:
            return None
        limit_px = self._settings.max_target_px
        return (await self._read(request.reference, ticket, field="reference", max_px=limit_px)).raster

    def _measurement(self, reference: Raster, job: RasterJob, way: Way) -> _Measurement:
        parameters = replace(way.parameters, model=BASELINE, scale=str(job.plan.scale), required_revision="")
        baseline = way.upscaler.prepare(job.source, parameters, tile_time_s=self._tile_time_s())
        check_comparable(job.plan.target, job.source.pixels.dtype, reference)
        return _Measurement(baseline, reference)

    async def _report(
        self, measurement: _Measurement, source: Picture, target: Picture, way: Way, ticket: Ticket
    ) -> QualityReport:
        bicubic = await way.upscaler.run(measurement.baseline, ticket)
        baseline = await asyncio.to_thread(enlarge, source, bicubic.raster, bicubic.plan.scale)
        reference, data_range = measurement.reference, float(np.ptp(measurement.baseline.ranges, axis=1).max())
        return QualityReport(
            result=await self._measure(target.raster, reference, data_range, ticket),
            bicubic=await self._measure(baseline.raster, reference, data_range, ticket),
        )

    async def _measure(self, image: Raster, reference: Raster, data_range: float, ticket: Ticket) -> Quality:
        async with self._measuring.place(ticket, cost_s=BLOCK_S) as turn:
            ticket.begun = True
            return await measure(image, reference, data_range=data_range, pause=turn.give_way, working=ticket.working)


@dataclass(frozen=True, slots=True)
class _Made:
    """A target that is still to be encoded."""

    upscaled: Upscaled
    target: Picture
    encoding: Encoding | None
    quality: QualityReport | None


@dataclass(frozen=True, slots=True)
class _Measurement:
    """What a result is to be measured by."""

    baseline: RasterJob
    reference: Raster

    @property
    def measuring_s(self) -> float:
        """How long measuring the result and bicubic's takes, in seconds."""
        return 2 * measuring_time_s(self.baseline.plan.target)

    @property
    def work_s(self) -> float:
        """How long it takes, and bicubic before it, in seconds."""
        return self.baseline.work_s + self.measuring_s
