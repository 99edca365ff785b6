"""Lesser answers for callers who rather have one than none: the prior alone, then bicubic interpolation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from hndsr_gateway.backend import TileBackend
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import BackendMismatchError, GatewayError, NotFiniteError, OverloadedError, UnavailableError
from hndsr_gateway.fair_gate import FairGate, Ticket
from hndsr_gateway.interpolating import MODEL, InterpolatingBackend
from hndsr_gateway.jobs import Degradation, UpscaleRequest
from hndsr_gateway.planning import checked_options, checked_scale
from hndsr_gateway.scheduling import Work
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.telemetry.calls import current_call
from hndsr_gateway.tiles import TileQueue
from hndsr_gateway.types import Parameters
from hndsr_gateway.upscaling import RasterJob, RasterUpscaler

logger = logging.getLogger(__name__)

NO_ANSWER = (UnavailableError, NotFiniteError, BackendMismatchError, OverloadedError)
"""Why a model may give no answer where a lesser one can: no fault of the request, nor a deadline that has passed."""
PLACES = 2
"""Images that are interpolated here at once, beside those that the models work on."""
RETRY_S = 5.0
"""How long nobody asks again for interpolation that failed its probe."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an answer may be made: what is asked for, who runs it, and what it is less than."""

    parameters: Parameters
    upscaler: RasterUpscaler
    degradation: Degradation | None = None
    is_here: bool = False
    """Whether it takes this process alone, and so is not behind those who wait for the models."""

    def least_work(self) -> Work:
        """What an image takes that is not read yet, if it is a small one.

        Raises:
            GatewayError: as `RasterUpscaler.least_work`.
        """
        return self._as_it_waits(self.upscaler.least_work(self.parameters))

    def work(self, job: RasterJob, *, beside_s: float) -> Work:
        """What a job takes, and so many seconds for what is done with it beside."""
        return self._as_it_waits(self.upscaler.work(job, beside_s=beside_s))

    def _as_it_waits(self, work: Work) -> Work:
        return replace(work, model="") if self.is_here else work


class Fallbacks:
    """Finds the next way to an answer where one has failed.

    From what is asked for it goes to the same model without diffusion steps, if it draws and is served; then to bicubic
    interpolation in this process, since Triton itself may be gone.

    Args:
        upscaler: of the backend.
        backend: runs what is asked for.
        catalogue: knows its models.
        settings: `fallback`, and limits.
    """

    def __init__(
        self, upscaler: RasterUpscaler, backend: TileBackend, catalogue: Catalogue, settings: Settings
    ) -> None:
        self._upscaler, self._backend, self._catalogue = upscaler, backend, catalogue
        self._is_on = settings.fallback == "auto"
        interpolating, alone = InterpolatingBackend(settings.repository), {"max_inflight_tiles": 1}
        self._interpolation = Catalogue(interpolating, default_model=MODEL)
        queue = TileQueue(interpolating, settings.model_copy(update=alone))
        self._interpolator = RasterUpscaler(queue, self._interpolation, settings)
        self._places = FairGate(PLACES, queue="request")
        self._probing: asyncio.Task[None] | None = None
        self._retry_s = time.monotonic()

    async def first(self, request: UpscaleRequest) -> Way:
        """What is asked for; while nothing is served, the last way of all.

        Raises:
            GatewayError: if the model is not served and there is no other way.
        """
        way = Way(request.parameters, self._upscaler)
        try:
            self._catalogue.find(request.parameters.model)
        except UnavailableError as error:
            return await self.after(way, request, error)
        return way

    async def after(self, way: Way, request: UpscaleRequest, error: GatewayError) -> Way:
        """The way to try next.

        Args:
            way: that failed.
            request: what is asked for.
            error: what it failed with, one of `NO_ANSWER`.

        Raises:
            GatewayError: what the first way failed with, if no other is left or none is wanted.
        """
        if not (self._is_on and request.allow_degraded) or request.parameters.required_revision:
            raise error
        degradation = way.degradation or self._degradation(request.parameters, error)
        if way.degradation is None and self._may_draw_less(request.parameters, degradation):
            options = replace(request.parameters.options, steps=0)
            return self._told(Way(replace(request.parameters, options=options), self._upscaler, degradation))
        if way.is_here:
            raise degradation.error from error
        return self._told(await self._interpolated(request.parameters, degradation))

    @contextlib.asynccontextmanager
    async def place(self, ticket: Ticket) -> AsyncIterator[None]:
        """Wait for the turn of an image that is interpolated here, and hold a place while it is."""
        async with self._places.place(ticket, cost_s=ticket.work_s):
            ticket.waits = False
            yield

    def _degradation(self, parameters: Parameters, error: GatewayError) -> Degradation:
        model = self._catalogue.recall(parameters.model)
        return Degradation(error, model.name, checked_options(parameters.options, model))

    def _may_draw_less(self, parameters: Parameters, degradation: Degradation) -> bool:
        if not degradation.options.draws:
            return False
        try:
            model = self._catalogue.find(parameters.model)
        except GatewayError:
            return False
        return bool(self._backend.endpoints(model.name, model.revision))

    async def _interpolated(self, parameters: Parameters, degradation: Degradation) -> Way:
        asked = self._catalogue.recall(degradation.model)
        scale = checked_scale(parameters.scale or asked.manifest.default_scale, asked)
        await self._probed()
        try:
            self._interpolation.find(MODEL)
        except UnavailableError as error:
            raise degradation.error from error
        lesser = Parameters(model=MODEL, scale=str(scale), value_ranges=parameters.value_ranges)
        return Way(lesser, self._interpolator, degradation, is_here=True)

    async def _probed(self) -> None:
        """Have the interpolation probed if it is not yet, once for all who wait for that."""
        try:
            self._interpolation.find(MODEL)
        except UnavailableError:
            if self._probing is None and time.monotonic() >= self._retry_s:
                self._probing = asyncio.create_task(self._probe())
            if self._probing is not None:
                await asyncio.shield(self._probing)

    async def _probe(self) -> None:
        try:
            await self._interpolation.refresh()
        except UnavailableError:  # the backend has logged why
            self._retry_s = time.monotonic() + RETRY_S
        finally:
            self._probing = None

    def _told(self, way: Way) -> Way:
        """A way, which the log tells of."""
        lesser = "bicubic here" if way.is_here else "its prior alone"
        if way.degradation is not None:
            logger.info("%s failed, trying %s: %s", way.degradation.model, lesser, way.degradation.error)
        return way


def count_degraded(degradation: Degradation) -> None:
    """Count a lesser answer, and have the call's log line and span tell of it."""
    reason = degradation.error.reason
    current_call().degraded = reason
    metrics.degraded.add(1, {"model": degradation.model, "reason": reason})
