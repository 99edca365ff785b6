"""What comes of being let in, or not: who is told to the service, the log and the trace, and what is never read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority
from fakes import FakeBackend
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from in_process import Client, connected, raw, refusal, request, run, running, scene, served
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.access import SCOPES, AccessInterceptor, scope_of
from hndsr_gateway.caller import ALL_SCOPES, Caller, Scope, called_by, current_caller
from hndsr_gateway.errors import PermissionDeniedError
from hndsr_gateway.identity.identity import Identity
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import KeyQuotas
from hndsr_gateway.interceptors import ErrorInterceptor
from hndsr_gateway.limits import Limits
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry import tracing
from hndsr_gateway.telemetry.calls import CallRecord, access, observed_call

MESSAGE_BYTES = 100 * 2**20
"""Of a call that is refused."""
FAR_LESS_BYTES = 2**23
"""What may be on its way of it when the refusal arrives: HTTP/2 windows, and what the kernel takes."""


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.json")


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "keys.json")


def create(store: KeyStore, name: str = "alice", *scopes: Scope) -> tuple[tuple[str, str], ...]:
    """A new key as it is sent."""
    text, _ = store.create(name, scopes=scopes or ALL_SCOPES, expires=None, quotas=KeyQuotas())
    return (("authorization", f"Bearer {text}"),)


class Asking(FakeBackend):
    """Remembers who asked for tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[str] = []

    async def upscale(self, tile: Any) -> Any:
        """A tile, for whoever calls."""
        self.callers.append(current_caller().id)
        return await super().upscale(tile)


def test_scopes_are_said_for_every_method_of_the_contract() -> None:
    service = pb.DESCRIPTOR.services_by_name["UpscaleService"]
    assert set(SCOPES) == {f"/{service.full_name}/{name}" for name in service.methods_by_name}


def test_scope_of_another_service_is_information() -> None:
    assert scope_of("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo") is Scope.INFO


def test_access_refuses_a_method_of_the_contract_that_has_no_scope() -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        return request

    async def test() -> None:
        server = grpc.aio.server(
            interceptors=[ErrorInterceptor(), AccessInterceptor(Identity(), Limits.of(Settings()))]
        )
        new = {"New": grpc.unary_unary_rpc_method_handler(answer)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hndsr.v1.UpscaleService", new),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with connected(f"127.0.0.1:{port}") as client:
                call = client.channel.unary_unary("/hndsr.v1.UpscaleService/New")
                assert (await refusal(call(b""))).reason == "PERMISSION_DENIED"
        finally:
            await server.stop(None)

    run(test())


def test_access_has_the_service_know_who_calls(store: KeyStore, file: str) -> None:
    async def test() -> None:
        backend, sent = Asking(), create(store)
        async with running(backend, api_keys=file) as client:
            await client.upscale.Upscale(request(raw(scene((8, 8))), scale="2"), metadata=sent)
        assert backend.callers == [f"key:{store.entries()[0].id}"]

    run(test())


def test_access_tells_callers_apart_who_call_at_once(store: KeyStore, file: str) -> None:
    async def test() -> None:
        backend = Asking()
        sent = [create(store, name) for name in ("alice", "bob")]
        async with running(backend, api_keys=file) as client:
            message = request(raw(scene((8, 8))), scale="2")
            await asyncio.gather(*(client.upscale.Upscale(message, metadata=one) for one in sent))
        assert sorted(backend.callers) == sorted(f"key:{key.id}" for key in store.entries())

    run(test())


def test_access_log_names_the_caller(store: KeyStore, file: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        sent = create(store)
        async with running(FakeBackend(), api_keys=file) as client:
            await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=sent)

    with caplog.at_level(logging.INFO, access.name):
        run(test())
    told = [record for record in caplog.records if record.name == access.name]
    assert [(record.caller, "caller=alice" in record.getMessage()) for record in told] == [("alice", True)]


def test_access_log_has_no_facts_that_a_caller_made_up(caplog: pytest.LogCaptureFixture) -> None:
    record = CallRecord("Upscale", "ipv4:127.0.0.1:1", caller="eve code=OK\u2028tiles=9")
    record.fail("UNAUTHENTICATED", "UNAUTHENTICATED")

    async def test() -> None:
        with observed_call(record, service="s", name="Upscale", metadata={}):
            pass

    with caplog.at_level(logging.INFO, access.name):
        run(test())
    (told,) = [record for record in caplog.records if record.name == access.name]
    facts = [fact.partition("=")[0] for fact in told.getMessage().split()]
    assert (facts.count("code"), facts.count("tiles"), told.caller) == (1, 0, record.caller)


def test_access_log_names_who_was_denied(store: KeyStore, file: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        sent = create(store, "alice", Scope.STREAM)
        async with running(FakeBackend(), api_keys=file) as client:
            await refusal(client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=sent))

    with caplog.at_level(logging.INFO, access.name):
        run(test())
    assert [record.caller for record in caplog.records if record.name == access.name] == ["alice"]


def test_span_of_a_call_names_the_caller(store: KeyStore, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("t"))

    async def test() -> None:
        sent = create(store)
        async with running(FakeBackend(), api_keys=file) as client:
            await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=sent)

    run(test())
    provider.shutdown()
    assert [dict(span.attributes or {}).get("hndsr.caller") for span in exporter.get_finished_spans()] == ["alice"]


def test_log_never_has_what_was_sent_to_say_who_calls(
    store: KeyStore, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        ((_, text),) = create(store)
        secrets.append(text.rpartition("_")[2])
        async with running(FakeBackend(), api_keys=file) as client:
            for sent in (text, text + "x", "Basic " + text, text.removeprefix("Bearer ")):
                with contextlib.suppress(grpc.aio.AioRpcError):
                    metadata = (("authorization", sent),)
                    await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=metadata)

    secrets: list[str] = []
    with caplog.at_level(logging.DEBUG, "hndsr_gateway"):
        run(test())
    assert secrets[0] not in caplog.text


def test_access_refuses_with_the_reason_and_the_remedy(store: KeyStore, file: str) -> None:
    async def test() -> None:
        sent = create(store, "alice", Scope.INFO)
        async with running(FakeBackend(), api_keys=file) as client:
            nobody = await refusal(client.upscale.GetModelInfo(pb.GetModelInfoRequest()))
            denied = await refusal(client.upscale.Upscale(pb.UpscaleRequest(), metadata=sent))
        assert (nobody.reason, "authorization: Bearer KEY" in nobody.text) == ("UNAUTHENTICATED", True)
        assert (denied.reason, denied.text) == (
            "PERMISSION_DENIED",
            str(PermissionDeniedError(name="alice", scope="upscale")),
        )

    run(test())


def test_key_that_is_revoked_counts_no_more_in_a_running_gateway(store: KeyStore, file: str) -> None:
    async def test() -> None:
        sent = create(store)
        async with running(FakeBackend(), api_keys=file) as client:
            await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=sent)
            store.revoke("alice")
            with pytest.raises(grpc.aio.AioRpcError, match="is revoked"):
                await ask_for_ever(client, sent)

    run(test())


async def ask_for_ever(client: Client, sent: tuple[tuple[str, str], ...]) -> None:
    """Call again and again, until it is refused."""
    while True:
        await client.upscale.GetModelInfo(pb.GetModelInfoRequest(), metadata=sent)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("method", ["Upscale", "Compare"])
def test_message_of_a_call_that_is_refused_stays_where_it_is(store: KeyStore, file: str, method: str) -> None:
    async def test() -> None:
        create(store)
        settings = Settings(listen="127.0.0.1:0", api_keys=file, drain_grace_s=0)
        async with served(FakeBackend(), settings) as address:
            counter = Counter(address)
            async with counter.listening() as before, connected(before) as client:
                call = client.channel.unary_unary(f"/hndsr.v1.UpscaleService/{method}")
                refused = await refusal(call(bytes(MESSAGE_BYTES), timeout=30))
            assert (refused.reason, counter.passed_bytes < FAR_LESS_BYTES) == ("UNAUTHENTICATED", True)

    run(test())


class Counter:
    """Stands before a server and counts what is sent to it."""

    def __init__(self, server: str) -> None:
        self._host, _, self._port = server.rpartition(":")
        self.passed_bytes = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address."""
        passing: list[asyncio.Task[None]] = []

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection(self._host, int(self._port))
            passing.append(asyncio.create_task(self._pass_on(reader, up_writer, counts=True)))
            passing.append(asyncio.create_task(self._pass_on(up_reader, writer, counts=False)))

        listener = await asyncio.start_server(connect, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counts: bool) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(target):
            while part := await source.read(2**16):
                self.passed_bytes += counts * len(part)
                target.write(part)
                await target.drain()


@contextlib.asynccontextmanager
async def with_certificates(folder: Path) -> AsyncIterator[Client]:
    """A client that shows a certificate, of a gateway that asks for nothing else."""
    authority = Authority(folder)
    server, caller = authority.write("server", "localhost"), authority.write("caller", "caller.example")
    files = {"certificate": server.certificate, "key": server.key, "client_ca": authority.file}
    settings = Settings(listen="127.0.0.1:0", drain_grace_s=0, **{f"tls_{name}": str(f) for name, f in files.items()})
    async with served(FakeBackend(), settings) as address:
        target = address.replace("127.0.0.1", "localhost")
        async with grpc.aio.secure_channel(target, authority.credentials(caller)) as channel:
            yield Client(channel, upscale_pb2_grpc.UpscaleServiceStub(channel), None)


def test_certificate_alone_says_who_calls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with with_certificates(tmp_path) as client:
            await client.upscale.GetModelInfo(pb.GetModelInfoRequest())

    with caplog.at_level(logging.INFO, access.name):
        run(test())
    assert [record.caller for record in caplog.records if record.name == access.name] == ["caller.example"]


@pytest.mark.parametrize(("reflection", "code"), [(True, "OK"), (False, "UNIMPLEMENTED")])
def test_reflection_can_be_switched_off(reflection: bool, code: str) -> None:  # noqa: FBT001 - a case
    async def test() -> None:
        async with running(FakeBackend(), reflection=reflection) as client:
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            call = reflection_pb2_grpc.ServerReflectionStub(client.channel).ServerReflectionInfo(iter([asked]))
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call.read()
                await call.read()
            assert (await call.code()).name == code

    run(test())


def test_called_by_is_over_when_it_ends_in_another_context() -> None:
    """As a generator does whose caller has gone."""

    async def answers() -> AsyncIterator[str]:
        with called_by(Caller("key:1")):
            yield current_caller().id

    async def test() -> None:
        generator = answers()
        assert await anext(generator) == "key:1"
        await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]

    run(test())
