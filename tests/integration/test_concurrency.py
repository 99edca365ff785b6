"""64 clients at once: nothing is lost, nothing is mixed up, and what was computed once is not computed again."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
from in_process import png, raw, read_png, request, scene
from messages import raw_pixels
from oracle import upscale

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.server import Gateway

CLIENTS, REQUESTS = 64, 4
SIZES = [(1, 1), (8, 8), (40, 30), (64, 64), (13, 200), (150, 170), (300, 280), (16, 5)]


def message(client: int, number: int) -> tuple[np.ndarray, pb.UpscaleRequest]:
    """A source that no other request has, and the request to upscale it."""
    seed = client * REQUESTS + number
    source = scene(SIZES[seed % len(SIZES)], seed=seed)
    return source, request(png(source) if client % 2 else raw(source), scale="3")


def pixels_of(answer: pb.UpscaleResponse) -> np.ndarray:
    """The target of an answer, as a file or raw."""
    return read_png(answer.encoded) if answer.encoded else raw_pixels(answer.raw)


async def answers_of(address: str, client: int) -> list[np.ndarray]:
    """The targets that one client gets, one request after the other, over a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = upscale_pb2_grpc.UpscaleServiceStub(channel)
        return [pixels_of(await stub.Upscale(message(client, number)[1])) for number in range(REQUESTS)]


def test_every_client_gets_the_bytes_of_its_own_images(gateway: Gateway) -> None:
    async def all_answers() -> list[list[np.ndarray]]:
        return await asyncio.gather(*(answers_of(gateway.address, client) for client in range(CLIENTS)))

    answers = asyncio.run(all_answers())
    for client in range(CLIENTS):
        for number in range(REQUESTS):
            source = message(client, number)[0]
            expected = upscale(source, model="bicubic", scale="3").pixels
            np.testing.assert_array_equal(answers[client][number], expected)


@pytest.mark.parametrize("model", ["bicubic", "hndsr"])
def test_identical_request_is_answered_from_the_window_cache(
    stub: upscale_pb2_grpc.UpscaleServiceStub, model: str
) -> None:
    source = raw(scene((80, 70), seed=4711))
    first, second = (
        stub.Upscale(request(source, model=model, options=pb.UpscaleOptions(steps=1))).metadata for _ in range(2)
    )
    assert (first.computed_windows, second.computed_windows) == (first.windows, 0)
