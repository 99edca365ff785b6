"""What of an image is done, under way and missing, without transport: all that both kinds of client share."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.responses import read_plan
from hndsr_client._stream.asked import Asked, Pin, check_plan
from hndsr_client._stream.recovery import Recovery, tile_failure
from hndsr_client._stream.strips import Assembly, checksum, cut
from hndsr_client._stream.tiles import Tiles
from hndsr_client._stream.windows import Source, SourceTile
from hndsr_client.errors import AnswerError, UnavailableError
from hndsr_client.results import Plan, TargetTile


class Scene:
    """One image, over all the streams that it takes.

    Attributes:
        source: What is read.
        asked: What is asked for.
        recovery: What decides whether it is gone on.
        streams: How many were begun.
        summaries: Of those that ended well.
        source_checksums: Of the tiles under way, by number; kept if `keeps_checksums` is set.
    """

    def __init__(
        self,
        source: Source,
        asked: Asked,
        recovery: Recovery,
        priority: pb.Priority = pb.PRIORITY_UNSPECIFIED,
    ) -> None:
        self.source, self.asked, self.recovery = source, asked, recovery
        self._priority = priority
        self.streams = 0
        self.summaries: list[pb.StreamSummary] = []
        self.keeps_checksums = False
        self.source_checksums: dict[int, int] = {}
        self._pin: Pin | None = None
        self._tiles: Tiles | None = None
        self._done = bytearray()
        self._left = 0
        self._last_read: tuple[int, SourceTile] | None = None

    @property
    def tiles(self) -> Tiles:
        """Those of the plan.

        Raises:
            AnswerError: No plan has come.
        """
        if self._tiles is None:
            raise AnswerError("no plan has come; enter the stream, by `with` or `async with`")
        return self._tiles

    @property
    def is_planned(self) -> bool:
        """Whether a plan has come."""
        return self._tiles is not None

    @property
    def is_complete(self) -> bool:
        """Whether every tile is done."""
        return self._tiles is not None and self._left == 0

    def go_on_with(self, pin: Pin | None) -> None:
        """Take no other plan than that of an earlier run."""
        self._pin = pin

    def start(self) -> pb.StreamStart:
        """The first message of the next stream."""
        self.streams += 1
        start = self.asked.start(self._pin)
        start.priority = self._priority
        return start

    def accept(self, start: pb.StreamStart, answer: pb.StreamPlan) -> Plan | None:
        """Take a stream's plan; None if it is the one that is known.

        Raises:
            AnswerError: It is for something else than was asked for.
        """
        check_plan(start, answer.plan)
        if self._tiles is not None:
            return None
        message: Any = answer  # of the same fields as the answer of PlanUpscale
        plan = read_plan(message)
        self._tiles, self._pin = Tiles(plan), Pin.of(plan)
        self._left = self._tiles.count
        self._done = bytearray(self._left)
        return plan

    def read(self, number: int) -> SourceTile:
        """The source of a tile; the last one is kept, for a stream that ended while it was read.

        Raises:
            ArgumentError: The source gives something else than it said.
            LocalFileError: A file cannot be read.
        """
        if self._last_read is None or self._last_read[0] != number:
            self._last_read = None
            self._last_read = number, self.source.read(self.tiles.source(number))
        return self._last_read[1]

    def complete(self, number: int) -> None:
        """Say that a tile is done."""
        self._left -= not self._done[number]
        self._done[number] = 1
        self.source_checksums.pop(number, None)

    def is_done(self, number: int) -> bool:
        """Whether a tile is."""
        return bool(self._done[number])

    def missing(self, start: int) -> int | None:
        """The first tile from a number on that is not done, None if all are."""
        number = self._done.find(0, start)
        return None if number < 0 else number


class Stream:
    """One stream of a scene: one thread or task takes what to send, another hands in what is received."""

    def __init__(self, scene: Scene, *, on_change: Callable[[], object] = lambda: None) -> None:
        """Begin it.

        Args:
            scene: What it is a stream of.
            on_change: Called, by any thread, when there may be something to send, or nothing more.
        """
        self.scene, self.start = scene, scene.start()
        self.changed = threading.Condition()
        self._on_change = on_change
        self._max_in_flight = 0
        self._sends = self._stopped = False
        self._resume_after_s: float | None = None
        self._cursor = 0
        self._in_flight: set[int] = set()
        self._again: list[tuple[float, int]] = []
        self._assembly: Assembly | None = None
        self._sent_bytes = self._received_bytes = self._tiles = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._stopped or (self._sends and self.scene.is_complete)

    def take(self) -> int | None:
        """The tile to send now, None if there is none: now, or any more."""
        with self.changed:
            is_full = len(self._in_flight) >= self._max_in_flight
            if is_full or not self._sends or self._stopped or self._resume_after_s is not None:
                return None
            if self._again and self._again[0][0] <= time.monotonic():
                number: int | None = heapq.heappop(self._again)[1]
            elif (number := self.scene.missing(self._cursor)) is not None:
                self._cursor = number + 1
            if number is not None:
                self._in_flight.add(number)
            return number

    def due_s(self) -> float | None:
        """Seconds until a tile that failed may be sent again, None if none waits for that."""
        with self.changed:
            return max(0.001, self._again[0][0] - time.monotonic()) if self._again else None

    def read(self, number: int) -> Iterator[pb.UpscaleStreamRequest]:
        """Read a tile's source and cut it into strips.

        Raises:
            ArgumentError: The source gives something else than it said.
            LocalFileError: A file cannot be read.
        """
        source = self.scene.read(number)
        self._sent_bytes += source.pixels.nbytes
        if self.scene.keeps_checksums:
            self.scene.source_checksums[number] = source.checksum
        return cut(source, self.scene.tiles.place(number))

    def receive(self, response: pb.UpscaleStreamResponse) -> Plan | TargetTile | None:
        """Take what the server answered: the first plan or a whole tile comes out, to be settled when it was taken.

        Raises:
            AnswerError: It is not what the contract allows.
            ServiceError: A tile failed, and would again.
        """
        kind = response.WhichOneof("message")
        if kind == "plan":
            return self._planned(response.plan)
        if kind is not None and not self._max_in_flight:
            raise AnswerError(f"the server answered a {kind} before the plan")
        if kind == "strip":
            return self._strip(response.strip)
        if kind == "tile_error":
            self._failed(response.tile_error)
        elif kind == "draining":
            delay = response.draining.resume_after
            self._resume_after_s = delay.seconds + delay.nanos / 1e9
        elif kind == "summary":
            self.scene.summaries.append(response.summary)
        return None

    def settle(self, taken: Plan | TargetTile) -> None:
        """Say that the caller has taken what came out, and so makes room."""
        self.scene.recovery.progress()
        with self.changed:
            if isinstance(taken, TargetTile):
                number = self.scene.tiles.number(taken.row, taken.column)
                self._in_flight.discard(number)
                self.scene.complete(number)
            else:
                self._sends = True
        self._tell()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True
        self._tell()

    def facts(self) -> dict[str, int]:
        """How much was read of the source to be sent, and came of the target, as attributes of a span."""
        return {
            "hndsr.bytes.sent": self._sent_bytes,
            "hndsr.bytes.received": self._received_bytes,
            "hndsr.tiles": self._tiles,
        }

    def end(self) -> None:
        """Say that the server has ended the stream.

        Raises:
            UnavailableError: Before everything was done.
        """
        if self.scene.is_complete:
            return
        if self._resume_after_s is None:
            raise UnavailableError("the server ended the stream early", reason="STREAM_ENDED", code="UNAVAILABLE")
        raise UnavailableError(
            "the server is about to stop and takes no more tiles",
            reason="DRAINING",
            code="UNAVAILABLE",
            retry_delay_s=self._resume_after_s,
        )

    def _planned(self, answer: pb.StreamPlan) -> Plan | None:
        if self._max_in_flight:
            raise AnswerError("the server answered a second plan")
        plan = self.scene.accept(self.start, answer)
        with self.changed:
            self._max_in_flight = max(1, answer.max_in_flight)
            self._sends = plan is None
        self._tell()
        return plan

    def _strip(self, strip: pb.TargetStrip) -> TargetTile | None:
        if strip.checksum != checksum(strip):
            raise AnswerError(f"the strip at row {strip.y_px} of tile {strip.row}, {strip.column} was changed")
        number = self.scene.tiles.number(strip.row, strip.column)
        if self.scene.is_done(number):
            return None
        if self._assembly is None:
            if number not in self._in_flight:
                raise AnswerError(f"the server answered tile {strip.row}, {strip.column}, which was not sent")
            self._assembly = Assembly(self.scene.tiles, number, self.scene.asked.sample_type)
        if number != self._assembly.number:
            raise AnswerError(f"the server answered tile {strip.row}, {strip.column} between strips of another")
        tile = self._assembly.add(strip)
        if tile is not None:
            self._assembly = None
            self._received_bytes += tile.pixels.nbytes
            self._tiles += 1
        return tile

    def _failed(self, error: pb.TileError) -> None:
        number = self.scene.tiles.number(error.row, error.column)
        if number not in self._in_flight:
            return
        failure = tile_failure(error)
        if failure.retry_delay_s is None:
            raise failure
        due_s = time.monotonic() + self.scene.recovery.tile_pause_s(failure)
        if self._assembly is not None and self._assembly.number == number:
            self._assembly = None
        with self.changed:
            self._in_flight.discard(number)
            heapq.heappush(self._again, (due_s, number))
        self._tell()

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()
        self._on_change()
