"""UpscaleStream: callers that break the contract are told so, and leave nothing behind."""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
import streams
from fakes import FakeBackend
from in_process import Refusal, refusal, run, running, scene
from streams import Place, Stream, checksum, upscaled

from hndsr.v1 import upscale_pb2 as pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PIXELS = scene((170, 150))
"""Three by three tiles of a core each, whose sources are some 65 to 120 px high."""
MASK = np.random.default_rng(1).random((170, 150)) < 0.7
LAST = 2
"""The number of the last strip of the tile that is sent."""
LARGE_PIXELS = np.zeros((1100, 700, 3), np.uint8)
"""Its only tile's source does not fit in a strip."""
TIGHT = {"max_streams": 1, "stream_bytes": 2**20, "max_stream_bytes": 2**20, "stream_stall_s": 5}
"""Settings that have room for one tile of one stream: whatever is left behind keeps the next stream out."""
ROOMY = {"max_streams": 1, "max_stream_bytes": 20 * 2**20, "stream_stall_s": 5}
"""The same for large tiles."""

Messages = Iterable[pb.UpscaleStreamRequest]


@dataclass(frozen=True)
class Violation:
    """What a caller sends, before and after it knows the plan, and what it is told; nothing that it does is right."""

    reason: str
    field: str
    first: pb.UpscaleStreamRequest | None
    after: Callable[[pb.Plan], Messages] = lambda _: ()
    ends: bool = False
    """Whether it half-closes the stream after its last message."""
    code: grpc.StatusCode = INVALID
    settings: dict[str, Any] = field(default_factory=lambda: TIGHT)


@dataclass(frozen=True)
class Consequence:
    """What came of it: the answer, whether the next stream was served, and what was logged as a failure."""

    refusal: Refusal
    served: bool
    failures: list[str]
    outcomes: list[str]


def start(pixels: np.ndarray = PIXELS, **changes: Any) -> pb.UpscaleStreamRequest:
    """A start for tiles of one core each, with other parameters."""
    return streams.start(pixels, **{"cores": 1, **changes})


def changed(**fields: Any) -> pb.UpscaleStreamRequest:
    """A start with other fields."""
    message = start()
    for name, value in fields.items():
        setattr(message.start, name, value)
    return message


def ranges(*bands: tuple[float, float]) -> list[pb.ValueRange]:
    return [pb.ValueRange(minimum=low, maximum=high) for low, high in bands]


def tile(plan: pb.Plan, place: Place, *, rows: int = 50) -> list[pb.UpscaleStreamRequest]:
    return list(streams.strips(plan, place, PIXELS, MASK, rows=rows))


def signed(message: pb.UpscaleStreamRequest) -> pb.UpscaleStreamRequest:
    message.strip.checksum = checksum(message.strip)
    return message


def altered(number: int = 0, /, *, sign: bool = True, **changes: Any) -> Callable[[pb.Plan], Messages]:
    """The strips of a tile up to one with other fields, and the checksum of these, or else of what it was."""

    def after(plan: pb.Plan) -> Messages:
        messages = tile(plan, (1, 1))
        assert (len(messages), messages[LAST].strip.last) == (LAST + 1, True)
        del messages[number + 1 :]
        strip = messages[-1].strip
        for name, value in changes.items():
            setattr(strip, name, value(getattr(strip, name)) if callable(value) else value)
        return [*messages[:-1], signed(messages[-1]) if sign else messages[-1]]

    return after


def followed_by(message: pb.UpscaleStreamRequest, *, strips: int | None = None) -> Callable[[pb.Plan], Messages]:
    """A tile, or so many of its strips, and then something else."""
    return lambda plan: [*tile(plan, (1, 1))[:strips], message]


def other_tile_between(plan: pb.Plan) -> Messages:
    return [tile(plan, (1, 1))[0], tile(plan, (1, 2))[0]]


def other_tile_instead(plan: pb.Plan) -> Messages:
    return [tile(plan, (1, 1))[0], tile(plan, (1, 2))[1]]


def whole_tile_at_once(plan: pb.Plan) -> Messages:
    return streams.strips(plan, (0, 0), LARGE_PIXELS, rows=len(LARGE_PIXELS))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


ORDER, TILE, CHECKSUM = "STREAM_PROTOCOL", "TILE_MISMATCH", "CHECKSUM_MISMATCH"
EMPTY = pb.UpscaleStreamRequest()
STRIP = signed(pb.UpscaleStreamRequest(strip=pb.SourceStrip(pixels=b"abc", last=True)))
LARGE_START = start(LARGE_PIXELS, cores=16, scale="1.5")
OTHER_PLAN = "required_digest"

VIOLATIONS: dict[str, Violation] = {
    # Order
    "no message": Violation(ORDER, "message", None, ends=True),
    "empty first message": Violation(ORDER, "message", EMPTY),
    "strip before the start": Violation(ORDER, "message", STRIP),
    "second start": Violation(ORDER, "message", start(), followed_by(start())),
    "start within a tile": Violation(ORDER, "message", start(), followed_by(start(), strips=1)),
    "empty message": Violation(ORDER, "message", start(), followed_by(EMPTY)),
    "tile without its first rows": Violation(ORDER, "strip.y_px", start(), altered(y_px=1)),
    "tile with a gap": Violation(ORDER, "message", start(), altered(1, y_px=lambda y: y + 1)),
    "strip twice": Violation(ORDER, "message", start(), altered(1, y_px=0)),
    "other tile between": Violation(ORDER, "message", start(), other_tile_between),
    "other tile from there on": Violation(ORDER, "message", start(), other_tile_instead),
    "end within a tile": Violation(ORDER, "message", start(), altered(), ends=True),
    # Sizes
    "row beyond the plan": Violation(TILE, "strip", start(), altered(row=3)),
    "column beyond the plan": Violation(TILE, "strip", start(), altered(column=3)),
    "last row of all": Violation(TILE, "strip", start(), altered(row=2**32 - 1)),
    "last column of all": Violation(TILE, "strip", start(), altered(column=2**32 - 1)),
    "no pixels": Violation(TILE, "strip.pixels", start(), altered(pixels=b"")),
    "part of a row": Violation(TILE, "strip.pixels", start(), altered(pixels=lambda data: data[:-1])),
    "too many rows": Violation(TILE, "strip", start(), altered(1, pixels=lambda data: data * 5)),
    "last too early": Violation(TILE, "strip", start(), altered(last=True)),
    "last missing": Violation(TILE, "strip", start(), altered(LAST, last=False)),
    "strip over 2 MiB": Violation(TILE, "strip.pixels", LARGE_START, whole_tile_at_once, settings=ROOMY),
    "short mask": Violation(TILE, "strip.mask", start(), altered(mask=lambda data: data[:-1])),
    "long mask": Violation(TILE, "strip.mask", start(), altered(1, mask=lambda data: data + b"\0")),
    # Checksums
    "no checksum": Violation(CHECKSUM, "strip.checksum", start(), altered(sign=False, checksum=0)),
    "other row": Violation(CHECKSUM, "strip.checksum", start(), altered(sign=False, row=2)),
    "row beyond the plan, unsigned": Violation(CHECKSUM, "strip.checksum", start(), altered(sign=False, row=9)),
    "other column": Violation(CHECKSUM, "strip.checksum", start(), altered(sign=False, column=2)),
    "other y": Violation(CHECKSUM, "strip.checksum", start(), altered(1, sign=False, y_px=51)),
    "other last": Violation(CHECKSUM, "strip.checksum", start(), altered(LAST, sign=False, last=False)),
    "other pixels": Violation(CHECKSUM, "strip.checksum", start(), altered(1, sign=False, pixels=flipped)),
    "other mask": Violation(CHECKSUM, "strip.checksum", start(), altered(sign=False, mask=flipped)),
    "mask left out": Violation(CHECKSUM, "strip.checksum", start(), altered(sign=False, mask=b"")),
    # Starts
    "no sample type": Violation("RAW_IMAGE_INVALID", "start.sample_type", changed(sample_type=0)),
    "unknown sample type": Violation("RAW_IMAGE_INVALID", "start.sample_type", changed(sample_type=9)),
    "no rows": Violation("EMPTY_IMAGE", "start", changed(source_height_px=0)),
    "no columns": Violation("EMPTY_IMAGE", "start", changed(source_width_px=0)),
    "long side": Violation("IMAGE_TOO_LARGE", "start", changed(source_width_px=2**32 - 1)),
    "scale 1.49": Violation("SCALE_OUT_OF_RANGE", "start.parameters.scale", start(scale="1.49")),
    "scale four": Violation("SCALE_OUT_OF_RANGE", "start.parameters.scale", start(scale="four")),
    "one range": Violation("VALUE_RANGE_INVALID", "start.parameters.value_ranges", start(value_ranges=ranges((0, 1)))),
    "wide ranges": Violation(
        "VALUE_RANGE_INVALID", "start.parameters.value_ranges", start(value_ranges=ranges(*[(0, 256)] * 3))
    ),
    "steps 101": Violation(
        *("OPTION_OUT_OF_RANGE", "start.parameters.options.steps"),
        start(model="hndsr", options=pb.UpscaleOptions(steps=101)),
    ),
    "texture 2": Violation(
        *("OPTION_OUT_OF_RANGE", "start.parameters.options.texture"),
        start(model="hndsr", options=pb.UpscaleOptions(texture=2)),
    ),
    "17 cores": Violation("PLAN_INCOMPATIBLE", "start.cores_per_tile", start(cores=17), settings=ROOMY),
    "tiles over the limit": Violation("PLAN_INCOMPATIBLE", "start.cores_per_tile", start(cores=2)),
    "digest of another plan": Violation("PLAN_INCOMPATIBLE", "start.required_digest", start(digest="0" * 64)),
    "unknown model": Violation("MODEL_NOT_FOUND", "", start(model="swin"), code=grpc.StatusCode.NOT_FOUND),
    "other revision": Violation(
        *("REVISION_CHANGED", "", start(required_revision="revision-0")), code=grpc.StatusCode.FAILED_PRECONDITION
    ),
}


class _Failures(logging.Handler):
    """What is logged as an error or with a traceback, by anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(record.getMessage())

    def __enter__(self) -> _Failures:  # noqa: PYI034 - Self is of Python 3.11
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        gc.collect()  # of tasks whose errors nobody asked for, asyncio tells when they go
        logging.getLogger().removeHandler(self)


@functools.cache
def consequence(name: str) -> Consequence:
    """Let one violation happen."""
    violation, backend, found = VIOLATIONS[name], FakeBackend(), []

    async def test() -> None:
        async with running(backend, **violation.settings) as client:
            told = await refusal(violate(Stream(client, violation.first), violation))
            _, after = await upscaled(client, PIXELS, cores=1, order=lambda places: places[:1])
            found.extend((told, after.summary.tiles == 1))

    with _Failures() as failures:
        run(test())
    told, served = found
    return Consequence(told, served, failures.found, backend.outcomes())


async def violate(stream: Stream, violation: Violation) -> None:
    """Send it all, the offending message last, as who still sends may not see the status; and read to the end."""
    if violation.first is not None:
        plan = await stream.open()
        await stream.send(violation.after(plan.plan))
    if violation.ends:
        await stream.end()
    await stream.rest()


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_is_refused_with_its_reason_and_field(name: str) -> None:
    expected, found = VIOLATIONS[name], consequence(name).refusal
    assert (found.code, found.reason, found.field) == (expected.code, expected.reason, expected.field)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_leaves_the_room_to_the_next_stream(name: str) -> None:
    assert consequence(name).served


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_leaves_no_tile_behind(name: str) -> None:
    assert "running" not in consequence(name).outcomes


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_is_no_failure_of_the_server(name: str) -> None:
    assert consequence(name).failures == []


def test_digest_of_another_plan_is_refused_when_it_is_of_other_options() -> None:
    found = []

    async def test() -> None:
        async with running(FakeBackend()) as client:
            plan = (await Stream(client, start(model="hndsr")).open()).plan
            other = start(model="hndsr", digest=plan.digest, options=pb.UpscaleOptions(seed=1))
            found.append(await refusal(Stream(client, other).open()))

    run(test())
    assert found[0].reason == "PLAN_INCOMPATIBLE"
