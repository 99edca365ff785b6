"""Health, reflection, start and drain: what an orchestrator sees of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from fakes import FakeBackend
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from in_process import Client, connected, raw, refusal, request, run, running, scene, served, settle

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.monitor import WATCHERS_OF_ONE
from hndsr_gateway.server import ListenError, NotReadyError
from hndsr_gateway.settings import Settings

SERVICE = "hndsr.v1.UpscaleService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
OFTEN = {"health_interval_s": 0.01}
NAMES = ["", SERVICE]


async def status(client: Client, name: str, **call: Any) -> int:
    """What a health check of the service of that name says."""
    return (await client.health.Check(health_pb2.HealthCheckRequest(service=name), **call)).status


@contextlib.asynccontextmanager
async def watching(client: Client, name: str) -> AsyncIterator[AsyncIterator[int]]:
    """The changes of a service's health, beginning with what it is."""
    call = client.health.Watch(health_pb2.HealthCheckRequest(service=name))

    async def statuses() -> AsyncIterator[int]:
        async for answer in call:
            yield answer.status

    try:
        yield statuses()
    finally:
        call.cancel()


@pytest.fixture
def free_address() -> str:
    """An address that is known before the server binds it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("name", NAMES)
def test_health_is_serving_when_the_models_answer(name: str) -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            assert await status(client, name) == SERVING

    run(test())


@pytest.mark.parametrize("name", NAMES)
def test_health_is_not_serving_until_the_models_answer(name: str, free_address: str) -> None:
    backend = FakeBackend()
    backend.describe_error = UnavailableError()

    async def test() -> None:
        entered, gateway = asyncio.Event(), served(backend, Settings(listen=free_address, drain_grace_s=0))

        async def serve() -> None:
            async with gateway:
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(serve())
        async with connected(free_address) as client:
            assert await status(client, name, wait_for_ready=True) == NOT_SERVING
            backend.describe_error = None
            await entered.wait()
            assert await status(client, name) == SERVING
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(test())


def test_health_of_an_unknown_service_is_not_found() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client:
            assert (await refusal(status(client, "hndsr.v0.Upscale"))).code == grpc.StatusCode.NOT_FOUND

    run(test())


@pytest.mark.parametrize("name", NAMES)
def test_health_watch_tells_when_the_backend_fails_and_when_it_is_back(name: str) -> None:
    backend, seen = FakeBackend(), []

    async def test() -> None:
        async with running(backend, **OFTEN) as client, watching(client, name) as changes:
            seen.append(await anext(changes))
            backend.describe_error = UnavailableError()
            seen.append(await anext(changes))
            backend.describe_error = None
            seen.append(await anext(changes))

    run(test())
    assert seen == [SERVING, NOT_SERVING, SERVING]


def test_health_watch_goes_on_when_another_watcher_leaves() -> None:
    backend, seen = FakeBackend(), []

    async def test() -> None:
        async with running(backend, **OFTEN) as client, watching(client, SERVICE) as changes:
            seen.append(await anext(changes))
            async with watching(client, SERVICE) as others:
                await anext(others)
            await settle()
            backend.describe_error = UnavailableError()
            seen.append(await anext(changes))

    run(test())
    assert seen == [SERVING, NOT_SERVING]


def test_new_revision_is_served_after_the_next_check() -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with running(backend, **OFTEN) as client:
            backend.revision = "revision-2"
            described = backend.descriptions
            await backend.until(lambda: backend.descriptions >= described + 2)
            answer = await client.upscale.Upscale(request(raw(scene((5, 7)))))
            assert answer.metadata.revision == "revision-2"

    run(test())


def test_reflection_lists_the_services() -> None:
    names = []

    async def test() -> None:
        async with running(FakeBackend()) as client:
            stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
            call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            async for answer in call:
                names.extend(service.name for service in answer.list_services_response.service)

    run(test())
    assert sorted(names) == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", SERVICE]


def test_reflection_knows_the_file_of_the_contract() -> None:
    files = []

    async def test() -> None:
        async with running(FakeBackend()) as client:
            stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
            asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
            async for answer in stub.ServerReflectionInfo(iter([asked])):
                files.extend(answer.file_descriptor_response.file_descriptor_proto)

    run(test())
    assert any(SERVICE.encode().rpartition(b".")[2] in file for file in files)


class Stopping:
    """A gateway that is told to stop while a request is held in its backend."""

    def __init__(self, backend: FakeBackend, client: Client, call: Any, stop: asyncio.Task) -> None:
        self.backend, self.client, self.call, self.stop = backend, client, call, stop


@contextlib.asynccontextmanager
async def stopping(*, grace_s: float) -> AsyncIterator[Stopping]:
    """Told to stop, and not serving any more."""
    backend = FakeBackend()
    backend.hold()
    gateway = served(backend, Settings(listen="127.0.0.1:0", drain_grace_s=grace_s))
    async with connected(await gateway.__aenter__()) as client, watching(client, "") as changes:
        call = asyncio.ensure_future(client.upscale.Upscale(request(raw(scene((5, 7))))))
        await backend.started(1)
        assert await anext(changes) == SERVING
        stop = asyncio.create_task(gateway.__aexit__(None, None, None))
        assert await anext(changes) == NOT_SERVING
        yield Stopping(backend, client, call, stop)
    await stop


def test_drain_lets_a_request_in_progress_finish() -> None:
    async def test() -> None:
        async with stopping(grace_s=30) as gateway:
            gateway.backend.release()
            assert (await gateway.call).metadata.tiles == 1

    run(test())


def test_drain_refuses_new_requests() -> None:
    async def test() -> None:
        async with stopping(grace_s=30) as gateway:
            found = await refusal(gateway.client.upscale.Upscale(request(raw(scene((5, 7))))))
            gateway.backend.release()
            await gateway.call
            assert found.code == grpc.StatusCode.UNAVAILABLE

    run(test())


def test_drain_ends_before_its_grace_when_all_requests_are_done() -> None:
    async def test() -> None:
        async with stopping(grace_s=3600) as gateway:
            gateway.backend.release()
            await gateway.call

    run(test())


def test_drain_cancels_what_takes_longer_than_its_grace() -> None:
    async def test() -> None:
        async with stopping(grace_s=0.1) as gateway:
            await refusal(gateway.call)
            await gateway.backend.until(lambda: gateway.backend.outcomes() == ["cancelled"])

    run(test())


def test_start_fails_when_the_address_is_taken() -> None:
    async def test() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ListenError, match=listen):
                await served(FakeBackend(), Settings(listen=listen)).__aenter__()

    run(test())


def test_start_fails_when_the_models_are_not_ready_in_time() -> None:
    backend = FakeBackend()
    backend.describe_error = UnavailableError()

    async def test() -> None:
        settings = Settings(listen="127.0.0.1:0", startup_timeout_s=0.1, drain_grace_s=0)
        with pytest.raises(NotReadyError, match="HNDSR_STARTUP_TIMEOUT_S"):
            await served(backend, settings).__aenter__()

    run(test())


def test_health_is_watched_by_so_many_and_answers_checks_beside_them() -> None:
    async def test() -> None:
        async with running(FakeBackend()) as client, contextlib.AsyncExitStack() as watchers:
            for _ in range(WATCHERS_OF_ONE):
                statuses = await watchers.enter_async_context(watching(client, SERVICE))
                assert await anext(statuses) == SERVING
            found = await refusal(client.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE)).read())
            assert (found.reason, found.retry_delay_s, await status(client, SERVICE)) == ("OVERLOADED", 5.0, SERVING)

    run(test())
