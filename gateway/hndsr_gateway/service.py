"""What the gateway does, without any transport: plan, upscale and compare images."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TypeVar

from hndsr_gateway.backend import TileBackend
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import InvalidRequestError, RequestTimeoutError
from hndsr_gateway.images.encode import check_encoding
from hndsr_gateway.images.enlarge import enlarge
from hndsr_gateway.images.picture import Enlarged, Picture
from hndsr_gateway.images.pool import ImageWorkers
from hndsr_gateway.jobs import CompareAnswer, Quality, QualityReport, Source, UpscaleAnswer, UpscaleRequest, size_bytes
from hndsr_gateway.planning import check_unary_size, make_plan
from hndsr_gateway.quality import check_comparable, measure
from hndsr_gateway.scheduling import Admission
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import Parameters, Plan, Raster
from hndsr_gateway.upscaling import RasterJob, RasterUpscaler

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
        self._upscaler = RasterUpscaler(backend, catalogue, settings)
        self._measuring = asyncio.Semaphore(1)

    async def drain(self, grace_s: float) -> None:
        """Admit nothing more, and wait up to `grace_s` for what is being worked on."""
        await self._admission.drain(grace_s)

    def plan(
        self, size: tuple[int, int], parameters: Parameters, *, sample_type: str = "", cores: int = 0
    ) -> tuple[Plan, float]:
        """Plan an image of `size` (height, width); also the device time that it would take, in seconds.

        Safe to call from another thread: large plans take a while.

        Raises:
            GatewayError: as `make_plan`.
        """
        model = self.catalogue.find(parameters.model)
        plan = make_plan(size, parameters, model, self._settings, sample_type=sample_type, cores=cores)
        return plan, plan.windows * model.window_time_s(plan.options)

    async def upscale(self, request: UpscaleRequest) -> UpscaleAnswer:
        """Upscale one image that fits in memory.

        Raises:
            GatewayError: if the request cannot be served; nothing of it goes on then.
        """
        return await self._in_time(self._upscale(request))

    async def compare(self, image: Source, reference: Source) -> CompareAnswer:
        """Measure how close an image is to a reference.

        Raises:
            GatewayError: if either cannot be read, or they cannot be compared.
        """
        return await self._in_time(self._compare(image, reference))

    async def _in_time(self, work: Awaitable[AnswerT]) -> AnswerT:
        try:
            return await asyncio.wait_for(work, self._settings.request_timeout_s)
        except asyncio.TimeoutError as error:
            raise RequestTimeoutError from error

    async def _upscale(self, request: UpscaleRequest) -> UpscaleAnswer:
        with self._admission.request(request.size_bytes) as ticket:
            enlarged = self._upscaler.enlarged(request.parameters)
            limit_px = self._settings.max_source_px
            source = await self._read(request.source, field="encoded", max_px=limit_px, enlarged=enlarged)
            job = self._upscaler.prepare(source.raster, request.parameters)
            encoding = request.output.encoding(source.format)
            if encoding is not None:
                dtype = source.raster.pixels.dtype
                check_encoding(encoding, dtype=dtype, masked=not source.opaque, size=job.plan.target)
            measurement = await self._measurement(request, job)
            work_s = job.work_s + (measurement.baseline.work_s if measurement else 0.0)
            async with self._admission.place(ticket, work_s=work_s, long=job.is_long):
                upscaled = await self._upscaler.run(job, due_s=ticket.due_s)
                target = enlarge(source, upscaled.raster, job.plan.scale)
                quality = await self._report(measurement, source, target, ticket.due_s) if measurement else None
                encoded = await self._images.encode(target, encoding) if encoding else None
            return UpscaleAnswer(
                upscaled=replace(upscaled, raster=target.raster),
                source_format=source.format,
                format=encoding.format if encoding else None,
                encoded=encoded,
                quality=quality,
                latency_s=time.monotonic() - ticket.arrival_s,
            )

    async def _compare(self, image: Source, reference: Source) -> CompareAnswer:
        with self._admission.request(size_bytes(image) + size_bytes(reference)) as ticket:
            limit_px = self._settings.max_target_px
            measured = (await self._read(image, field="image", max_px=limit_px)).raster
            truth = (await self._read(reference, field="reference", max_px=limit_px)).raster
            size = (measured.height, measured.width)
            check_comparable(size, measured.pixels.dtype, truth)
            async with self._admission.place(ticket, work_s=0.0, long=False):
                return CompareAnswer(await self._measure(measured, truth), size)

    async def _read(self, image: Source, *, field: str, max_px: int, enlarged: Enlarged | None = None) -> Picture:
        if isinstance(image, Raster):
            check_unary_size((image.height, image.width), which="source", limit_px=max_px)
            return Picture(image)
        try:
            return await self._images.decode(image, max_px=max_px, enlarged=enlarged)
        except InvalidRequestError as error:
            error.field = field
            raise

    async def _measurement(self, request: UpscaleRequest, job: RasterJob) -> _Measurement | None:
        if request.reference is None:
            return None
        parameters = replace(request.parameters, model=BASELINE, scale=str(job.plan.scale), required_revision="")
        baseline = self._upscaler.prepare(job.source, parameters)
        limit_px = self._settings.max_target_px
        reference = (await self._read(request.reference, field="reference", max_px=limit_px)).raster
        check_comparable(job.plan.target, job.source.pixels.dtype, reference)
        return _Measurement(baseline, reference)

    async def _report(self, measurement: _Measurement, source: Picture, target: Picture, due_s: float) -> QualityReport:
        bicubic = await self._upscaler.run(measurement.baseline, due_s=due_s)
        baseline = enlarge(source, bicubic.raster, bicubic.plan.scale).raster
        return QualityReport(
            result=await self._measure(target.raster, measurement.reference),
            bicubic=await self._measure(baseline, measurement.reference),
        )

    async def _measure(self, image: Raster, reference: Raster) -> Quality:
        async with self._measuring:
            return await asyncio.to_thread(measure, image, reference)


@dataclass(frozen=True, slots=True)
class _Measurement:
    """What a result is to be measured by."""

    baseline: RasterJob
    reference: Raster
