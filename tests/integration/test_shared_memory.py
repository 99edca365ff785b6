"""Tiles through shared memory, with the real server: the same bytes, nothing left behind, and never another's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import mmap
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import model_repository, read_manifests
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry
from hndsr_ensemble.values import full_ranges
from hndsr_gateway.errors import BackendMismatchError, GatewayError, UnavailableError
from hndsr_gateway.triton import guard
from hndsr_gateway.triton.client import TritonBackend
from hndsr_gateway.triton.embedded import EmbeddedTriton, EmbeddedTritonOptions
from hndsr_gateway.triton.errors import TritonDiedError
from hndsr_gateway.triton.region_pool import RegionPool
from hndsr_gateway.types import Raster, TileRequest, TileResponse

pytest.importorskip("pytriton")

MODELS = Path(__file__).with_name("tiny_models")
MANIFEST = read_manifests(model_repository())["bicubic"]
ANSWERS, REFUSES, FAILS, HANGS = range(4)
MIB = 2**20
SIDE_PX = 300
"""A tile whose source and target take 1.3 MiB."""

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def served_model(folder: Path) -> dict[str, str]:
    """Variables of the model that stands in for the tiling model."""
    facts = {"revision": "r", "engine": "e", "device": "cpu", "window_s": 0.1, "step_s": 0.1}
    return {"TINY_MODEL": json.dumps({"manifest": MANIFEST.text, **facts}), "TINY_FOLDER": str(folder)}


def started(folder: Path) -> EmbeddedTriton:
    return EmbeddedTriton(EmbeddedTritonOptions(MODELS, ("hndsr",), environment=served_model(folder), exit_timeout_s=5))


def tile(*, value: int | None = None, side_px: int = SIDE_PX, seed: int = ANSWERS, number: int = 0) -> TileRequest:
    """A whole image as one tile at scale 2: random samples, or all of one value."""
    rng = np.random.default_rng(side_px)
    shape = (side_px, side_px, 3)
    pixels = rng.integers(0, 2**16, shape, np.uint16) if value is None else np.full(shape, value, np.uint16)
    axis = Axis(side_px, Scale(2, 1), MANIFEST.geometry)
    span = axis.span(0, axis.windows)
    geometry = TileGeometry.of(axis, axis, span, span)
    options = type(MANIFEST.default_options)(steps=number, texture=0.0, seed=seed)
    return TileRequest("bicubic", "r", Raster(pixels), geometry, full_ranges(pixels.dtype), options)


def target_of(asked: TileRequest) -> np.ndarray:
    return asked.raster.pixels.repeat(2, axis=0).repeat(2, axis=1)


def is_right(answer: TileResponse, asked: TileRequest) -> bool:
    return bool(np.array_equal(answer.raster.pixels, target_of(asked)))


def files() -> set[str]:
    """Regions of this process that have a name."""
    return {path.name for path in guard.SHARED_MEMORY.glob(f"hndsr_*_{os.getpid()}_*_region")}


async def until(condition: Callable[[], object], *, timeout_s: float = 5.0) -> None:
    """Wait for what only shows in files and memory."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)


class Connected:
    """A backend of the server, with a pool of its own."""

    def __init__(self, triton: EmbeddedTriton, folder: Path, **options: Any) -> None:
        self.triton, self._folder = triton, folder
        sizes = {"max_regions": 2, "max_bytes": 64 * MIB, **options.pop("pool", {})}
        self.pool = RegionPool(**sizes)
        chosen = {"describe_timeout_s": 5, "tile_timeout_s": 20, "headers": triton.control_headers, **options}
        self.backend = TritonBackend(triton.grpc_address, regions=self.pool, **chosen)

    async def mapped(self) -> set[str]:
        """Regions that the server maps."""
        async with aio.InferenceServerClient(self.triton.grpc_address) as client:
            status = await client.get_system_shared_memory_status(headers=dict(self.triton.control_headers))
            return set(status.regions)

    async def lose_registrations(self) -> None:
        """Have the server forget all regions, as after a new start; just after a reply it may still hold one."""
        async with aio.InferenceServerClient(self.triton.grpc_address) as client:
            while True:
                try:
                    await client.unregister_system_shared_memory(headers=dict(self.triton.control_headers))
                except InferenceServerException:  # noqa: PERF203 - it is a wait
                    await asyncio.sleep(0.05)
                else:
                    return

    async def hanging(self, asked: TileRequest) -> asyncio.Task[TileResponse]:
        """A tile that the model works on until `go`."""
        number = asked.options.steps
        for name in (f"go-{number}", f"working-{number}"):
            (self._folder / name).unlink(missing_ok=True)
        task = asyncio.create_task(self.backend.upscale(asked))
        await until((self._folder / f"working-{number}").exists)
        return task

    def go(self, number: int = 0) -> None:
        """Have the model answer."""
        (self._folder / f"go-{number}").touch()

    async def close(self) -> None:
        """Leave nothing, and no model that hangs."""
        for working in self._folder.glob("working-*"):
            self.go(int(working.name.rpartition("-")[2]))
        await self.backend.close()
        await self.pool.close()


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs coroutines in the loop that the server lives in."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model says what it does, and is told what to do."""
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def triton(run: Run, folder: Path) -> Iterator[EmbeddedTriton]:
    """One server for all tests but the one that kills it."""
    server = started(folder)
    run(server.start())
    yield server
    run(server.stop())


@pytest.fixture
def connect(
    triton: EmbeddedTriton, folder: Path
) -> Iterator[Callable[..., contextlib.AbstractAsyncContextManager[Connected]]]:
    """Makes backends that have described the models; none of them may leave anything."""

    @contextlib.asynccontextmanager
    async def connected(**options: Any) -> AsyncIterator[Connected]:
        made = Connected(triton, folder, **options)
        try:
            await made.backend.describe()
            yield made
        finally:
            await made.close()

    before = files()
    yield connected
    assert files() == before


def test_tile_has_the_bytes_that_it_has_by_message(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            answer = await made.backend.upscale(tile())
            assert is_right(answer, tile())

    run(test())


def test_tile_takes_a_region_that_is_used_again(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            await made.backend.upscale(tile())
            first = await made.mapped()
            await made.backend.upscale(tile(side_px=200))
            assert first == await made.mapped() == files() != set()

    run(test())


def test_tile_that_is_larger_takes_a_larger_region(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect(pool={"max_regions": 1}) as made:
            await made.backend.upscale(tile())
            assert is_right(await made.backend.upscale(tile(side_px=900)), tile(side_px=900))
            assert made.pool.held_bytes == 24 * MIB

    run(test())


def test_tiles_at_once_have_a_region_each(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            asked = [tile(value=value) for value in (1, 2)] * 4
            answers = await asyncio.gather(*(made.backend.upscale(one) for one in asked))
            assert all(map(is_right, answers, asked))

    run(test())


@pytest.mark.parametrize(("seed", "error"), [(REFUSES, BackendMismatchError), (FAILS, UnavailableError)])
def test_region_is_free_again_when_the_model_answers_with_an_error(
    connect: Any, run: Run, seed: int, error: type[GatewayError]
) -> None:
    async def test() -> None:
        async with connect(pool={"max_regions": 1}) as made:
            with pytest.raises(error):
                await made.backend.upscale(tile(seed=seed))
            await until(lambda: seed == REFUSES or not made.pool.held_bytes)
            assert (is_right(await made.backend.upscale(tile()), tile()), files()) == (True, await made.mapped())

    run(test())


def test_region_is_retired_until_the_server_lets_go_when_a_tile_takes_too_long(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect(tile_timeout_s=0.3) as made:
            hanging = await made.hanging(tile(seed=HANGS))
            with pytest.raises(UnavailableError):
                await hanging
            assert (files(), made.pool.held_bytes > 0) == (set(), True)
            made.go()
            await until(lambda: not made.pool.held_bytes)
            assert await made.mapped() == set()

    run(test())


def test_late_answer_to_a_cancelled_tile_reaches_no_other(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            late, other = tile(value=0x0707, seed=HANGS, number=1), tile(value=0x0909, seed=HANGS, number=2)
            cancelled = await made.hanging(late)
            (name,) = files()
            with mapping(name) as memory:
                cancelled.cancel()
                await asyncio.wait({cancelled})
                waiting = await made.hanging(other)
                made.go(1)
                await until(lambda: memory[late.raster.pixels.nbytes * 3] == 7)  # it was written into, late
                made.go(2)
                assert (name in files(), is_right(await waiting, other)) == (False, True)

    run(test())


@contextlib.contextmanager
def mapping(name: str) -> Iterator[mmap.mmap]:
    """A region's memory, also when its name is gone."""
    file = os.open(guard.SHARED_MEMORY / name, os.O_RDONLY)
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as memory:
        os.close(file)
        yield memory


def test_tile_is_served_when_the_server_has_lost_its_registrations(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            await made.backend.upscale(tile())
            await made.lose_registrations()
            assert is_right(await made.backend.upscale(tile()), tile())

    run(test())


def test_regions_are_registered_anew_when_the_server_has_lost_its_registrations(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            await made.backend.upscale(tile())
            await made.lose_registrations()
            await made.backend.upscale(tile())
            await made.backend.upscale(tile())
            assert await made.mapped() == files() != set()

    run(test())


def test_tile_goes_by_message_when_the_pool_cannot_hold_it(
    connect: Any, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with connect(pool={"max_bytes": MIB}) as made:
            answers = [await made.backend.upscale(tile()) for _ in range(2)]
            assert all(is_right(answer, tile()) for answer in answers)

    run(test())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def served_by_message(connect: Any, run: Run, caplog: pytest.LogCaptureFixture, **options: Any) -> list[str]:
    """Have two tiles served; what is said of shared memory meanwhile."""

    async def test() -> None:
        async with connect(**options) as made:
            answers = [await made.backend.upscale(tile()) for _ in range(2)]
            assert all(is_right(answer, tile()) for answer in answers)

    caplog.set_level(logging.INFO, "hndsr_gateway.triton.lending")
    run(test())
    return caplog.messages


def test_tile_goes_by_message_when_the_server_is_on_another_host(
    connect: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "SHARED_MEMORY", tmp_path)
    (said,) = served_by_message(connect, run, caplog)

    assert "by gRPC, it does not map shared memory: Unable to open" in said


def test_tile_goes_by_message_when_the_server_lends_no_memory_to_this_gateway(
    connect: Any, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    (said,) = served_by_message(connect, run, caplog, headers={})

    assert "by gRPC, it does not map shared memory: This protocol is restricted" in said


def test_shared_memory_is_tried_again_when_the_server_was_away(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect(headers={}) as made:
            await made.backend.upscale(tile())
            made.backend._lender._registrar._options["headers"] = dict(made.triton.control_headers)
            with pytest.raises(UnavailableError):
                await made.backend.upscale(tile(seed=FAILS))
            await made.backend.upscale(tile())
            assert await made.mapped() == files() != set()

    run(test())


def test_close_has_the_server_let_go_of_everything(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as made:
            await made.backend.upscale(tile())
            hanging = await made.hanging(tile(seed=HANGS))
            hanging.cancel()
            threading.Timer(0.2, made.go).start()
            await made.backend.close()
            assert await made.mapped() == set()

    run(test())


def test_first_tile_clears_what_a_killed_gateway_left_in_the_server(connect: Any, run: Run) -> None:
    async def test() -> None:
        async with connect() as killed:
            await killed.backend.upscale(tile())
            (left,) = files()
            (guard.SHARED_MEMORY / left).unlink()
            async with connect() as made:
                await made.backend.upscale(tile())
                assert left not in await made.mapped()

    run(test())


def test_nothing_is_left_when_the_server_is_killed(run: Run, folder: Path) -> None:
    async def test() -> None:
        server = started(folder)
        await server.start()
        made = Connected(server, folder)
        await made.backend.describe()
        hanging = await made.hanging(tile(seed=HANGS))
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(UnavailableError):
            await hanging
        await until(lambda: not made.pool.held_bytes)
        await made.close()
        await server.stop()

    before = files()
    run(test())
    assert files() == before


async def described(made: Connected) -> None:
    """Wait until the server answers."""
    while True:
        with contextlib.suppress(UnavailableError):
            await made.backend.describe()
            return
        await asyncio.sleep(0.1)


def test_regions_are_registered_anew_when_a_killed_server_was_started_again(run: Run, folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as server:
            made = Connected(server, folder)
            await made.backend.describe()
            await made.backend.upscale(tile())
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises(TritonDiedError):
                await server.wait()
            await server.start()
            await asyncio.wait_for(described(made), 20)
            for _ in range(2):
                assert is_right(await made.backend.upscale(tile()), tile())
            assert await made.mapped() == files() != set()
            await made.close()

    run(test())
