"""One stream to a live gateway, and all that must come of what is sent in it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
from finding import FindingError
from in_process import _refusal as refusal_of
from in_process import connected, scene
from live import LiveGateway
from oracle import upscale
from streams import Place, Target, rectangle, start, strips

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.errors import UnavailableError

METHOD = "/hndsr.v1.UpscaleService/UpscaleStream"
SOURCE = scene((130, 125))
"""Three by three tiles of a core each."""
SCALE = "4"
ROWS = 30
"""Of a strip: two or three make a tile."""
TILES_AT_ONCE = 2
LIMIT_S = 30.0
"""How long a step may take before the stream hangs, and how long what was taken may take to be given back."""
ORDER, STALLED = "STREAM_PROTOCOL", "STREAM_STALLED"


@functools.cache
def expected() -> np.ndarray:
    """The whole target."""
    return upscale(SOURCE, model="bicubic", scale=SCALE).pixels


class Conversation:
    """A stream over a connection of its own, and what is to be answered in it."""

    def __init__(self, live: LiveGateway, *, impatient: bool) -> None:
        self.ended = False
        self._live, self._stack = live, contextlib.AsyncExitStack()
        self._impatient = impatient
        self._target: Target | None = None
        self._most = 0
        self._place: Place = (0, 0)
        self._rest: list[pb.UpscaleStreamRequest] = []
        """What is left to send of the tile that was begun."""
        self._due: list[Place] = []
        self._failing = False
        self._counts: Counter[str] = Counter()
        self._call = live.run(self._called(live.address))

    async def _called(self, address: str) -> Any:
        client = await self._stack.enter_async_context(connected(address))
        return client.channel.stream_stream(METHOD, response_deserializer=pb.UpscaleStreamResponse.FromString)()

    @property
    def started(self) -> bool:
        """Whether there is a plan."""
        return self._target is not None

    @property
    def within_tile(self) -> bool:
        """Whether a tile was begun and is not whole."""
        return bool(self._rest and self._rest[0].strip.y_px)

    def choose(self, number: int) -> None:
        """Which tile is begun next."""
        self._place = divmod(number, 3)

    def play(self, step: Step) -> None:
        """Take a step, unless the stream has ended.

        Raises:
            FindingError: if something else comes of it than must.
        """
        if self.ended:
            return
        try:
            self._live.run(step(self), timeout_s=LIMIT_S)
        except asyncio.TimeoutError as error:
            raise FindingError("the stream hangs") from error
        except AssertionError as error:
            raise FindingError(f"an answer is none of the contract's: {error}") from error

    def __enter__(self) -> Conversation:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._live.run(self._stack.aclose())
        if kind is None:
            self._check_nothing_left()
        self._live.forget()

    def _check_nothing_left(self) -> None:
        """See that the gateway gets everything back once the connection is gone."""
        end_s = time.monotonic() + LIMIT_S
        while held := self._live.held():
            if time.monotonic() > end_s:
                raise FindingError(f"the stream left behind: {held}")
            self._live.run(asyncio.sleep(0.001))

    async def start(self) -> None:
        """Send the start, which is right once."""
        await self._send_start("bicubic")

    async def start_wrong(self) -> None:
        """Send a start that nobody serves."""
        await self._send_start("swin")

    async def _send_start(self, model: str) -> None:
        first = start(SOURCE, cores=1, scale=SCALE, model=model).SerializeToString()
        if self._target is not None:
            await self.violate(first, ORDER)
        elif model != "bicubic":
            await self.violate(first, "MODEL_NOT_FOUND")
        elif await self._write(first):
            opened = (await self._call.read()).plan
            self._target, self._most = Target(opened.plan, SOURCE.dtype), opened.max_in_flight
            if self._most != TILES_AT_ONCE:
                raise FindingError(f"a stream has room for {self._most} tiles")

    async def tile(self) -> None:
        """Send the rest of the tile that was begun, or a whole one."""
        await self.strip()
        while self._rest and not self.ended:
            await self.strip()

    async def failing_tile(self) -> None:
        """Have the backend refuse a whole tile, when it has done all others."""
        if not self.started or self.within_tile:
            return
        await self._drain()
        backend = self._live.backend
        backend.tile_errors[len(backend.calls)] = UnavailableError()
        self._failing = True
        await self.tile()
        await self._drain()
        self._failing = False

    async def strip(self) -> None:
        """Send the next strip of the tile that was begun, or the first of another one."""
        message = await self.next_strip()
        if self._target is None:
            await self.violate(message.SerializeToString(), ORDER)
        elif not self.ended and await self._write(message.SerializeToString()):
            del self._rest[0]
            if message.strip.last:
                self._due.append((message.strip.row, message.strip.column))

    async def next_strip(self) -> pb.UpscaleStreamRequest:
        """What may be sent next, once there is room for it."""
        if self._target is None:
            return pb.UpscaleStreamRequest(strip=pb.SourceStrip(pixels=b"abc", last=True))
        if not self._rest:
            while len(self._due) >= self._most and not self.ended:
                await self._answer()
            self._rest = list(strips(self._target.plan, self._place, SOURCE, rows=ROWS))
        return self._rest[0]

    async def end(self) -> None:
        """Send no more: an error before the start or within a tile, else the summary comes."""
        await self._call.done_writing()
        if not self.started or self.within_tile:
            await self._refused(ORDER)
        while not self.ended:
            await self._answer()

    async def cancel(self) -> None:
        """Give the stream up."""
        self._call.cancel()
        self.ended = True

    async def be_silent(self) -> None:
        """Send nothing until the gateway has enough of it."""
        if self._impatient:
            await self._refused(STALLED)

    async def drain(self) -> None:
        """Read until nothing is due."""
        if self._target is not None:
            await self._drain()

    async def _drain(self) -> None:
        while self._due and not self.ended:
            await self._answer()

    async def _answer(self) -> None:
        """Read one answer; it must be one that is due."""
        try:
            answer = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self._check_reason(error)
            return
        if answer is grpc.aio.EOF:
            self._check_end()
        elif answer.HasField("strip"):
            self._take(answer.strip)
        elif answer.HasField("tile_error"):
            self._take_error(answer.tile_error)
        elif answer.HasField("summary"):
            self._counts["summaries"] += 1
            if (answer.summary.tiles, answer.summary.failed_tiles) != (self._counts["done"], self._counts["failed"]):
                raise FindingError(f"the summary counts {answer.summary.tiles} tiles, {self._counts['done']} came")
        elif not answer.HasField("progress"):
            raise FindingError(f"an answer that nobody asked for: {answer.WhichOneof('message')}")

    def _take(self, strip: pb.TargetStrip) -> None:
        self._target.add(strip)
        if not strip.last:
            return
        place = self._answered(strip.row, strip.column)
        area = rectangle(self._target.plan, place, "target")
        if not np.array_equal(self._target.pixels[area], expected()[area]):
            raise FindingError(f"tile {place} is answered by other pixels")
        self._counts["done"] += 1

    def _take_error(self, error: pb.TileError) -> None:
        self._answered(error.row, error.column)
        self._counts["failed"] += 1
        if not self._failing or error.reason != UnavailableError.reason or not error.HasField("retry_delay"):
            raise FindingError(f"a tile is refused as {error.reason}")

    def _answered(self, row: int, column: int) -> Place:
        if (row, column) not in self._due:
            raise FindingError(f"tile {row}, {column} is answered once too often")
        self._due.remove((row, column))
        return row, column

    def _check_end(self) -> None:
        if self._due or self._counts["summaries"] != 1:
            raise FindingError(
                f"the stream ends with {len(self._due)} tiles due and {self._counts['summaries']} summaries"
            )
        self.ended = True

    async def _write(self, message: bytes) -> bool:
        """Send a message; False if the gateway's patience was over before."""
        try:
            await self._call.write(message)
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await self._refused(STALLED)
        return not self.ended

    async def violate(self, message: bytes, reason: str) -> None:
        """Send what is wrong, and nothing any more."""
        if not self.ended and await self._write(message):
            await self._refused(reason)

    async def _refused(self, reason: str) -> None:
        """Read to the end, which must have a reason; impatient gateways may have another."""
        while not self.ended:
            try:
                answer = await self._call.read()
            except grpc.aio.AioRpcError as error:
                self._check_reason(error, reason)
                return
            if answer is grpc.aio.EOF:
                raise FindingError(f"the stream ends well and not as {reason}")
            if answer.HasField("strip"):
                self._take(answer.strip)

    def _check_reason(self, error: grpc.aio.AioRpcError, reason: str = "") -> None:
        self.ended = True
        found = refusal_of(error)
        if found.reason != reason and not (self._impatient and found.reason == STALLED):
            raise FindingError(f"the stream ends as {found.code.name} {found.reason}, due is {reason or 'an answer'}")


Step = Callable[[Conversation], Awaitable[None]]
