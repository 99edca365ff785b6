"""A stream as a caller without any SDK sees it: messages that a test makes, and answers put together."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from in_process import Client
from messages import TYPES

from hndsr.v1 import upscale_pb2 as pb

Place = tuple[int, int]
Source = Callable[[pb.Plan, Place], Iterable[pb.UpscaleStreamRequest]]
"""Makes the messages of a tile."""

SOON_S = 0.01
"""How long a tile that failed is kept back, whatever delay the server names."""


def checksum(strip: pb.SourceStrip | pb.TargetStrip) -> int:
    """CRC-32 as the contract says."""
    head = struct.pack("<4I", strip.row, strip.column, strip.y_px, strip.last)
    return zlib.crc32(head + strip.pixels + strip.mask)


def start(pixels: np.ndarray, *, cores: int = 0, digest: str = "", **parameters: Any) -> pb.UpscaleStreamRequest:
    """The first message for a source; `parameters` as in UpscaleParameters, the model `bicubic`."""
    return pb.UpscaleStreamRequest(
        start=pb.StreamStart(
            source_height_px=pixels.shape[0],
            source_width_px=pixels.shape[1],
            sample_type=TYPES[pixels.dtype.name],
            parameters=pb.UpscaleParameters(**{"model": "bicubic", **parameters}),
            cores_per_tile=cores,
            required_digest=digest,
        )
    )


def strips(
    plan: pb.Plan, place: Place, pixels: np.ndarray, mask: np.ndarray | None = None, *, rows: int = 64
) -> Iterator[pb.UpscaleStreamRequest]:
    """A tile's source in strips of so many rows."""
    area = rectangle(plan, place, "source")
    tile, valid = pixels[area], None if mask is None else mask[area]
    for y in range(0, tile.shape[0], rows):
        strip = pb.SourceStrip(
            row=place[0],
            column=place[1],
            y_px=y,
            pixels=tile[y : y + rows].tobytes(),
            mask=b"" if valid is None else np.packbits(valid[y : y + rows], axis=None).tobytes(),
            last=y + rows >= tile.shape[0],
        )
        strip.checksum = checksum(strip)
        yield pb.UpscaleStreamRequest(strip=strip)


def rectangle(plan: pb.Plan, place: Place, which: str) -> tuple[slice, slice]:
    """Where a tile's source or target lies."""
    spans = plan.row_spans[place[0]], plan.column_spans[place[1]]
    rows, columns = (slice(getattr(s, f"{which}_start_px"), getattr(s, f"{which}_stop_px")) for s in spans)
    return rows, columns


def places(plan: pb.Plan) -> list[Place]:
    """All tiles, row by row."""
    return [(row, column) for row in range(len(plan.row_spans)) for column in range(len(plan.column_spans))]


@dataclass
class Target:
    """A target as its strips come in; a tile is `done` when all of its rows came, and the same when it comes again."""

    plan: pb.Plan
    dtype: np.dtype[Any]
    pixels: np.ndarray = field(init=False)
    mask: np.ndarray = field(init=False)
    done: set[Place] = field(default_factory=set)
    order: list[Place] = field(default_factory=list)
    rows: dict[Place, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = (self.plan.target_height_px, self.plan.target_width_px)
        self.pixels, self.mask = np.zeros((*size, 3), self.dtype), np.ones(size, dtype=bool)

    def add(self, strip: pb.TargetStrip) -> None:
        """Put a strip where it belongs; everything about it must be as the contract says."""
        place = (strip.row, strip.column)
        rows, columns = rectangle(self.plan, place, "target")
        width, itemsize = columns.stop - columns.start, self.dtype.itemsize
        count = len(strip.pixels) // (width * 3 * itemsize)
        assert strip.checksum == checksum(strip)
        assert strip.y_px == self.rows.get(place, 0)
        assert len(strip.pixels) <= 2 * 2**20 or count == 1
        area = slice(rows.start + strip.y_px, rows.start + strip.y_px + count), columns
        samples = np.frombuffer(strip.pixels, self.dtype.newbyteorder("<")).reshape(count, width, 3)
        valid = np.ones((count, width), dtype=bool)
        if strip.mask:
            valid[:] = np.unpackbits(np.frombuffer(strip.mask, np.uint8), count=valid.size).reshape(valid.shape)
        if place in self.done:
            assert np.array_equal(self.pixels[area], samples)
            assert np.array_equal(self.mask[area], valid)
        self.pixels[area], self.mask[area] = samples, valid
        self.rows[place] = strip.y_px + count
        assert len(self.rows) == 1
        assert strip.last == (area[0].stop == rows.stop)
        if strip.last:
            self.rows.pop(place)
            self.done.add(place)
            self.order.append(place)

    def missing(self) -> list[Place]:
        """The tiles that are not done, row by row; what came of them from a stream that ended is forgotten."""
        self.rows.clear()
        return [place for place in places(self.plan) if place not in self.done]


class Stream:
    """A stream that a test writes to by itself."""

    def __init__(
        self, client: Client, first: pb.UpscaleStreamRequest | None = None, *, timeout: float | None = None
    ) -> None:
        self.call = client.upscale.UpscaleStream(timeout=timeout)
        self._first = first
        self.others: list[pb.UpscaleStreamResponse] = []
        """Answers beside the strips and the plan."""

    async def open(self) -> pb.StreamPlan:
        """Send the start and read the plan."""
        if self._first is not None:
            await self.call.write(self._first)
        return (await self.read()).plan

    async def send(self, messages: Iterable[pb.UpscaleStreamRequest]) -> None:
        """Send messages, as fast as the way takes them; nothing more once the stream has ended."""
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            for message in messages:
                await self.call.write(message)

    async def send_tiles(self, target: Target, pixels: np.ndarray, *numbers: int) -> None:
        """Send tiles by their numbers, row by row from 0."""
        for number in numbers:
            await self.send(strips(target.plan, places(target.plan)[number], pixels))

    async def until(self, kind: str) -> Any:
        """Read until there is an answer of a kind, as `draining`, which it returns."""
        async for answer in self.answers():
            if answer.HasField(kind):
                return getattr(answer, kind)
        raise AssertionError(f"the stream ended without {kind}")

    async def end(self) -> None:
        """Send no more."""
        await self.call.done_writing()

    async def read(self) -> pb.UpscaleStreamResponse:
        """The next answer; raises how the stream ended if it did so with an error."""
        return await self.call.read()

    async def rest(self) -> list[pb.UpscaleStreamResponse]:
        """All that come until the stream ends; raises how it ended where that is an error."""
        return [answer async for answer in self.answers()]

    async def answers(self) -> AsyncIterator[pb.UpscaleStreamResponse]:
        """The same one by one."""
        while (answer := await self.call.read()) is not grpc.aio.EOF:
            yield answer

    async def tile(self, target: Target) -> tuple[Place, bool]:
        """Read until a tile is whole, or has failed: which one, and whether it is whole."""
        async for answer in self.answers():
            if answer.HasField("tile_error"):
                self.others.append(answer)
                return (answer.tile_error.row, answer.tile_error.column), False
            if self.take(answer, target):
                return target.order[-1], True
        raise AssertionError("the stream ended before the tile")

    async def collect(self, target: Target) -> None:
        """Put all strips into a target until the stream ends."""
        async for answer in self.answers():
            self.take(answer, target)

    def take(self, answer: pb.UpscaleStreamResponse, target: Target) -> bool:
        """Put a strip into a target, keep what is none; whether a tile is whole with it."""
        if not answer.HasField("strip"):
            self.others.append(answer)
            return False
        target.add(answer.strip)
        return answer.strip.last

    def of_kind(self, kind: str) -> list[Any]:
        """All other answers of a kind, as `tile_error`, in the order in which they came."""
        return [getattr(answer, kind) for answer in self.others if answer.HasField(kind)]

    @property
    def summary(self) -> pb.StreamSummary:
        """What the stream ended with."""
        return self.others[-1].summary


async def opened(
    client: Client, pixels: np.ndarray, *, cores: int = 1, timeout: float | None = None
) -> tuple[Stream, Target]:
    """A stream with its plan, and a target to put its tiles into."""
    stream = Stream(client, start(pixels, cores=cores), timeout=timeout)
    return stream, Target((await stream.open()).plan, pixels.dtype)


async def work_off(
    stream: Stream, target: Target, todo: Iterable[Place], source: Source, *, drop_after: int | None = None
) -> None:
    """Send tiles, again where they fail, and end the stream when all are answered; or cut it off after so many."""
    queue: asyncio.Queue[Place] = asyncio.Queue()
    for place in todo:
        queue.put_nowait(place)
    left, answered = queue.qsize(), 0
    sending = asyncio.ensure_future(_send_tiles(stream, queue, target.plan, source))
    try:
        while left and answered != drop_after:
            place, whole = await stream.tile(target)
            answered, left = answered + 1, left - whole
            if not whole:
                await asyncio.sleep(SOON_S)
                queue.put_nowait(place)
    finally:
        sending.cancel()
        await asyncio.wait({sending})
    if left:
        stream.call.cancel()
    else:
        await stream.end()
        await stream.collect(target)


async def _send_tiles(stream: Stream, queue: asyncio.Queue[Place], plan: pb.Plan, source: Source) -> None:
    while True:
        await stream.send(source(plan, await queue.get()))


async def upscaled(
    client: Client,
    pixels: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    order: Callable[[list[Place]], Iterable[Place]] = lambda places: places,
    cores: int = 0,
    rows: int = 64,
    **parameters: Any,
) -> tuple[Target, Stream]:
    """A whole image through one stream, its tiles in the order that `order` makes of all."""
    stream = Stream(client, start(pixels, cores=cores, **parameters))
    plan = (await stream.open()).plan
    target = Target(plan, pixels.dtype)

    def source(plan: pb.Plan, place: Place) -> Iterable[pb.UpscaleStreamRequest]:
        return strips(plan, place, pixels, mask, rows=rows)

    await work_off(stream, target, order(places(plan)), source)
    return target, stream
