"""Strips on the wire: their bytes are those that protobuf makes of the same message."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.convert_stream import answer_bytes
from hndsr_gateway.strips import Strip, checksum, target_strips
from hndsr_gateway.types import Raster


def pixels(size_bytes: int) -> bytes:
    """Random bytes."""
    return np.random.default_rng(size_bytes).bytes(size_bytes)


@pytest.mark.parametrize("size_bytes", [1, 3, 100, 127, 128, 16_383, 16_384, 2**21 - 1, 2**21, 2**21 + 1])
def test_strip_has_the_bytes_of_its_message_at_any_size(size_bytes: int) -> None:
    fields: dict[str, Any] = {"pixels": pixels(size_bytes), "mask": b"", "checksum": 2**32 - 1, "last": False}
    message = pb.UpscaleStreamResponse(strip=pb.TargetStrip(row=1, column=300, y_px=70_000, **fields))
    assert answer_bytes(Strip((1, 300), 70_000, **fields)) == message.SerializeToString()


@pytest.mark.parametrize(("place", "y", "last"), [((0, 0), 0, True), ((0, 2**31), 0, False), ((2**32 - 1, 0), 1, True)])
@pytest.mark.parametrize("mask", [b"", b"\xf0"])
def test_strip_has_the_bytes_of_its_message_at_any_place(
    place: tuple[int, int], y: int, *, last: bool, mask: bytes
) -> None:
    fields: dict[str, Any] = {"pixels": pixels(12), "mask": mask, "checksum": 0, "last": last}
    message = pb.UpscaleStreamResponse(strip=pb.TargetStrip(row=place[0], column=place[1], y_px=y, **fields))
    assert answer_bytes(Strip(place, y, **fields)) == message.SerializeToString()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("transposed", [False, True])
def test_target_strips_hold_the_rows_however_the_raster_lies_in_memory(dtype: str, *, transposed: bool) -> None:
    samples = np.frombuffer(pixels(7 * 9 * 3 * np.dtype(dtype).itemsize), dtype).reshape(7, 9, 3)
    laid = samples.transpose(1, 0, 2).copy().transpose(1, 0, 2) if transposed else samples
    assert b"".join(strip.pixels for strip in target_strips((0, 0), Raster(laid))) == samples.tobytes()


def test_checksum_is_that_of_zlib() -> None:
    head = b"\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00"
    content = pixels(100_003)
    assert checksum((1, 2), 3, content, b"mask", last=True) == zlib.crc32(head + content + b"mask")
