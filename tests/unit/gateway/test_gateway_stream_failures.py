"""UpscaleStream: tiles that fail, and what ends the whole stream."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from fakes import FakeBackend
from fleet import FakeEndpoint, gateway_over
from in_process import THREE_WINDOWS, Refusal, refusal, run, running, scene
from streams import opened, start

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway import scene_stream
from hndsr_gateway.errors import (
    BackendMismatchError,
    GatewayError,
    NotFiniteError,
    RevisionChangedError,
    UnavailableError,
)

PIXELS = scene(THREE_WINDOWS)
"""Three tiles of one core each below each other."""


@pytest.mark.parametrize(
    ("error", "delay_s"),
    [(UnavailableError("text", retry_delay_s=2.5), 2.5), (BackendMismatchError(), None), (NotFiniteError(), None)],
    ids=lambda value: type(value).__name__,
)
def test_tile_that_fails_is_answered_with_its_error(error: GatewayError, delay_s: float | None) -> None:
    backend, found = FakeBackend(), []
    backend.tile_errors[0] = error

    async def test() -> None:
        async with running(backend) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 1)
            found.append((await stream.read()).tile_error)

    run(test())
    (told,) = found
    delay = told.retry_delay.ToTimedelta().total_seconds() if told.HasField("retry_delay") else None
    assert (told.row, told.column, told.reason, told.message, delay) == (1, 0, error.reason, str(error), delay_s)


def test_tile_that_failed_can_be_sent_again() -> None:
    backend, found = FakeBackend(), []
    backend.tile_errors = {0: UnavailableError(), 1: BackendMismatchError()}

    async def test() -> None:
        async with running(backend) as client:
            stream, target = await opened(client, PIXELS)
            for _ in range(3):
                await stream.send_tiles(target, PIXELS, 1)
                found.append(await stream.tile(target))

    run(test())
    assert found == [((1, 0), False), ((1, 0), False), ((1, 0), True)]


def test_tile_that_fails_leaves_the_others_alone() -> None:
    backend, found = FakeBackend(), []
    backend.tile_errors[1] = UnavailableError()

    async def test() -> None:
        async with running(backend) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0, 1, 2)
            found.extend([await stream.tile(target) for _ in range(3)])

    run(test())
    assert sorted(found) == [((0, 0), True), ((1, 0), False), ((2, 0), True)]


def test_tile_that_fails_gives_its_place_to_the_next() -> None:
    backend, found = FakeBackend(), []
    backend.tile_errors = {number: UnavailableError() for number in range(5)}

    async def test() -> None:
        async with running(backend, stream_tiles=1) as client:
            stream, target = await opened(client, PIXELS)
            for _ in range(6):
                await stream.send_tiles(target, PIXELS, 0)
                found.append((await stream.tile(target))[1])

    run(test())
    assert found == [False] * 5 + [True]


def refused_with(backend: FakeBackend) -> Refusal:
    """How a stream ends whose first tile the backend does not like."""
    found = []

    async def test() -> None:
        async with running(backend) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0)
            found.append(await refusal(stream.rest()))

    run(test())
    return found[0]


def test_revision_that_changes_ends_the_stream() -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = RevisionChangedError(required="a", served="b")
    found = refused_with(backend)
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_CHANGED")


def test_revision_that_changes_is_served_to_the_next_stream() -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with running(backend, health_interval_s=100) as client:
            stream, target = await opened(client, PIXELS)
            backend.revision = "revision-2"
            await stream.send_tiles(target, PIXELS, 0)
            await refusal(stream.rest())
            assert (await opened(client, PIXELS))[1].plan.revision == "revision-2"

    run(test())


def test_revision_that_has_been_gone_for_long_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no endpoint serves the revision any more, to send the tile again would not help."""
    monkeypatch.setattr(scene_stream, "GONE_S", 0.0)
    backend = FakeEndpoint()

    async def test() -> None:
        async with gateway_over([backend], health_interval_s=0.01) as client:
            stream, target = await opened(client, PIXELS)
            backend.revision = "revision-2"
            while (await client.upscale.GetModelInfo(pb.GetModelInfoRequest())).models[0].revision != backend.revision:
                pass
            await stream.send_tiles(target, PIXELS, 0, 1)  # with the first one it is noticed
            found = await refusal(stream.rest())
            assert found.reason == "REVISION_CHANGED"

    run(test())


@pytest.mark.parametrize("number", [0, 1])
def test_message_that_cannot_be_read_ends_the_stream_as_changed(number: int) -> None:
    messages = [start(PIXELS, cores=1).SerializeToString()] * number + [b"\xff\xff"]

    async def test() -> None:
        async with running(FakeBackend()) as client:
            call = client.channel.stream_stream("/hndsr.v1.UpscaleService/UpscaleStream")(iter(messages))
            found = await refusal(collected(call))
            assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")

    run(test())


async def collected(call: Any) -> list[bytes]:
    return [answer async for answer in call]


def test_unforeseen_error_of_a_tile_ends_the_stream_with_a_fixed_text() -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = ZeroDivisionError("secret path")
    expected = Refusal(grpc.StatusCode.INTERNAL, str(GatewayError("the server failed")), "INTERNAL", "", None)
    assert refused_with(backend) == expected


def test_unforeseen_error_of_a_tile_stops_the_others() -> None:
    backend = FakeBackend()
    backend.hold()
    backend.tile_errors[1] = ZeroDivisionError()

    async def test() -> None:
        async with running(backend, max_inflight_tiles=2) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0, 1, 2)
            await refusal(stream.rest())
            assert sorted(backend.outcomes()) == ["cancelled", "failed"]

    run(test())
