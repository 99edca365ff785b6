"""Hostile names, metadata and callers at a whole gateway: refused with a reason, told of in one line, and forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from fakes import FakeBackend
from in_process import Client, connected, raw, refusal, request, run, running, scene, served
from raw_http2 import INFO, STREAM, data, head, header_block, headers, literal, message, raw_connection
from streams import opened, start

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry.logs import _json, _text, _Traced

PIXELS = scene((5, 7))
NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\secrets",
    "bicubic\0hidden",
    "x" * 2**20,
    "bicubic\n2026-11-22 10:00:00,000 INFO hndsr_gateway.access: forged",
    "\x1b[2Jcleared",
    "\u202egnp.exe",
    "%s%n{0}",
    "bicubic/../hndsr",
]


@pytest.fixture
def written() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """The log as text and as JSON."""
    outputs = io.StringIO(), io.StringIO()
    forms = _text(with_process=False), _json(with_process=False)
    handlers = [logging.StreamHandler(output) for output in outputs]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    for handler, form in zip(handlers, forms, strict=True):
        handler.addFilter(_Traced())
        handler.setFormatter(form)
        root.addHandler(handler)
    yield outputs
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def found(client: Client, name: str, field: str) -> grpc.aio.UnaryUnaryCall:
    """A call with that name in a field."""
    return client.upscale.Upscale(request(raw(PIXELS), **{field: name}))


@pytest.mark.parametrize("field", ["model", "required_revision"])
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_name_is_refused_and_told_of_shortly(name: str, field: str) -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            said = await refusal(found(client, name, field))
            assert said.reason in {"MODEL_NOT_FOUND", "REVISION_CHANGED"}
            assert (len(said.text) < 500, said.text.isprintable()) == (True, True)
            await client.upscale.Upscale(request(raw(PIXELS)))

    run(test())


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_digest_of_a_stream_is_refused_and_told_of_shortly(name: str) -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            call = client.upscale.UpscaleStream(iter([start(PIXELS, digest=name)]))
            said = await refusal(call.read())
            assert (said.reason, len(said.text) < 500, said.text.isprintable()) == ("PLAN_INCOMPATIBLE", True, True)

    run(test())


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_name_forges_no_line_of_the_log(name: str, written: tuple[io.StringIO, io.StringIO]) -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            metadata = (("traceparent", "00-garbage-01"), ("user-agent", "x"))
            for field in ("model", "required_revision"):
                await refusal(client.upscale.Upscale(request(raw(PIXELS), **{field: name}), metadata=metadata))

    run(test())
    text, lines = (output.getvalue() for output in written)
    assert all(line.isprintable() for line in text.splitlines())
    assert not any(
        line.endswith("access: forged") and line.startswith("2026-11-22 10:00:00,000") for line in text.splitlines()
    )
    assert all(isinstance(json.loads(line), dict) for line in lines.splitlines())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"traceparent", b"00-" + b"f" * 10_000),
        (b"traceparent", b"\xff\xfe\x00"),
        (b"tracestate", b"=,=," * 2000),
        (b"baggage", b"a=" + b"%00" * 2000),
        (b"x-bin", b"not base64 !!"),
        (b"grpc-timeout", b"99999999999999H"),
        (b"grpc-timeout", b"-1S"),
        (b"grpc-encoding", b"no-such"),
        (b"content-type", b"text/html"),
    ],
)
def test_odd_metadata_ends_a_call_at_most(name: bytes, value: bytes) -> None:
    async def test() -> None:
        chosen = Settings(listen="127.0.0.1:0", drain_grace_s=0)
        async with served(FakeBackend(), chosen) as address, connected(address) as client:
            async with raw_connection(address) as connection:
                block = header_block(INFO) + literal(name, value)
                await connection.send(head(1, block), data(1, message(), "END_STREAM"))
                await connection.pinged()
            await client.upscale.GetModelInfo(pb.GetModelInfoRequest())

    run(test())


def test_binary_metadata_of_a_client_is_no_matter() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            metadata = (("traceparent-bin", bytes(range(256)) * 16),)
            await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=metadata)

    run(test())


def test_path_that_is_none_is_unimplemented() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            for path in ("/../../etc/passwd", "/hndsr.v1.UpscaleService/../Upscale", "/" + "x" * 5000, "//"):
                assert (await refusal(client.channel.unary_unary(path)(b""))).code == grpc.StatusCode.UNIMPLEMENTED

    run(test())


# Streams that are left


@contextlib.asynccontextmanager
async def few_streams() -> AsyncIterator[tuple[str, FakeBackend]]:
    """A gateway with room for two streams."""
    backend = FakeBackend()
    chosen = Settings(listen="127.0.0.1:0", drain_grace_s=0, max_streams=2, max_stream_bytes=2**28)
    async with served(backend, chosen) as address:
        yield address, backend


async def room_is_back(address: str) -> None:
    """Have two streams opened side by side, as soon as there is room for them."""
    async with connected(address) as client:
        while True:
            streams = await asyncio.gather(*(opened(client, PIXELS) for _ in range(2)), return_exceptions=True)
            for stream in streams:
                if not isinstance(stream, BaseException):
                    stream[0].call.cancel()
            if not any(isinstance(stream, BaseException) for stream in streams):
                return


def test_a_hundred_streams_that_are_cancelled_unread_leave_their_room() -> None:
    async def test() -> None:
        async with few_streams() as (address, _), connected(address) as client:
            for _ in range(100):
                call = client.upscale.UpscaleStream()
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await call.write(start(PIXELS))
                call.cancel()
            await room_is_back(address)

    run(test())


def test_a_hundred_streams_whose_sockets_are_closed_leave_their_room() -> None:
    first = message(start(PIXELS).SerializeToString())

    async def test() -> None:
        async with few_streams() as (address, _):
            for _ in range(100):
                async with raw_connection(address) as connection:
                    await connection.send(headers(1, header_block(STREAM)), data(1, first))
                    connection.drop()
            await room_is_back(address)

    run(test())
