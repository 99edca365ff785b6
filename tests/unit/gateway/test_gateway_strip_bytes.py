"""Strips on the wire: their bytes are those that protobuf makes of the same message."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.convert_stream import answer_bytes, strip_of
from hndsr_gateway.errors import ChecksumMismatchError, StreamProtocolError
from hndsr_gateway.strips import Strip, checksum, target_strips
from hndsr_gateway.types import Raster
from hndsr_gateway.wire import record


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


NUMBERS = st.integers(0, 2**32 - 1)
SOURCE_STRIPS = st.builds(
    pb.SourceStrip,
    row=NUMBERS,
    column=NUMBERS,
    y_px=NUMBERS,
    pixels=st.binary(max_size=300),
    mask=st.binary(max_size=200),
    checksum=NUMBERS,
    last=st.booleans(),
)


def source_strip(message: pb.SourceStrip) -> Strip:
    """What protobuf reads in it."""
    place = (message.row, message.column)
    return Strip(place, message.y_px, message.pixels, message.mask, message.checksum, message.last)


@given(message=SOURCE_STRIPS)
def test_strip_is_read_as_protobuf_reads_it(message: pb.SourceStrip) -> None:
    assert strip_of(pb.UpscaleStreamRequest(strip=message).SerializeToString()) == source_strip(message)


@given(first=SOURCE_STRIPS, second=SOURCE_STRIPS)
def test_strip_that_comes_in_two_parts_is_merged_as_protobuf_does(
    first: pb.SourceStrip, second: pb.SourceStrip
) -> None:
    twice = b"".join(pb.UpscaleStreamRequest(strip=part).SerializeToString() for part in (first, second))
    assert strip_of(twice) == source_strip(pb.UpscaleStreamRequest.FromString(twice).strip)


@given(first=SOURCE_STRIPS, second=SOURCE_STRIPS)
def test_strip_with_fields_that_come_twice_is_read_as_protobuf_reads_it(
    first: pb.SourceStrip, second: pb.SourceStrip
) -> None:
    content = first.SerializeToString() + second.SerializeToString()
    request = b"".join(record(pb.UpscaleStreamRequest.STRIP_FIELD_NUMBER, content))
    assert strip_of(request) == source_strip(pb.SourceStrip.FromString(content))


@given(request=st.binary(max_size=40), message=SOURCE_STRIPS, cut=st.integers(0, 40))
def test_what_is_no_strip_is_refused_as_protobuf_refuses_it(request: bytes, message: pb.SourceStrip, cut: int) -> None:
    shortened = pb.UpscaleStreamRequest(strip=message).SerializeToString()[: -cut - 1]
    for odd in (request, shortened, shortened + request):
        try:
            expected = pb.UpscaleStreamRequest.FromString(odd)
        except DecodeError:
            with pytest.raises(ChecksumMismatchError):
                strip_of(odd)
            continue
        if expected.WhichOneof("message") == "strip":
            assert strip_of(odd) == source_strip(expected.strip)
        else:
            with pytest.raises(StreamProtocolError):
                strip_of(odd)


def test_number_that_does_not_end_is_given_up_at_once() -> None:
    with pytest.raises(ChecksumMismatchError):
        strip_of(b"\x80" * 2**22)


def test_pixels_of_a_strip_are_not_copied() -> None:
    request = pb.UpscaleStreamRequest(strip=pb.SourceStrip(pixels=pixels(1000), mask=b"m")).SerializeToString()
    read = strip_of(request).pixels
    assert isinstance(read, memoryview)
    assert read.obj is request


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
