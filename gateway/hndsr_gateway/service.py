"""What the gateway does, without any transport: plan, upscale and compare images."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from hndsr_gateway.backend import TileBackend
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import InvalidRequestError, RequestTimeoutError
from hndsr_gateway.fair_gate import FairGate, Ticket
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
from hndsr_gateway.scheduling import Admission
from hndsr_gateway.settings import Settings
from hndsr_gateway.streaming import SceneStreams
from hndsr_gateway.strips import StreamStart, Strip
from hndsr_gateway.telemetry.calls import current_call
from hndsr_gateway.telemetry.tracing import span
from hndsr_gateway.tiles import TileQueue
from hndsr_gateway.types import Parameters, Plan, Raster
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
        self._admission = Admission(settings)
        queue = TileQueue(backend, settings)
        catalogue.watch(queue.wake)
        self._upscaler = RasterUpscaler(queue, catalogue, settings)
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

    async def upscale(self, request: UpscaleRequest) -> UpscaleAnswer:
        """Upscale one image that fits in memory.

        Raises:
            GatewayError: if the request cannot be served; nothing of it goes on then.
        """
        return await self._in_time(self._upscale(request))

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

    async def compare(self, image: Source, reference: Source, *, data_range: float = 0.0) -> CompareAnswer:
        """Measure how close an image is to a reference, against a span of values; 0 for that of the sample type.

        Raises:
            GatewayError: if either cannot be read, or they cannot be compared.
        """
        return await self._in_time(self._compare(image, reference, data_range))

    async def _in_time(self, work: Awaitable[AnswerT]) -> AnswerT:
        try:
            return await asyncio.wait_for(work, self._settings.request_timeout_s)
        except asyncio.TimeoutError as error:
            raise RequestTimeoutError from error

    async def _upscale(self, request: UpscaleRequest) -> UpscaleAnswer:
        with self._admission.request(request.size_bytes) as ticket:
            enlarged = self._upscaler.enlarged(request.parameters)
            limit_px = self._settings.max_source_px
            field = "raw" if isinstance(request.source, Raster) else "encoded"
            source = await self._read(request.source, ticket, field=field, max_px=limit_px, enlarged=enlarged)
            with span("plan"):
                job = self._upscaler.prepare(
                    source.raster,
                    request.parameters,
                    bands=3 if source.alpha is None else 4,
                    tile_time_s=self._tile_time_s(),
                )
            encoding = request.output.encoding(source.format)
            if encoding is not None:
                dtype = source.raster.pixels.dtype
                check_encoding(encoding, dtype=dtype, masked=not source.opaque, size=job.plan.target)
            measurement = await self._measurement(request, job, ticket)
            work_s = job.work_s + (measurement.work_s if measurement else 0.0)
            long = job.is_long or (measurement is not None and self._is_long(measurement.measuring_s))
            async with self._admission.place(ticket, work_s=work_s, long=long):
                upscaled = await self._upscaler.run(job, ticket)
                target = await asyncio.to_thread(enlarge, source, upscaled.raster, job.plan.scale)
                quality = await self._report(measurement, source, target, ticket) if measurement else None
                encoded = await self._encoded(target, encoding) if encoding else None
            current_call().answer()
            return UpscaleAnswer(
                upscaled=replace(upscaled, raster=target.raster),
                source_format=source.format,
                format=encoding.format if encoding else None,
                encoded=encoded,
                quality=quality,
                latency_s=time.monotonic() - ticket.arrival_s,
            )

    async def _compare(self, image: Source, reference: Source, data_range: float) -> CompareAnswer:
        with self._admission.request(size_bytes(image) + size_bytes(reference)) as ticket:
            limit_px = self._settings.max_target_px
            measured = (await self._read(image, ticket, field="image", max_px=limit_px)).raster
            truth = (await self._read(reference, ticket, field="reference", max_px=limit_px)).raster
            size = (measured.height, measured.width)
            check_comparable(size, measured.pixels.dtype, truth)
            span = checked_data_range(data_range, truth.pixels.dtype)
            work_s = measuring_time_s(size)
            async with self._admission.place(ticket, work_s=work_s, long=self._is_long(work_s)):
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

    async def _measurement(self, request: UpscaleRequest, job: RasterJob, ticket: Ticket) -> _Measurement | None:
        if request.reference is None:
            return None
        parameters = replace(request.parameters, model=BASELINE, scale=str(job.plan.scale), required_revision="")
        baseline = self._upscaler.prepare(job.source, parameters, tile_time_s=self._tile_time_s())
        limit_px = self._settings.max_target_px
        reference = (await self._read(request.reference, ticket, field="reference", max_px=limit_px)).raster
        check_comparable(job.plan.target, job.source.pixels.dtype, reference)
        return _Measurement(baseline, reference)

    async def _report(
        self, measurement: _Measurement, source: Picture, target: Picture, ticket: Ticket
    ) -> QualityReport:
        bicubic = await self._upscaler.run(measurement.baseline, ticket)
        baseline = await asyncio.to_thread(enlarge, source, bicubic.raster, bicubic.plan.scale)
        reference, data_range = measurement.reference, float(np.ptp(measurement.baseline.ranges, axis=1).max())
        return QualityReport(
            result=await self._measure(target.raster, reference, data_range, ticket),
            bicubic=await self._measure(baseline.raster, reference, data_range, ticket),
        )

    async def _measure(self, image: Raster, reference: Raster, data_range: float, ticket: Ticket) -> Quality:
        async with self._measuring.place(ticket, cost_s=BLOCK_S) as turn:
            return await measure(image, reference, data_range=data_range, pause=turn.give_way)


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
