"""A gateway over two real Tritons, one of which is killed in the middle of an image."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from in_process import raw, request, scene
from messages import raw_pixels
from oracle import upscale
from tritonclient.grpc import aio

from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.hosting import embedded_options
from hndsr_gateway.server import running_gateway
from hndsr_gateway.settings import Settings
from hndsr_gateway.triton.client import TILING_MODEL
from hndsr_gateway.triton.embedded import EmbeddedTriton

pytest.importorskip("pytriton")

SOURCE, SCALE = scene((600, 600)), "4"
"""121 windows, each a tile of its own."""
LARGE = [("grpc.max_receive_message_length", -1)]
TILES_BEFORE = 10
"""Answers of a Triton before it is killed; the first ones describe its models."""


@contextlib.asynccontextmanager
async def tritons(count: int) -> AsyncIterator[list[EmbeddedTriton]]:
    """So many of them, each with `bicubic` only and without a cache."""
    options = embedded_options(Settings(models="bicubic", window_cache_mib=0))
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EmbeddedTriton(options)) for _ in range(count)]


async def answers(triton: EmbeddedTriton) -> int:
    """How often a Triton has answered."""
    async with aio.InferenceServerClient(triton.grpc_address) as client:
        statistics = await client.get_inference_statistics(TILING_MODEL)
    return int(statistics.model_stats[0].inference_stats.success.count)


async def busy(running: list[EmbeddedTriton]) -> EmbeddedTriton:
    """The first one that has done some tiles."""
    while True:
        for triton in running:
            if await answers(triton) >= TILES_BEFORE:
                return triton
        await asyncio.sleep(0.02)


async def upscaled_while_one_is_killed() -> tuple[np.ndarray, bool]:
    """The target of `SOURCE`, and whether it was still worked on when the Triton was killed."""
    async with tritons(2) as running:
        settings = Settings(
            listen="127.0.0.1:0",
            triton_endpoints=",".join(triton.grpc_address for triton in running),
            default_model="bicubic",
            cores_per_tile=1,
            image_workers=1,
        )
        async with running_gateway(settings) as gateway, grpc.aio.insecure_channel(gateway.address, LARGE) as channel:
            call = upscale_pb2_grpc.UpscaleServiceStub(channel).Upscale(request(raw(SOURCE), scale=SCALE))
            victim = await asyncio.wait_for(busy(running), 20)
            os.kill(victim.pid, signal.SIGKILL)
            midway = not call.done()
            return raw_pixels((await call).raw), midway


def test_image_is_the_same_when_a_triton_is_killed_in_its_middle() -> None:
    pixels, midway = asyncio.run(asyncio.wait_for(upscaled_while_one_is_killed(), 60))
    assert midway
    np.testing.assert_array_equal(pixels, upscale(SOURCE, model="bicubic", scale=SCALE).pixels)
