"""One scene on its way: tiles come in, are worked on, and go out, and no more of them are here than were agreed on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from hndsr_ensemble.tiles import TileStats
from hndsr_ensemble.values import Ranges
from hndsr_gateway.caller import current_caller
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import (
    BackendMismatchError,
    BeyondQuotaError,
    ModelNotFoundError,
    NotFiniteError,
    QuotaExceededError,
    RevisionChangedError,
    StreamProtocolError,
    StreamStalledError,
    TileBeyondQuotaError,
    UnavailableError,
)
from hndsr_gateway.fair_gate import Ticket
from hndsr_gateway.planning import tile_bytes
from hndsr_gateway.settings import Settings
from hndsr_gateway.strips import (
    Answer,
    Draining,
    Place,
    Progress,
    StreamOpened,
    Strip,
    Summary,
    TileAssembly,
    TileFailed,
    most_strip_bytes,
    target_strips,
)
from hndsr_gateway.telemetry.calls import current_call
from hndsr_gateway.tiles import TileMaker, TileQueue, observed_tile
from hndsr_gateway.types import ModelDescription, Plan, Priority, TileResponse

RESUME_AFTER_S = 5.0
"""When a stream that was told to leave should be gone on with."""

GONE_S = 15.0
"""How long a revision may be gone before a stream of it ends: an endpoint that failed once may be back in a moment."""

Send = Callable[[Answer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A source that can be upscaled tile by tile as its caller asks."""

    plan: Plan
    model: ModelDescription
    ranges: Ranges
    priority: Priority = Priority.BATCH

    @property
    def work_s(self) -> float:
        """Device time with no window cached, in seconds."""
        return self.model.work_s(self.plan)

    @property
    def tile_bytes(self) -> int:
        """What one of its tiles holds at most."""
        return tile_bytes(self.plan.axes(self.model.manifest.geometry), self.plan.sample_type, self.plan.cores_per_tile)


@dataclass(frozen=True, slots=True)
class _TileDone:
    place: Place
    response: TileResponse


_Event = _TileDone | TileFailed | Draining | BaseException | None
"""What the sending end is told; None: no more tiles come in."""


class SceneStream:
    """One stream: a task reads and assembles tiles, each whole tile is a task, and `run` itself sends.

    Args:
        scene: what is worked on.
        queue: runs the tiles.
        catalogue: knows what is served meanwhile.
        settings: how long its caller may stall, and it may be silent.
        leaving: set when it is to end soon: the server stops, somebody else needs its room, or it is old.
        max_in_flight: tiles that may be here at once.
    """

    def __init__(
        self,
        scene: Scene,
        queue: TileQueue,
        catalogue: Catalogue,
        settings: Settings,
        *,
        leaving: asyncio.Event,
        max_in_flight: int,
    ) -> None:
        self._scene, self._queue, self._catalogue = scene, queue, catalogue
        self._settings, self._leaving = settings, leaving
        self._max_in_flight = max_in_flight
        self._places = asyncio.Semaphore(max_in_flight)
        self._strip_bytes = most_strip_bytes(scene.plan)
        self._maker = TileMaker(scene.plan, scene.model, scene.ranges)
        self._route = queue.route(scene.plan)
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._beyond: QuotaExceededError | TileBeyondQuotaError | None = None
        """Why the caller may have no further tile: those that it has paid for are still made."""
        self._whole = 0
        """Tiles that came in whole and are not sent yet."""
        self._active_s = time.monotonic()
        """When the caller sent last, or was sent the last of its tiles."""
        self._sent_s = self._active_s
        """When anything was sent last."""
        self._gone_s: float | None = None
        """Since when the stream's revision has not been served."""
        self._failed = 0
        self._call = current_call()
        self._progress = Progress()
        self._stats = np.zeros(len(astuple(TileStats())), dtype=np.int64)

    async def run(self, strips: AsyncIterator[Strip], send: Send) -> None:
        """Work on it to its end.

        Raises:
            GatewayError: as `SceneStreams.run`.
        """
        start_s = time.monotonic()
        self._reader = self._spawn(self._read(strips, self._spawn(self._announce())))
        try:
            await self._send(send, StreamOpened(self._scene.plan, self._scene.work_s, self._max_in_flight))
            await self._answer(send)
            if self._beyond is not None:
                raise self._beyond
            await self._send(send, self._summary(time.monotonic() - start_s))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.put_nowait(error)

    async def _announce(self) -> None:
        """Tell its caller to go on later as soon as that is known, or it is old, also while no further tile is read."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), self._settings.max_stream_s)
        self._leaving.set()
        self._events.put_nowait(Draining(RESUME_AFTER_S))

    async def _read(self, strips: AsyncIterator[Strip], announced: asyncio.Task[None]) -> None:
        source = _Interruptible(strips, self._leaving)
        try:
            unfinished = await self._read_tiles(source)
        finally:
            source.close()
        if self._leaving.is_set():
            await announced
        elif unfinished is not None:
            row, column = unfinished.place
            raise StreamProtocolError(f"the stream ends before the last strip of tile {row}, {column}")
        self._events.put_nowait(None)

    async def _read_tiles(self, source: _Interruptible) -> TileAssembly | None:
        """Read to the end, and hand over tiles as they become whole; returns one that does not."""
        assembly: TileAssembly | None = None
        while (strip := await self._next(source, assembly)) is not None:
            strip.check(limit_bytes=self._strip_bytes)
            if assembly is None:
                await self._places.acquire()
                if self._leaving.is_set():
                    return None
                assembly = TileAssembly(self._scene.plan, strip)
            if assembly.add(strip):
                self._whole += 1
                self._spawn(self._work(assembly))
                assembly = None
        return assembly

    async def _next(self, source: _Interruptible, assembly: TileAssembly | None) -> Strip | None:
        """The next strip, None after the last.

        Raises:
            StreamStalledError: if none comes, though its caller waits for nothing, or a tile takes too long to come.
        """
        stall_s = self._settings.stream_stall_s
        if assembly is not None and time.monotonic() - assembly.began_s > stall_s * (1 + assembly.strip_count):
            raise StreamStalledError(f"a tile was not whole after {stall_s:g} s for each 2 MiB of it")
        self._active_s = time.monotonic()
        while not await source.ready(self._patience_s()):
            if self._patience_s() <= 0:
                raise StreamStalledError(f"nothing was sent for {self._settings.stream_stall_s:g} s")
        return source.take()

    def _patience_s(self) -> float:
        """How long the caller may still send nothing, in seconds."""
        idle_s = 0.0 if self._whole else time.monotonic() - self._active_s
        return self._settings.stream_stall_s - idle_s

    async def _work(self, assembly: TileAssembly) -> None:
        plan, place, caller = self._scene.plan, assembly.place, current_caller()
        if not await self._is_paid(assembly):
            return
        tile = self._maker.request(assembly.rows, assembly.columns, assembly.finish())
        # A tile's own arrival, not the stream's, so that streams of one size take turns.
        ticket = Ticket(
            0,
            time.monotonic(),
            work_s=self._scene.work_s,
            caller_id=caller.id,
            priority=self._scene.priority,
            model=plan.model,
        )
        cost_s = self._scene.work_s / plan.tile_count
        try:
            with observed_tile(tile):
                async with self._queue.place(ticket, cost_s=cost_s, route=self._route) as turn:
                    response = await self._queue.run(tile, turn)
        except (UnavailableError, BackendMismatchError, NotFiniteError) as error:
            self._check_revision()
            self._events.put_nowait(TileFailed(place, error))
        else:
            self._events.put_nowait(_TileDone(place, response))

    async def _is_paid(self, tile: TileAssembly) -> bool:
        """Whether its caller has the pixels for a tile; if not, it is left out, and no further one is taken."""
        try:
            await current_caller().allowance.spend_target_px(_target_px(tile))
        except QuotaExceededError as error:
            self._stop_reading(error)
        except BeyondQuotaError as error:
            self._stop_reading(TileBeyondQuotaError(target_px=error.target_px, limit_px=error.limit_px))
        else:
            return True
        return False

    def _stop_reading(self, error: QuotaExceededError | TileBeyondQuotaError) -> None:
        self._beyond = self._beyond or error
        self._whole -= 1
        if self._reader is not None:
            self._reader.cancel()
        self._events.put_nowait(None)

    def _check_revision(self) -> None:
        """Keep a tile from being sent again that nobody will make.

        Raises:
            RevisionChangedError: if the model is served, but not in the stream's revision.
        """
        plan = self._scene.plan
        with contextlib.suppress(UnavailableError, ModelNotFoundError):
            served = self._catalogue.find(plan.model, plan.revision).revision
            if served == plan.revision:
                self._gone_s = None
                return
            self._gone_s = self._gone_s or time.monotonic()
            if time.monotonic() - self._gone_s > GONE_S:
                raise RevisionChangedError(required=plan.revision, served=served)

    async def _answer(self, send: Send) -> None:
        """Send what is done until nothing more comes in and nothing is left."""
        ended = False
        while not (ended and not self._whole):
            try:
                silent_s = time.monotonic() - self._sent_s
                event = await asyncio.wait_for(self._events.get(), self._settings.stream_progress_s - silent_s)
            except asyncio.TimeoutError:
                await self._send(send, self._progress_now())
                continue
            if event is None:
                ended = True
            elif isinstance(event, BaseException):
                raise event
            elif isinstance(event, Draining):
                await self._send(send, event)
            else:
                await self._answer_tile(send, event)

    async def _answer_tile(self, send: Send, event: _TileDone | TileFailed) -> None:
        if isinstance(event, TileFailed):
            self._failed += 1
            await self._send(send, event)
        else:
            for strip in target_strips(event.place, event.response.raster):
                await self._send(send, strip)
                self._call.answer()
            self._count(event.response)
        self._whole -= 1
        self._active_s = time.monotonic()
        self._places.release()

    async def _send(self, send: Send, answer: Answer) -> None:
        try:
            await asyncio.wait_for(send(answer), self._settings.stream_stall_s)
        except asyncio.TimeoutError as error:
            raise StreamStalledError(f"nothing was read for {self._settings.stream_stall_s:g} s") from error
        self._sent_s = time.monotonic()

    def _count(self, response: TileResponse) -> None:
        self._stats += astuple(response.stats)
        done = self._progress
        self._progress = Progress(
            tiles_done=done.tiles_done + 1,
            target_px_done=done.target_px_done + response.raster.height * response.raster.width,
        )

    def _progress_now(self) -> Progress:
        return replace(self._progress, tiles_waiting=self._whole)

    def _summary(self, elapsed_s: float) -> Summary:
        windows, hits, empty, out_of_range = (int(value) for value in self._stats)
        return Summary(
            tiles=self._progress.tiles_done,
            failed_tiles=self._failed,
            cache_hits=hits,
            empty_windows=empty,
            computed_windows=windows - hits - empty,
            out_of_range_samples=out_of_range,
            elapsed_s=elapsed_s,
            model=self._scene.model,
        )


def _target_px(tile: TileAssembly) -> int:
    rows, columns = tile.rows, tile.columns
    return (rows.target_stop - rows.target_start) * (columns.target_stop - columns.target_start)


class _Interruptible:
    """Reads items ahead by one, and ends early when an event is set; a wait that times out loses nothing."""

    def __init__(self, items: AsyncIterator[Strip], interrupted: asyncio.Event) -> None:
        self._items, self._interrupted = items, interrupted
        self._interruption = asyncio.ensure_future(interrupted.wait())
        self._reading: asyncio.Future[Strip | None] | None = None

    async def ready(self, timeout_s: float) -> bool:
        """Whether there is an item, or the end, within so many seconds."""
        self._reading = self._reading or asyncio.ensure_future(_next_of(self._items))
        both: set[asyncio.Future[Any]] = {self._reading, self._interruption}
        done, _ = await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    def take(self) -> Strip | None:
        """The item that is ready, None for the end."""
        if self._interrupted.is_set() or self._reading is None:
            return None
        reading, self._reading = self._reading, None
        return reading.result()

    def close(self) -> None:
        """Stop reading."""
        self._interruption.cancel()
        if self._reading is not None and not self._reading.cancel() and not self._reading.cancelled():
            self._reading.exception()  # it is seen by nobody else


async def _next_of(items: AsyncIterator[Strip]) -> Strip | None:
    return await anext(items, None)
