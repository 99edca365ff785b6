"""Streams that a gateway answers or refuses, and so must the fake server that is shipped."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import streams
from contract.fake_server_calls import MODEL, REVISION, options, ranges
from in_process import scene
from streams import Place, checksum, places, strips

from hndsr.v1 import upscale_pb2 as pb

PIXELS = scene((150, 270))
WIDE_PIXELS = scene((150, 270), "uint16")
MASK = np.random.default_rng(1).random((150, 270)) < 0.7
CORNER = np.ones_like(MASK)
CORNER[:20, :30] = False
LARGE_PIXELS = scene((300, 300))
"""Of which a tile's target does not fit in a strip."""
HUGE_PIXELS = np.zeros((1100, 700, 3), np.uint8)
"""Of which a tile's source does not fit in a strip."""

Messages = Iterable[pb.UpscaleStreamRequest]


@dataclass(frozen=True)
class Stream:
    """What is sent first, what is sent once the plan is known, and the reason for which it is refused."""

    first: pb.UpscaleStreamRequest | None
    after: Callable[[pb.Plan], Messages] = lambda _: ()
    reason: str = ""


def start(pixels: np.ndarray = PIXELS, *, cores: int = 1, **parameters: Any) -> pb.UpscaleStreamRequest:
    return streams.start(pixels, cores=cores, **{"model": MODEL, "scale": "2", **parameters})


def changed_start(first: pb.UpscaleStreamRequest, **fields: Any) -> pb.UpscaleStreamRequest:
    message = pb.UpscaleStreamRequest()
    message.CopyFrom(first)
    for name, value in fields.items():
        setattr(message.start, name, value)
    return message


def sent(strip: pb.SourceStrip) -> pb.UpscaleStreamRequest:
    strip.checksum = checksum(strip)
    return pb.UpscaleStreamRequest(strip=strip)


def tile(
    plan: pb.Plan, place: Place, pixels: np.ndarray = PIXELS, *, mask: np.ndarray | None = None, rows: int = 100
) -> list[pb.UpscaleStreamRequest]:
    return list(strips(plan, place, pixels, mask, rows=rows))


def tiles(pixels: np.ndarray = PIXELS, *, step: int = 1, **options: Any) -> Callable[[pb.Plan], Messages]:
    """All tiles, or every so many of them, backwards below 0."""

    def after(plan: pb.Plan) -> Iterator[pb.UpscaleStreamRequest]:
        for place in places(plan)[::step]:
            yield from tile(plan, place, pixels, **options)

    return after


def first_strip(**fields: Any) -> Callable[[pb.Plan], Messages]:
    """The first strip of the first tile, with other fields and their checksum."""
    return nth_strip(0, **fields)


def nth_strip(number: int, **fields: Any) -> Callable[[pb.Plan], Messages]:
    """The strips of the first tile up to one that has other fields, and their checksum."""

    def after(plan: pb.Plan) -> Messages:
        strips = tile(plan, (0, 0), mask=MASK)[: number + 1]
        for name, value in fields.items():
            setattr(strips[-1].strip, name, value(strips[-1].strip) if callable(value) else value)
        return [*strips[:-1], sent(strips[-1].strip)]

    return after


def damaged(**fields: Any) -> Callable[[pb.Plan], Messages]:
    """The first strip of the second tile, with other fields and the checksum of what it was."""

    def after(plan: pb.Plan) -> Messages:
        message = tile(plan, (0, 1), mask=MASK)[0]
        for name, value in fields.items():
            setattr(message.strip, name, value(message.strip))
        return [message]

    return after


def two_tiles_at_once(plan: pb.Plan) -> Messages:
    one, other = tile(plan, (0, 0)), tile(plan, (0, 1))
    return [one[0], other[0]]


def twice(plan: pb.Plan) -> Messages:
    return [*tile(plan, (0, 1)), *tile(plan, (0, 1), rows=7)]


def all_at_once(plan: pb.Plan) -> Messages:
    return tile(plan, (0, 0), HUGE_PIXELS, rows=1100)


def then(message: pb.UpscaleStreamRequest) -> Callable[[pb.Plan], Messages]:
    return lambda plan: [*tile(plan, (0, 0)), message]


def big_endian(strip: pb.SourceStrip) -> int:
    head = struct.pack(">4I", strip.row, strip.column, strip.y_px, strip.last)
    return zlib.crc32(head + strip.pixels + strip.mask)


def without_mask(strip: pb.SourceStrip) -> int:
    return zlib.crc32(struct.pack("<4I", strip.row, strip.column, strip.y_px, strip.last) + strip.pixels)


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


EMPTY = pb.UpscaleStreamRequest()
A_STRIP = sent(pb.SourceStrip(pixels=b"abc", last=True))

STREAMS: dict[str, Stream] = {
    "8 bits": Stream(start(), tiles()),
    "16 bits": Stream(start(WIDE_PIXELS, scale="22/7"), tiles(WIDE_PIXELS)),
    "value ranges": Stream(start(WIDE_PIXELS, value_ranges=ranges(*[(0, 3000.5)] * 3)), tiles(WIDE_PIXELS)),
    "options": Stream(start(options=options(steps=1, texture=0.1, seed=7)), tiles()),
    "required revision": Stream(start(required_revision=REVISION), tiles()),
    "mask": Stream(start(scale="3.14"), tiles(mask=MASK)),
    "mask of 16 bits": Stream(start(WIDE_PIXELS), tiles(WIDE_PIXELS, mask=MASK)),
    "mask of a corner": Stream(start(), tiles(mask=CORNER)),
    "mask of all": Stream(start(), tiles(mask=np.ones_like(MASK))),
    "strips of a row": Stream(start(), tiles(rows=1, mask=MASK)),
    "whole tiles": Stream(start(), tiles(rows=150)),
    "tiles backwards": Stream(start(), tiles(step=-1)),
    "every second tile": Stream(start(), tiles(step=2)),
    "no tile": Stream(start()),
    "a tile twice": Stream(start(), twice),
    "tiles of 2 cores": Stream(start(cores=2), tiles()),
    "tiles of the server's choice": Stream(start(cores=0, scale="5"), tiles()),
    "large tiles": Stream(start(LARGE_PIXELS, cores=16, scale="4"), tiles(LARGE_PIXELS)),
    # Starts
    "no message": Stream(None, reason="STREAM_PROTOCOL"),
    "empty message": Stream(EMPTY, reason="STREAM_PROTOCOL"),
    "strip without a start": Stream(A_STRIP, reason="STREAM_PROTOCOL"),
    "no row": Stream(changed_start(start(), source_height_px=0), reason="EMPTY_IMAGE"),
    "long side": Stream(changed_start(start(), source_width_px=2**31), reason="IMAGE_TOO_LARGE"),
    "no sample type": Stream(changed_start(start(), sample_type=0), reason="RAW_IMAGE_INVALID"),
    "unknown sample type": Stream(changed_start(start(), sample_type=9), reason="RAW_IMAGE_INVALID"),
    "another digest": Stream(start(digest="d1ce"), reason="PLAN_INCOMPATIBLE"),
    "17 cores": Stream(start(cores=17), reason="PLAN_INCOMPATIBLE"),
    "another model": Stream(start(model="x"), reason="MODEL_NOT_FOUND"),
    "another revision": Stream(start(required_revision="x"), reason="REVISION_CHANGED"),
    "scale 9": Stream(start(scale="9"), reason="SCALE_OUT_OF_RANGE"),
    "steps 101": Stream(start(options=options(steps=101)), reason="OPTION_OUT_OF_RANGE"),
    "one value range": Stream(start(value_ranges=ranges((0, 1))), reason="VALUE_RANGE_INVALID"),
    "wide value ranges": Stream(start(value_ranges=ranges(*[(0, 256)] * 3)), reason="VALUE_RANGE_INVALID"),
    # Order
    "second start": Stream(start(), then(start()), "STREAM_PROTOCOL"),
    "empty message between strips": Stream(start(), then(EMPTY), "STREAM_PROTOCOL"),
    "two tiles at once": Stream(start(), two_tiles_at_once, "STREAM_PROTOCOL"),
    "tile without its first rows": Stream(start(), first_strip(y_px=1), "STREAM_PROTOCOL"),
    "tile with a gap": Stream(start(), nth_strip(1, y_px=101), "STREAM_PROTOCOL"),
    "tile with rows twice": Stream(start(), nth_strip(1, y_px=0), "STREAM_PROTOCOL"),
    "end within a tile": Stream(start(), first_strip(), "STREAM_PROTOCOL"),
    # Sizes
    "row beyond the plan": Stream(start(), first_strip(row=2), "TILE_MISMATCH"),
    "column beyond the plan": Stream(start(), first_strip(column=2**32 - 1), "TILE_MISMATCH"),
    "no pixels": Stream(start(), first_strip(pixels=b""), "TILE_MISMATCH"),
    "half a row": Stream(start(), first_strip(pixels=lambda strip: strip.pixels[:-3]), "TILE_MISMATCH"),
    "too many rows": Stream(start(), nth_strip(1, pixels=lambda strip: strip.pixels * 2), "TILE_MISMATCH"),
    "last too early": Stream(start(), first_strip(last=True), "TILE_MISMATCH"),
    "no last": Stream(start(), nth_strip(1, last=False), "TILE_MISMATCH"),
    "half a mask": Stream(start(), first_strip(mask=lambda strip: strip.mask[:-1]), "TILE_MISMATCH"),
    "mask and more": Stream(start(), first_strip(mask=lambda strip: strip.mask + b"\0"), "TILE_MISMATCH"),
    "more than 2 MiB": Stream(start(HUGE_PIXELS, cores=16, scale="1.5"), all_at_once, "TILE_MISMATCH"),
    # Checksums
    "no checksum": Stream(start(), damaged(checksum=lambda _: 0), "CHECKSUM_MISMATCH"),
    "checksum of big-endian numbers": Stream(start(), damaged(checksum=big_endian), "CHECKSUM_MISMATCH"),
    "checksum without the mask": Stream(start(), damaged(checksum=without_mask), "CHECKSUM_MISMATCH"),
    "damaged pixels": Stream(start(), damaged(pixels=lambda strip: flipped(strip.pixels)), "CHECKSUM_MISMATCH"),
    "damaged mask": Stream(start(), damaged(mask=lambda strip: flipped(strip.mask)), "CHECKSUM_MISMATCH"),
    "damaged place": Stream(start(), damaged(row=lambda _: 9), "CHECKSUM_MISMATCH"),
}
"""Streams of messages: where no reason is named they are answered."""
