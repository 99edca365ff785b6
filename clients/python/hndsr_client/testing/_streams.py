"""What the fake answers to the messages of a stream, without transport."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.testing._failures import Failure, Refusal, duration_of
from hndsr_client.testing._parameters import Served, check_ranges, check_revision
from hndsr_client.testing._plans import SAMPLE_TYPES, make_plan, plan_facts
from hndsr_client.testing._queues import taken
from hndsr_client.testing._strips import SourceTile, whole_tiles

MAX_IN_FLIGHT = 4
CACHE_HITS, COMPUTED_WINDOWS = 2, 7
"""What each tile says that it took."""


class LostError(ConnectionError):
    """The connection of a stream is lost, as a test asked for."""

    @property
    def failure(self) -> Failure:
        """What is left of it."""
        return Failure("UNAVAILABLE", message="the test lost this connection")


@dataclass(frozen=True)
class TileFailure:
    """Why a tile is not made, and when it may be sent again."""

    reason: str
    message: str
    retry_delay_s: float | None


@dataclass
class Script:
    """What a test asked of streams to come, and the tiles that came."""

    failures: deque[TileFailure | None] = field(default_factory=deque)
    drops: deque[int] = field(default_factory=deque)
    tiles: list[tuple[int, int]] = field(default_factory=list)


def stream(
    first: pb.UpscaleStreamRequest,
    requests: Iterator[pb.UpscaleStreamRequest],
    served: Callable[[], Served],
    script: Script,
) -> Iterator[pb.UpscaleStreamResponse]:
    """The plan, each tile when it is whole, and a summary when no more comes.

    Args:
        first: What came first.
        requests: What comes after it.
        served: What is served now; once that is another revision the stream ends.
        script: What goes wrong, and where tiles are noted.

    Raises:
        Refusal: The start cannot be served, or what follows it is not what the plan says.
        LostError: The script says so.
    """
    began_s = time.monotonic()
    start, plan = _started(first, served())
    yield pb.UpscaleStreamResponse(plan=pb.StreamPlan(plan=plan, max_in_flight=MAX_IN_FLIGHT, **plan_facts(plan)))
    summary = pb.StreamSummary(engine="numpy", device="cpu")
    left = taken(script.drops)
    for tile in _until(left, whole_tiles(requests, plan, SAMPLE_TYPES[start.sample_type])):
        check_revision(plan.revision, served())
        script.tiles.append(tile.place)
        yield from _answered(tile, taken(script.failures), summary)
    summary.elapsed.CopyFrom(duration_of(time.monotonic() - began_s))
    yield pb.UpscaleStreamResponse(summary=summary)


def _started(first: pb.UpscaleStreamRequest, served: Served) -> tuple[pb.StreamStart, pb.Plan]:
    if first.WhichOneof("message") != "start":
        raise Refusal("a stream begins with its start", reason="STREAM_PROTOCOL", field="message")
    start = first.start
    if start.sample_type not in SAMPLE_TYPES:
        message = "a stream needs the sample type UINT8 or UINT16"
        raise Refusal(message, reason="RAW_IMAGE_INVALID", field="start.sample_type")
    with in_start():
        plan = make_plan(start, served)
    if start.required_digest not in {"", plan.digest}:
        message = f"the plan {start.required_digest!r} is required, {plan.digest} would be made"
        raise Refusal(message, reason="PLAN_INCOMPATIBLE", field="start.required_digest")
    with in_start():
        check_ranges(start.parameters, SAMPLE_TYPES[start.sample_type])
    return start, plan


@contextlib.contextmanager
def in_start() -> Iterator[None]:
    """Name the fields of what is refused as those of a stream's start."""
    try:
        yield
    except Refusal as refusal:
        refusal.failure = replace(
            refusal.failure,
            violations=[
                ("start" if field == "image" else f"start.{field}", text) for field, text in refusal.failure.violations
            ],
        )
        raise


def _until(left: int | None, tiles: Iterator[SourceTile]) -> Iterator[SourceTile]:
    """The tiles, or so many of them before the connection is lost."""
    if left is None:
        yield from tiles
        return
    for _ in range(left):
        tile = next(tiles, None)
        if tile is None:
            return
        yield tile
    raise LostError


def _answered(
    tile: SourceTile, failure: TileFailure | None, summary: pb.StreamSummary
) -> Iterator[pb.UpscaleStreamResponse]:
    """A tile's strips, or why there are none, counted in the summary."""
    if failure is not None:
        summary.failed_tiles += 1
        yield pb.UpscaleStreamResponse(tile_error=_error(tile, failure))
        return
    for strip in tile.enlarged():
        yield pb.UpscaleStreamResponse(strip=strip)
    summary.tiles += 1
    summary.cache_hits += CACHE_HITS
    summary.computed_windows += COMPUTED_WINDOWS


def _error(tile: SourceTile, failure: TileFailure) -> pb.TileError:
    row, column = tile.place
    error = pb.TileError(row=row, column=column, reason=failure.reason, message=failure.message)
    if failure.retry_delay_s is not None:
        error.retry_delay.CopyFrom(duration_of(failure.retry_delay_s))
    return error
