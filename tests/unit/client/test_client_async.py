"""AsyncClient: what is its own; what it shares with Client is tested with both."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from unit.client.test_client_embedded import fake, wait_for

from hndsr_client import ArgumentError, AsyncClient, Client, DeadlineError, ServiceInfo, UnavailableError
from hndsr_client._core.files import Destination
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

IMAGE = np.zeros((5, 7, 3), np.uint8)
METHODS = ["info", "plan", "upscale", "upscale_encoded", "upscale_file", "upscale_array", "compare", "close"]
METHODS += ["upscale_raster", "plan_raster"]


@pytest.mark.parametrize("name", [*METHODS, "stream_tiles"])
def test_async_client_takes_the_arguments_of_the_client(name: str) -> None:
    of_both = [inspect.signature(getattr(kind, name)).parameters for kind in (Client, AsyncClient)]
    assert of_both[0] == of_both[1]


@pytest.mark.parametrize("name", METHODS)
def test_async_client_answers_what_the_client_answers(name: str) -> None:
    of_both = [inspect.signature(getattr(kind, name)).return_annotation for kind in (Client, AsyncClient)]
    assert of_both[0] == of_both[1]


def test_clients_have_the_same_methods() -> None:
    public = [{name for name in vars(kind) if not name.startswith("_")} for kind in (Client, AsyncClient)]
    assert public[0] == public[1] == {*METHODS, "stream_tiles", "embedded"}


def test_async_calls_run_at_once(server: FakeServer, service: NearestServicer) -> None:
    together = threading.Barrier(3)
    service.refuse = lambda _: together.wait(20) and None

    async def called() -> list[ServiceInfo]:
        async with AsyncClient(server.target) as client:
            return await asyncio.gather(*(client.info() for _ in range(3)))

    assert len(asyncio.run(called())) == 3


def test_async_client_may_be_made_before_its_loop(server: FakeServer) -> None:
    client = AsyncClient(server.target)

    async def called() -> str:
        async with client:
            return (await client.info()).default_model

    assert asyncio.run(called()) == "nearest"


def test_async_client_refuses_another_loop(server: FakeServer) -> None:
    client = AsyncClient(server.target)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.info())
    with pytest.raises(ArgumentError, match="belongs to another event loop"):
        asyncio.run(client.info())
    loop.run_until_complete(client.close())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_cancelling_a_task_cancels_the_call(server: FakeServer, service: NearestServicer) -> None:
    server.delay_next(600)

    async def cancelled() -> bool:
        async with AsyncClient(server.target) as client:
            task = asyncio.create_task(client.upscale(IMAGE))
            await asyncio.to_thread(service.received.wait, 20)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

    assert asyncio.run(cancelled())
    server.close()  # waits for the call, which would go on for ten minutes


@pytest.mark.parametrize("times", [1, 2])
def test_cancelling_a_task_that_writes_leaves_no_file_that_appears_later(
    server: FakeServer, source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    begun, let_go, write = threading.Event(), threading.Event(), Destination.write

    def held(destination: Destination, content: bytes) -> None:
        begun.set()
        let_go.wait(20)
        write(destination, content)

    monkeypatch.setattr(Destination, "write", held)
    there_at_the_end: list[bool] = []

    async def cancelled() -> bool:
        async with AsyncClient(server.target) as client:
            task = asyncio.create_task(client.upscale_file(source, folder / "made.png"))
            task.add_done_callback(lambda _: there_at_the_end.append((folder / "made.png").exists()))
            await asyncio.to_thread(begun.wait, 20)
            for _ in range(times):
                task.cancel()
                await asyncio.wait([task], timeout=0.05)
            let_go.set()
            await asyncio.wait([task])
            return task.cancelled()

    assert asyncio.run(cancelled())
    assert there_at_the_end == [(folder / "made.png").exists()]


def test_closing_ends_calls_with_an_error_of_this_package(server: FakeServer, service: NearestServicer) -> None:
    server.delay_next(600)

    async def ended() -> BaseException | None:
        client = AsyncClient(server.target)
        call = asyncio.create_task(client.info())
        await asyncio.to_thread(service.received.wait, 20)
        await client.close()
        await asyncio.wait([call])
        return call.exception()

    assert isinstance(asyncio.run(ended()), UnavailableError)


def test_async_client_may_be_closed_twice(server: FakeServer) -> None:
    async def closed() -> None:
        async with AsyncClient(server.target) as client:
            await client.info()
            await client.close()

    asyncio.run(closed())


def test_async_client_asks_an_async_function_for_metadata(server: FakeServer) -> None:
    async def token() -> dict[str, str]:
        return {"authorization": "Bearer 1"}

    async def called() -> None:
        async with AsyncClient(server.target, metadata=token) as client:
            await client.info()

    asyncio.run(called())
    assert server.requests[0].metadata["authorization"] == "Bearer 1"


def test_timeout_ends_an_async_function_for_metadata(server: FakeServer) -> None:
    async def called() -> None:
        async with AsyncClient(server.target, metadata=asyncio.Event().wait, timeout_s=0.1) as client:
            await client.info()

    with pytest.raises(DeadlineError, match=r"the metadata did not come within 0\.1 s"):
        asyncio.run(called())


@pytest.mark.parametrize("timeout_s", [None, 30])
def test_async_client_passes_on_a_timeout_of_the_function_itself(server: FakeServer, timeout_s: float | None) -> None:
    async def token() -> dict[str, str]:
        raise asyncio.TimeoutError("of the token's server")

    async def called() -> None:
        async with AsyncClient(server.target, metadata=token, timeout_s=timeout_s) as client:
            await client.info()

    with pytest.raises(asyncio.TimeoutError, match="of the token's server"):
        asyncio.run(called())


def test_async_embedded_serves() -> None:
    async def upscaled() -> tuple[int, ...]:
        async with await AsyncClient.embedded(_command=fake("serve"), timeout_s=30) as client:
            return (await client.upscale(IMAGE, scale=2)).image.shape

    assert asyncio.run(upscaled()) == (10, 14, 3)


def test_async_embedded_stops_with_its_client(tmp_path: Path) -> None:
    async def stopped() -> None:
        await (await AsyncClient.embedded(_command=fake("wait", tmp_path / "marker"))).close()

    asyncio.run(stopped())
    assert (tmp_path / "marker").exists()


def test_async_embedded_leaves_no_gateway_when_its_task_is_cancelled(tmp_path: Path) -> None:
    started, stopped = tmp_path / "started", tmp_path / "stopped"
    script = (
        "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); sys.stdin.read(); pathlib.Path(sys.argv[2]).touch()"
    )

    async def cancelled() -> None:
        command = [sys.executable, "-c", script, str(started), str(stopped)]
        task = asyncio.create_task(AsyncClient.embedded(_command=command))
        await asyncio.to_thread(wait_for, started)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancelled())
    wait_for(stopped)
