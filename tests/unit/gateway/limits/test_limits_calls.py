"""Limits as callers meet them: real calls with real keys."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fakes import FakeBackend
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from in_process import THREE_WINDOWS, Client, raw, refusal, request, run, running, scene
from streams import Target, places, start, strips

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.caller import ALL_SCOPES
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import KeyQuotas
from hndsr_gateway.status import DETAILS_KEY

PIXELS = scene((20, 20))

Key = list[tuple[str, str]]
"""A key as a call sends it."""

THREE_TILES = scene(THREE_WINDOWS)
"""Three tiles of one core each below each other."""
THREE_TILES_PX = 16 * THREE_TILES.shape[0] * THREE_TILES.shape[1]
"""Of its target at scale 4."""


@pytest.fixture
def key(tmp_path: Path) -> Callable[..., Key]:
    """Makes keys with quotas."""
    store = KeyStore(tmp_path / "keys.json")

    def made(name: str, **quotas: int) -> Key:
        text, _ = store.create(name, scopes=ALL_SCOPES, expires=None, quotas=KeyQuotas(**quotas))
        return [("authorization", f"Bearer {text}")]

    return made


@contextlib.asynccontextmanager
async def serving(tmp_path: Path, backend: FakeBackend | None = None, **settings: Any) -> AsyncIterator[Client]:
    """A gateway that knows the keys."""
    async with running(backend or FakeBackend(), api_keys=str(tmp_path / "keys.json"), **settings) as client:
        yield client


def info(client: Client, key: Key | None = None) -> Any:
    return client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=key)


def upscale(client: Client, key: Key, pixels: np.ndarray = PIXELS) -> Any:
    return client.upscale.Upscale(request(raw(pixels), scale="4"), metadata=key)


async def violations(call: Any) -> list[tuple[str, str]]:
    """Subject and description of each quota that a refused call names."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call
    status = status_pb2.Status.FromString(dict(await call.trailing_metadata())[DETAILS_KEY])
    failure = error_details_pb2.QuotaFailure()
    named = [detail for detail in status.details if detail.Unpack(failure)]
    assert named
    return [(one.subject, one.description) for one in failure.violations]


def test_call_beyond_the_rate_of_its_key_is_refused(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", requests_per_minute=2)
        async with serving(tmp_path) as client:
            await info(client, survey)
            await info(client, survey)
            refused = await refusal(info(client, survey))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert refused.text.startswith("survey has 0 left of 2 requests per minute; try again after the delay")
        assert refused.retry_delay_s == pytest.approx(30, abs=20)

    run(test())


def test_call_beyond_a_quota_says_whose_and_which(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", requests_per_minute=1)
        async with serving(tmp_path) as client:
            await info(client, survey)
            [(subject, description)] = await violations(info(client, survey))
        assert (subject, description.partition(";")[0]) == ("survey", "survey has 0 left of 1 request per minute")

    run(test())


def test_call_of_another_key_is_answered(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey, harvest = key("survey", requests_per_minute=1), key("harvest", requests_per_minute=1)
        async with serving(tmp_path) as client:
            await info(client, survey)
            await refusal(info(client, survey))
            await info(client, harvest)

    run(test())


def test_call_beyond_the_rate_of_its_address_is_refused_before_it_says_who_it_is(
    key: Callable[..., Key], tmp_path: Path
) -> None:
    async def test() -> None:
        survey = key("survey")
        async with serving(tmp_path, address_requests_per_minute=2) as client:
            unknown = [await refusal(info(client)) for _ in range(3)]
            refused = await refusal(info(client, survey))
        assert [one.reason for one in unknown] == ["UNAUTHENTICATED", "UNAUTHENTICATED", "QUOTA_EXCEEDED"]
        assert refused.text.startswith("this address has 0 left of 2 requests per minute")

    run(test())


def test_call_without_key_is_counted_by_its_address() -> None:
    async def test() -> None:
        async with running(FakeBackend(), requests_per_minute=1) as client:
            await info(client)
            assert (await refusal(info(client))).text.startswith("this caller has 0 left of 1 request per minute")

    run(test())


def test_health_is_answered_whatever_the_limits() -> None:
    async def test() -> None:
        async with running(FakeBackend(), requests_per_minute=1, address_requests_per_minute=1) as client:
            for _ in range(3):
                await client.health.Check(health_pb2.HealthCheckRequest())

    run(test())


def test_call_beyond_calls_at_once_is_refused(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey, backend = key("survey", calls=1), FakeBackend()
        backend.hold()
        async with serving(tmp_path, backend) as client:
            first = upscale(client, survey)
            await backend.started(1)
            assert (await refusal(upscale(client, survey))).text.startswith("survey has 0 left of 1 call at once")
            backend.release()
            await first
            await upscale(client, survey)

    run(test())


def test_image_beyond_the_pixels_of_its_key_is_refused(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", target_px_per_hour=10_000)
        async with serving(tmp_path) as client:
            await upscale(client, survey)
            refused = await refusal(upscale(client, survey))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert re.match(
            r"survey has 3,6\d\d left of 10,000 target px per hour, of which this needs 6,400; try again", refused.text
        )

    run(test())


def test_image_beyond_an_hour_of_its_key_is_refused_for_good(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", target_px_per_hour=6_000)
        async with serving(tmp_path) as client:
            refused = await refusal(upscale(client, survey))
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_TOO_LARGE")
        assert refused.text.startswith("the target has 6,400 px, this caller may have 6,000 px per hour; send")
        assert refused.retry_delay_s is None

    run(test())


async def stream_of_three(client: Client, survey: Key) -> Target:
    """The target of a stream of three tiles, as far as it comes."""
    call = client.upscale.UpscaleStream(metadata=survey)
    await call.write(start(THREE_TILES, cores=1))
    target = Target((await call.read()).plan.plan, THREE_TILES.dtype)
    with contextlib.suppress(asyncio.InvalidStateError):  # it ends meanwhile
        for place in places(target.plan):
            for strip in strips(target.plan, place, THREE_TILES):
                await call.write(strip)
        await call.done_writing()
    while (answer := await call.read()) is not grpc.aio.EOF:
        if answer.HasField("strip"):
            target.add(answer.strip)
    return target


def test_stream_waits_for_pixels_that_are_soon_there(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", target_px_per_hour=THREE_TILES_PX - 5)
        async with serving(tmp_path) as client:
            assert not (await stream_of_three(client, survey)).missing()

    run(test())


def test_stream_beyond_the_pixels_of_its_key_ends(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", target_px_per_hour=THREE_TILES_PX - 10_000)
        async with serving(tmp_path) as client:
            refused = await refusal(stream_of_three(client, survey))
        assert refused.reason == "QUOTA_EXCEEDED"
        assert refused.retry_delay_s == pytest.approx(3600 * 10_000 / (THREE_TILES_PX - 10_000), rel=0.1)

    run(test())


def test_stream_and_plan_of_one_caller_have_the_same_tiles(key: Callable[..., Key], tmp_path: Path) -> None:
    pixels = scene((200, 200))

    async def test() -> None:
        survey = key("survey", target_px_per_hour=800_000)
        async with serving(tmp_path, stream_tile_time_s=1e9) as client:
            parameters = pb.UpscaleParameters(model="bicubic", scale="4")
            asked = pb.PlanUpscaleRequest(
                source_height_px=200, source_width_px=200, sample_type=pb.SAMPLE_TYPE_UINT8, parameters=parameters
            )
            planned = (await client.upscale.PlanUpscale(asked, metadata=survey)).plan
            stream = client.upscale.UpscaleStream(metadata=survey)
            await stream.write(start(pixels, scale="4"))
            opened = (await stream.read()).plan.plan
        assert (opened.digest, len(opened.row_spans)) == (planned.digest, 4)

    run(test())


def test_stream_beyond_streams_at_once_is_refused(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", streams=1)
        async with serving(tmp_path) as client:
            assert await is_opened(client.upscale.UpscaleStream(metadata=survey))
            refused = await refusal(client.upscale.UpscaleStream(metadata=survey).read())
        assert refused.text.startswith("survey has 0 left of 1 stream at once")

    run(test())


def test_stream_that_is_abandoned_leaves_its_place(key: Callable[..., Key], tmp_path: Path) -> None:
    async def test() -> None:
        survey = key("survey", streams=1)
        async with serving(tmp_path) as client:
            for _ in range(20):
                while not await is_opened(stream := client.upscale.UpscaleStream(metadata=survey)):
                    pass  # the gateway has not heard yet that the one before is over
                stream.cancel()

    run(test())


async def is_opened(stream: Any) -> bool:
    """Whether a stream is let in."""
    with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
        await stream.write(start(PIXELS))
        return bool((await stream.read()).HasField("plan"))
    return False
