"""A stream that has been open for as long as one may be is told to go on in another, and ends well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from fakes import FakeBackend
from in_process import THREE_WINDOWS, TINY_TILES, Client, run, running, scene
from streams import opened, start

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.caller import ALL_SCOPES
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import KeyQuotas

PIXELS = scene(THREE_WINDOWS)
AGE_S = 0.2


def test_old_stream_finishes_its_whole_tiles_and_ends_well() -> None:
    backend = FakeBackend()
    backend.hold()

    async def test() -> None:
        async with running(backend, max_stream_s=AGE_S, **TINY_TILES) as client:
            stream, target = await opened(client, PIXELS)
            await stream.send_tiles(target, PIXELS, 0)
            assert (await stream.until("draining")).resume_after.ToTimedelta().total_seconds() == 5
            backend.release()
            await stream.collect(target)
            assert (stream.summary.tiles, await stream.call.code()) == (1, grpc.StatusCode.OK)

    run(test())


def test_old_stream_without_a_tile_ends_well() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_stream_s=AGE_S) as client:
            stream, target = await opened(client, PIXELS)
            await stream.until("draining")
            await stream.collect(target)
            assert (stream.summary.tiles, await stream.call.code()) == (0, grpc.StatusCode.OK)

    run(test())


def test_room_of_an_old_stream_is_free_for_another() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_stream_s=AGE_S, max_streams=1) as client:
            for _ in range(2):
                stream, target = await opened(client, PIXELS)
                await stream.collect(target)
                assert await stream.call.code() == grpc.StatusCode.OK

    run(test())


async def ask_for_ever(client: Client, sent: tuple[tuple[str, str], ...]) -> None:
    """Call again and again, until it is refused."""
    while True:
        await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=sent)
        await asyncio.sleep(0.05)


def test_stream_of_a_revoked_key_ends_with_its_age_and_no_other_is_opened(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    key, _ = store.create("alice", scopes=ALL_SCOPES, expires=None, quotas=KeyQuotas())
    sent = (("authorization", f"Bearer {key}"),)

    async def test() -> None:
        async with running(FakeBackend(), max_stream_s=AGE_S, api_keys=str(tmp_path / "keys.json")) as client:
            stream = client.upscale.UpscaleStream(metadata=sent)
            await stream.write(start(PIXELS))
            store.revoke("alice")
            with pytest.raises(grpc.aio.AioRpcError, match="is revoked"):
                await ask_for_ever(client, sent)
            answers = [answer.WhichOneof("message") async for answer in stream]
            again = client.upscale.UpscaleStream(metadata=sent)
            assert (answers, await stream.code()) == (["plan", "draining", "summary"], grpc.StatusCode.OK)
            assert await again.code() == grpc.StatusCode.UNAUTHENTICATED

    run(test())
