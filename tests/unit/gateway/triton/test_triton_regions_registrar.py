"""What a Triton answers when it is asked to map shared memory, and what that means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import aio, service_pb2, service_pb2_grpc

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton import guard
from hndsr_gateway.triton.regions import RegionRefusedError
from hndsr_gateway.triton.registrar import TritonRegistrar

RESTRICTED = (grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'x'")
OTHERS = "hndsr_1_2_3_abcdefgh_region"


class FakeServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Keeps a list of regions, as Triton does."""

    def __init__(self) -> None:
        self.version = "2.51.0"
        self.regions: set[str] = set()
        self.keys: list[str] = []
        self.keeps = False
        """Whether it lists regions that it is to let go of, as one that still uses them."""
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Its version."""
        return service_pb2.ServerMetadataResponse(version=self.version)

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Take a region, unless that is refused."""
        if self.refusal is not None:
            await context.abort(*self.refusal)
        self.regions.add(request.name)
        self.keys.append(request.key)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Let go of a region, unless that is refused."""
        if self.refusal is not None:
            await context.abort(*self.refusal)
        if not self.keeps:
            self.regions.discard(request.name)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    async def SystemSharedMemoryStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """The one that is asked for, or all."""
        if request.name and request.name not in self.regions:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Unable to find system shared memory region")
        status = service_pb2.SystemSharedMemoryStatusResponse()
        for name in self.regions:
            status.regions[name].name = name
        return status


@contextlib.asynccontextmanager
async def registrar_of(fake: FakeServer) -> AsyncIterator[TritonRegistrar]:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield TritonRegistrar(client, {})
    await server.stop(None)


@contextlib.asynccontextmanager
async def registrar_of_nobody() -> AsyncIterator[TritonRegistrar]:
    async with aio.InferenceServerClient("127.0.0.1:1") as client:
        yield TritonRegistrar(client, {})


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


def test_register_names_the_file(fake: FakeServer) -> None:
    async def test() -> None:
        async with registrar_of(fake) as registrar:
            await registrar.register("a", 1)
            assert (fake.regions, fake.keys) == ({"a"}, ["/a"])

    run(test())


@pytest.mark.parametrize(
    "refusal", [RESTRICTED, (grpc.StatusCode.INTERNAL, "Unable to open"), (grpc.StatusCode.UNIMPLEMENTED, "not here")]
)
def test_register_says_that_the_triton_refuses(fake: FakeServer, refusal: tuple[grpc.StatusCode, str]) -> None:
    async def test() -> None:
        fake.refusal = refusal
        async with registrar_of(fake) as registrar:
            with pytest.raises(RegionRefusedError, match=refusal[1]):
                await registrar.register("a", 1)

    run(test())


@pytest.mark.parametrize("version", ["2.49.0", "1.99.0", "next"])
def test_register_refuses_versions_that_shared_memory_is_not_safe_with(fake: FakeServer, version: str) -> None:
    async def test() -> None:
        fake.version = version
        async with registrar_of(fake) as registrar:
            with pytest.raises(RegionRefusedError, match=rf"version {version}, .* from 2\.50 on"):
                await registrar.register("a", 1)

    run(test())


def test_register_takes_what_is_registered_for_registered(fake: FakeServer) -> None:
    async def test() -> None:
        fake.refusal = (grpc.StatusCode.ALREADY_EXISTS, "")
        async with registrar_of(fake) as registrar:
            await registrar.register("a", 1)

    run(test())


def test_register_says_that_nobody_answers() -> None:
    async def test() -> None:
        async with registrar_of_nobody() as registrar:
            with pytest.raises(UnavailableError):
                await registrar.register("a", 1)

    run(test())


@pytest.mark.parametrize("known", [set(), {"a"}])
def test_unregister_ends_with_none_of_the_name(fake: FakeServer, known: set[str]) -> None:
    async def test() -> None:
        fake.regions = known
        async with registrar_of(fake) as registrar:
            assert (await registrar.unregister("a"), fake.regions) == (True, set())

    run(test())


@pytest.mark.parametrize("refusal", [None, (grpc.StatusCode.INTERNAL, "it is currently in use"), RESTRICTED])
def test_unregister_says_that_the_triton_still_maps_it(
    fake: FakeServer, refusal: tuple[grpc.StatusCode, str] | None
) -> None:
    async def test() -> None:
        fake.regions, fake.keeps, fake.refusal = {"a"}, True, refusal
        async with registrar_of(fake) as registrar:
            assert not await registrar.unregister("a")

    run(test())


def test_unregister_takes_a_triton_that_is_gone_for_one_that_maps_nothing() -> None:
    async def test() -> None:
        async with registrar_of_nobody() as registrar:
            assert await registrar.unregister("a")

    run(test())


def test_unregister_asks_nobody_after_the_close(fake: FakeServer) -> None:
    async def test() -> None:
        fake.regions = {"a"}
        async with registrar_of(fake) as registrar:
            registrar.close()
            assert (await registrar.unregister("a"), fake.regions) == (True, {"a"})

    run(test())


def test_clear_lets_go_of_regions_whose_file_is_gone_and_spares_those_of_other_programs(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        living = OTHERS.replace("a", "b")
        (tmp_path / living).touch()
        fake.regions = {OTHERS, living, "another_program"}
        async with registrar_of(fake) as registrar:
            await registrar.clear()
        assert fake.regions == {living, "another_program"}

    monkeypatch.setattr(guard, "SHARED_MEMORY", tmp_path)
    run(test())
