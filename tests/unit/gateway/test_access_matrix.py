"""Who may call what: every method × what is sent to say who calls × how the connection is made, on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority
from fakes import FakeBackend
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from in_process import Client, raw, request, run, scene, served
from streams import start

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.caller import ALL_SCOPES, Scope
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import KeyQuotas
from hndsr_gateway.settings import Settings

ANSWERED, UNAUTHENTICATED, DENIED, NO_CONNECTION = "yes", "who?", "may not", "-"
CODES = {"UNAUTHENTICATED": UNAUTHENTICATED, "PERMISSION_DENIED": DENIED, "UNAVAILABLE": NO_CONNECTION}

SENT = ["nothing", "malformed", "unknown", "wrong secret", "expired", "revoked", "other scopes", "valid"]
TABLE = {
    # what is sent:  nothing malformed unknown wrong expired revoked  other scopes  valid
    "GetModelInfo": [UNAUTHENTICATED] * 6 + [DENIED, ANSWERED],
    "PlanUpscale": [UNAUTHENTICATED] * 6 + [DENIED, ANSWERED],
    "Upscale": [UNAUTHENTICATED] * 6 + [DENIED, ANSWERED],
    "Compare": [UNAUTHENTICATED] * 6 + [DENIED, ANSWERED],
    "UpscaleStream": [UNAUTHENTICATED] * 6 + [DENIED, ANSWERED],
    "reflection": [UNAUTHENTICATED] * 6 + [DENIED, ANSWERED],
    "health Check": [ANSWERED] * 8,
    "health Watch": [ANSWERED] * 8,
}
UNREACHABLE = {method: [NO_CONNECTION] * 8 for method in TABLE}

TIMEOUT_S = 30
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Way:
    """How a connection is made, and what comes of it."""

    name: str
    has_tls: bool = False
    asks_for_certificate: bool = False
    shows_certificate: bool = False
    expected: Mapping[str, list[str]] = field(default_factory=lambda: TABLE)


WAYS = [
    Way("plaintext"),
    Way("TLS", has_tls=True),
    Way("mTLS", has_tls=True, asks_for_certificate=True, shows_certificate=True),
    Way("mTLS without certificate", has_tls=True, asks_for_certificate=True, expected=UNREACHABLE),
]


async def first(call: Any) -> None:
    """Read one answer of a stream and leave."""
    answer = await call.read()
    call.cancel()
    assert answer is not grpc.aio.EOF


async def reflect(client: Client, metadata: Metadata) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    await first(stub.ServerReflectionInfo(iter([asked]), metadata=metadata, timeout=TIMEOUT_S))


async def stream(client: Client, metadata: Metadata) -> None:
    call = client.upscale.UpscaleStream(metadata=metadata, timeout=TIMEOUT_S)
    await call.write(start(scene((9, 9)), scale="2"))
    await first(call)


def unary(method: str, message: Any) -> Callable[[Client, Metadata], Awaitable[Any]]:
    async def call(client: Client, metadata: Metadata) -> None:
        await getattr(client.upscale, method)(message, metadata=metadata, timeout=TIMEOUT_S)

    return call


PICTURE = raw(scene((9, 9)))
CALLS: Mapping[str, Callable[[Client, Metadata], Awaitable[Any]]] = {
    "GetModelInfo": unary("GetModelInfo", pb.GetModelInfoRequest()),
    "PlanUpscale": unary(
        "PlanUpscale",
        pb.PlanUpscaleRequest(
            source_height_px=9, source_width_px=9, parameters=pb.UpscaleParameters(model="bicubic", scale="2")
        ),
    ),
    "Upscale": unary("Upscale", request(PICTURE, scale="2")),
    "Compare": unary("Compare", pb.CompareRequest(image=pb.Image(raw=PICTURE), reference=pb.Image(raw=PICTURE))),
    "UpscaleStream": stream,
    "reflection": reflect,
    "health Check": lambda client, metadata: client.health.Check(
        health_pb2.HealthCheckRequest(), metadata=metadata, timeout=TIMEOUT_S
    ),
    "health Watch": lambda client, metadata: first(
        client.health.Watch(health_pb2.HealthCheckRequest(), metadata=metadata, timeout=TIMEOUT_S)
    ),
}
NEEDED = {"Upscale": Scope.UPSCALE, "Compare": Scope.UPSCALE, "UpscaleStream": Scope.STREAM}


class Keys:
    """What callers send, in the order of `SENT`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = KeyStore(path)
        valid = self._create("valid")
        expired = self._create("expired", expires=datetime.now(timezone.utc) - timedelta(seconds=1))
        revoked = self._create("revoked")
        self._store.revoke("revoked")
        self._without = {scope: self._create(f"no-{scope.value}", scopes=ALL_SCOPES - {scope}) for scope in Scope}
        unknown = f"hndsr_{'0' * 12}_{valid[19:]}"
        wrong = valid[:-1] + ("A" if valid[-1] != "A" else "B")
        self._before = [None, "Bearer", *(f"Bearer {key}" for key in (unknown, wrong, expired, revoked))]
        self._valid = f"Bearer {valid}"

    def _create(self, name: str, **changed: Any) -> str:
        given = {"scopes": ALL_SCOPES, "expires": None, "quotas": KeyQuotas(), **changed}
        return self._store.create(name, **given)[0]

    def sent(self, method: str) -> list[Metadata]:
        """What is sent with a method."""
        without = f"Bearer {self._without[NEEDED.get(method, Scope.INFO)]}"
        texts = [*self._before, without, self._valid]
        return [() if text is None else (("authorization", text),) for text in texts]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


@asynccontextmanager
async def reached(way: Way, keys: Keys) -> AsyncIterator[Client]:
    """A client of a gateway of its own, connected in a way."""
    authority = Authority(keys.path.parent)
    server, caller = authority.write("server", "localhost"), authority.write("caller", "caller.example")
    chosen: dict[str, str] = {"listen": "127.0.0.1:0", "api_keys": str(keys.path)}
    if way.has_tls:
        chosen |= {"tls_certificate": str(server.certificate), "tls_key": str(server.key)}
    if way.asks_for_certificate:
        chosen |= {"tls_client_ca": str(authority.file)}
    async with served(FakeBackend(), Settings(**chosen, drain_grace_s=0)) as address:
        target = address.replace("127.0.0.1", "localhost")
        credentials = authority.credentials(caller if way.shows_certificate else None)
        opened = grpc.aio.secure_channel(target, credentials) if way.has_tls else grpc.aio.insecure_channel(target)
        async with opened as channel:
            stubs = upscale_pb2_grpc.UpscaleServiceStub(channel), health_pb2_grpc.HealthStub(channel)
            yield Client(channel, *stubs)


async def outcome(call: Awaitable[Any]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return CODES.get(error.code().name, f"{error.code().name}: {error.details()}")
    return ANSWERED


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_access_is_as_the_table_says(keys: Keys, way: Way) -> None:
    async def test() -> None:
        async with reached(way, keys) as client:
            found = {
                method: [await outcome(call(client, sent)) for sent in keys.sent(method)]
                for method, call in CALLS.items()
            }
            assert found == way.expected

    run(test())


def test_table_has_every_method_of_the_contract() -> None:
    methods = pb.DESCRIPTOR.services_by_name["UpscaleService"].methods_by_name
    assert (set(TABLE), len(SENT)) == ({*methods, "reflection", "health Check", "health Watch"}, 8)
