"""Scenes of any size: who may open a stream, and what is worked on in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import numpy as np

from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import (
    InvalidRequestError,
    PlanIncompatibleError,
    RawImageError,
    RevisionChangedError,
    StreamStalledError,
)
from hndsr_gateway.planning import checked_ranges, make_plan
from hndsr_gateway.scene_stream import Scene, SceneStream, Send
from hndsr_gateway.scheduling import StreamRoom
from hndsr_gateway.settings import Settings
from hndsr_gateway.strips import StreamStart, Strip
from hndsr_gateway.telemetry.tracing import span
from hndsr_gateway.tiles import TileQueue

START_S = 10.0
"""How long a stream's first message may take."""


class SceneStreams:
    """Opens streams, each in room that is reserved for it.

    Args:
        queue: runs the tiles.
        catalogue: knows the models.
        settings: limits.
    """

    def __init__(self, queue: TileQueue, catalogue: Catalogue, settings: Settings) -> None:
        self._queue, self._catalogue, self._settings = queue, catalogue, settings
        self._room = StreamRoom(settings)

    @property
    def count(self) -> int:
        """Streams that are open."""
        return self._room.count

    async def drain(self, grace_s: float) -> None:
        """Open no stream any more, and wait up to `grace_s` until those that are open have sent what is whole."""
        await self._room.drain(grace_s)

    async def run(self, start: Coroutine[Any, Any, StreamStart], strips: AsyncIterator[Strip], send: Send) -> None:
        """Work on one stream until its caller sends no more, and everything is sent.

        Args:
            start: reads what its caller asks for.
            strips: what its caller sends; read no faster than tiles are done.
            send: hands an answer to the caller, and returns when the way has taken it.

        Raises:
            GatewayError: if the stream cannot be served, or its caller breaks the contract or stalls.
        """
        with contextlib.closing(start), self._room.stream() as opened:
            scene = await asyncio.to_thread(self._prepare, await self._started(start))
            with self._room.tiles(opened, scene.tile_bytes, scene.plan.tile_count) as max_in_flight:
                stream = SceneStream(
                    scene,
                    self._queue,
                    self._catalogue,
                    self._settings,
                    leaving=opened.leaving,
                    max_in_flight=max_in_flight,
                )
                try:
                    await stream.run(strips, send)
                except RevisionChangedError:
                    await self._catalogue.refresh()
                    raise

    async def _started(self, start: Coroutine[Any, Any, StreamStart]) -> StreamStart:
        timeout_s = min(START_S, self._settings.stream_stall_s)
        try:
            return await asyncio.wait_for(start, timeout_s)
        except asyncio.TimeoutError as error:
            raise StreamStalledError(f"nothing was sent for {timeout_s:g} s") from error

    def _prepare(self, start: StreamStart) -> Scene:
        try:
            with span("plan"):
                return self._scene(start)
        except InvalidRequestError as error:
            if not error.field.startswith("start."):
                error.field = "start" if error.field == "image" else f"start.{error.field}"
            raise

    def _scene(self, start: StreamStart) -> Scene:
        if not start.sample_type:
            raise RawImageError("a stream needs the sample type UINT8 or UINT16", field="start.sample_type")
        model = self._catalogue.find(start.parameters.model, start.parameters.required_revision)
        plan = make_plan(
            start.size,
            start.parameters,
            model,
            self._settings,
            sample_type=start.sample_type,
            cores=start.cores,
            tile_time_s=self._settings.stream_tile_time_s,
        )
        if start.digest not in {"", plan.digest}:
            raise PlanIncompatibleError(
                f"the plan of digest {start.digest[:64]!r} is required, this server makes {plan.digest}",
                field="start.required_digest",
            )
        ranges = checked_ranges(start.parameters.value_ranges, np.dtype(start.sample_type))
        return Scene(plan, model, ranges, start.priority)
