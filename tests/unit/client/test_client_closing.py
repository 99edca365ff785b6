"""Closing a client ends its calls, wherever they are, with errors of this package."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from unit.client.blocking import BlockingClient

from hndsr_client import AsyncClient, Client, Keepalive, UnavailableError
from hndsr_client._core.connection import Connection
from hndsr_client.testing import FakeServer

Hook = Callable[[], dict[str, str]] | Callable[[], Awaitable[dict[str, str]]]
WAIT_S = 20


class Held:
    """Metadata that come when they are let go; the first ones come at once if told."""

    def __init__(self, *, at_once: int) -> None:
        self.left = at_once
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> dict[str, str]:
        """Wait."""
        self.left -= 1
        if self.left < 0:
            self.asked.set()
            self.let_go.wait(WAIT_S)
        return {}

    async def in_a_thread(self) -> dict[str, str]:
        """Wait without holding up the loop."""
        return await asyncio.to_thread(self)


def close(client: Client | BlockingClient) -> None:
    """Close the client alone: the loop of the blocking one goes on."""
    if isinstance(client, Client):
        client.close()
    else:
        client._wait(client._client.close())


@pytest.fixture
def connection() -> Connection:
    return Connection("127.0.0.1:1", timeout_s=None, tls=None, retry=None, keepalive=Keepalive(), local=False)


@pytest.fixture(params=[0, 1], ids=["first_call", "second_call"])
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    held = Held(at_once=request.param)
    yield held
    held.let_go.set()


def test_close_ends_a_call_whose_metadata_have_not_come(
    client_type: Callable[..., Client], server: FakeServer, held: Held
) -> None:
    hook: Hook = held if client_type is Client else held.in_a_thread
    with client_type(server.target, metadata=hook) as client, ThreadPoolExecutor() as threads:
        for _ in range(held.left):
            client.info()
        call = threads.submit(client.info)
        assert held.asked.wait(WAIT_S)
        close(client)
        held.let_go.set()
        error = call.exception()
    assert (type(error), error.reason) == (UnavailableError, "CANCELLED")


def test_async_client_opens_no_channel_after_its_close(server: FakeServer) -> None:
    async def channel() -> object:
        held = Held(at_once=0)
        client = AsyncClient(server.target, metadata=held.in_a_thread)
        call = asyncio.create_task(client.info())
        await asyncio.to_thread(held.asked.wait, WAIT_S)
        await client.close()
        held.let_go.set()
        await asyncio.wait([call])
        assert isinstance(call.exception(), UnavailableError)
        return client._channel

    assert asyncio.run(channel()) is None


@pytest.mark.parametrize("kind", [ValueError, grpc.aio.UsageError])
def test_failure_of_a_closed_channel_is_that_of_the_client(connection: Connection, kind: type[Exception]) -> None:
    attempts = connection.attempts(None)
    connection.closed = True
    error = connection.failure(kind("Channel is closed."), attempts)
    assert (type(error), error.code, str(error)) == (UnavailableError, "CANCELLED", "the client was closed")


def test_failure_of_an_open_channel_is_let_through(connection: Connection) -> None:
    error = ValueError("metadata was invalid")
    with pytest.raises(ValueError, match="metadata was invalid"):
        connection.failure(error, connection.attempts(None))


def test_call_on_a_closed_channel_is_unavailable(server: FakeServer) -> None:
    client = Client(server.target)
    client._connection.check_open = lambda _: client.close()  # closed between the check and the call
    with pytest.raises(UnavailableError, match="the client was closed"):
        client.info()
