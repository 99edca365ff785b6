"""Streams over a way that delays, cuts and garbles: the right bytes or an error with a name, and never a hang."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from chaos.proxy import CUT, HALF_CLOSE, Faults, proxied
from fakes import FakeBackend
from in_process import connected, run, scene, served
from oracle import upscale
from streams import upscaled

from hndsr_client import Client, HndsrError
from hndsr_gateway.settings import Settings

SIZE = (200, 250)
"""At scale 2.5 in 9 tiles, of which 0.2 MiB are sent and 0.9 received."""
SMALL_SIZE = (60, 60)
"""In one tile, so that a good part of what is sent is no pixels."""
SCALE = "2.5"
TIMEOUT_S = 6.0
SLACK_S = 12.0
PATIENCE_S = 50.0


@dataclass(frozen=True)
class Ending:
    """How one image went over one way."""

    image: np.ndarray | None
    error: HndsrError | None
    happened: Counter[str]


@contextlib.asynccontextmanager
async def gateway(**settings: int) -> AsyncIterator[str]:
    """The address of a gateway over a fake backend."""
    chosen = Settings(**{"listen": "127.0.0.1:0", "drain_grace_s": 0, "max_streams": 100, **settings})
    async with served(FakeBackend(), chosen) as address:
        yield address


def expected(size: tuple[int, int] = SIZE) -> np.ndarray:
    """The right bytes."""
    return upscale(scene(size), model="bicubic", scale=SCALE).pixels


async def endings(faults: Faults, count: int, *, size: tuple[int, int] = SIZE, **allowed: float) -> list[Ending]:
    """The same image by the SDK over so many ways at once, each with a seed of its own."""
    with ThreadPoolExecutor(count) as threads:
        async with gateway() as address:
            return await asyncio.gather(
                *(ending(address, faults, seed, threads, size=size, **allowed) for seed in range(count))
            )


async def ending(address: str, faults: Faults, seed: int, threads: ThreadPoolExecutor, **options: Any) -> Ending:
    """One of them."""
    async with proxied(address, faults, seed=seed) as (way, happened):
        try:
            image = await asyncio.get_running_loop().run_in_executor(threads, lambda: by_sdk(way, **options))
        except HndsrError as error:
            return Ending(None, error, happened)
        return Ending(image, None, happened)


def by_sdk(address: str, *, size: tuple[int, int], timeout_s: float) -> np.ndarray | None:
    """The image as the SDK gets it."""
    with Client(address) as client:
        return client.upscale_array(
            scene(size), model="bicubic", scale=SCALE, cores_per_tile=1, patience_s=timeout_s, timeout_s=timeout_s
        ).image


async def by_hand(address: str) -> np.ndarray:
    """The image by messages of the test's own."""
    async with connected(address) as client:
        return (await upscaled(client, scene(SIZE), scale=SCALE, cores=1))[0].pixels


async def as_soon_as_possible(address: str) -> np.ndarray:
    """The same, once there is room for its stream."""
    while True:
        try:
            return await by_hand(address)
        except grpc.aio.AioRpcError as error:  # noqa: PERF203 - a stream is slower than any loop
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            await asyncio.sleep(0.01)


def test_stream_is_the_right_bytes_over_a_slow_way() -> None:
    async def test() -> None:
        async with gateway() as address, proxied(address, Faults(delay_s=0.02)) as (way, _):
            np.testing.assert_array_equal(await by_hand(way), expected())

    run(test())


@pytest.mark.parametrize("kind", [CUT, HALF_CLOSE])
def test_gateway_has_room_again_when_a_stream_was_broken(kind: str) -> None:
    faults = Faults(cuts_per_mib=4) if kind == CUT else Faults(half_closes_per_mib=4)

    async def test() -> None:
        async with gateway(max_streams=1) as address:
            for seed in range(3):
                async with proxied(address, faults, seed=seed) as (way, happened):
                    with pytest.raises(grpc.RpcError):
                        await by_hand(way)
                    assert happened[kind]
                np.testing.assert_array_equal(await as_soon_as_possible(address), expected())

    run(test())


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(cuts_per_mib=2), id="cuts"),
        pytest.param(Faults(half_closes_per_mib=2), id="half-closes"),
        pytest.param(Faults(delay_s=0.002, cuts_per_mib=1, half_closes_per_mib=1), id="all-with-delays"),
    ],
)
def test_upscale_array_is_the_right_bytes_over_a_way_that_breaks(faults: Faults) -> None:
    async def test() -> None:
        found = await endings(faults, 8, timeout_s=PATIENCE_S)
        assert sum((each.happened for each in found), Counter()).total() > len(found)
        assert [each.error for each in found if each.error] == []
        assert all(np.array_equal(each.image, expected()) for each in found)

    run(test())


@pytest.mark.parametrize(
    ("rate", "size"),
    [
        pytest.param(1, SIZE, id="few"),
        pytest.param(4, SIZE, id="many"),
        # gRPC's core, which client and server share here, was once seen to abort at so much of it.
        pytest.param(100, SMALL_SIZE, id="everywhere", marks=pytest.mark.slow),
    ],
)
def test_upscale_array_is_the_right_bytes_or_a_named_error_when_bits_flip(rate: float, size: tuple[int, int]) -> None:
    async def test() -> None:
        found = await asyncio.wait_for(
            endings(Faults(flips_per_mib=rate), 30, size=size, timeout_s=TIMEOUT_S), TIMEOUT_S + SLACK_S
        )
        assert sum((each.happened for each in found), Counter()).total() > len(found)
        assert all(each.error or np.array_equal(each.image, expected(size)) for each in found)

    run(test())
