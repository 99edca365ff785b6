"""A real gateway over a fake backend, in a thread of its own, behind a way that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import grpc
import numpy as np
import pytest
from fakes import FakeBackend
from in_process import served

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_client import Client, Retry
from hndsr_gateway.settings import Settings

WAIT_S = 30
QUICK = Retry(initial_delay_s=0.001, max_delay_s=0.02)
"""So that tests wait for nothing."""
CHUNK_BYTES = 4096


class StreamGateway:
    """A gateway that serves until it is stopped; every core is a tile unless the caller says otherwise.

    Attributes:
        backend: Of the gateway's own loop.
        address: Where it serves.
    """

    def __init__(self, backend: FakeBackend | None = None, **settings: Any) -> None:
        self.backend = backend
        self._settings = {"listen": "127.0.0.1:0", "drain_grace_s": 0, "stream_tile_time_s": 1e-6, **settings}
        self._started: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self.address = self._started.result(WAIT_S)

    def __enter__(self) -> StreamGateway:  # noqa: PYI034  Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when it serves no more."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call something of the backend where it lives."""
        done: Future[Any] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(function(*arguments)))
        return done.result(WAIT_S)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of what the backend remembers."""
        asyncio.run_coroutine_threadsafe(self.backend.until(condition), self._loop).result(WAIT_S)

    async def _serve(self) -> None:
        try:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.backend = self.backend or FakeBackend()
            async with served(self.backend, Settings(**self._settings)) as address:
                self._started.set_result(address)
                await self._stop.wait()
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            raise


class Proxy:
    """A way to a server that breaks after so many bytes of its answers, once for each number, and then holds.

    Attributes:
        address: Where it listens.
        connections: How many were made.
    """

    def __init__(self, target: str, breaks_after: list[int] | None = None) -> None:
        host, _, number = target.rpartition(":")
        self._target = host, int(number)
        self._breaks_after = list(breaks_after or [])
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._start(self._accept)

    def __enter__(self) -> Proxy:  # noqa: PYI034  Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self.cut()
        _shut(self._listener)
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Break all connections."""
        for one in list(self._sockets):
            _shut(one)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                if self._closed:
                    return
                _shut(near)
                continue
            self.connections += 1
            self._sockets += [near, far]
            budget = self._breaks_after.pop(0) if self._breaks_after else None
            self._start(lambda near=near, far=far: _pump(near, far, None))
            self._start(lambda near=near, far=far, budget=budget: _pump(far, near, budget))

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target)
        self._threads.append(thread)
        thread.start()


class Relay(AbstractContextManager["Relay"], upscale_pb2_grpc.UpscaleServiceServicer):
    """A gateway in front of another that changes what goes through it.

    Attributes:
        address: Where it serves.
        requests: What came in.
        streams: How many streams were begun.
        on_request: What becomes of a request.
        on_response: What becomes of an answer: none, one or more; it may abort the call.
        quiet_ends: What `on_response` raises to end a stream as if all were well.
    """

    def __init__(self, target: str) -> None:
        self.requests: list[pb.UpscaleStreamRequest] = []
        self.streams = 0
        self.quiet_ends: tuple[type[Exception], ...] = ()
        self.on_request: Callable[[pb.UpscaleStreamRequest], pb.UpscaleStreamRequest] = lambda request: request
        self.on_response: Callable[[pb.UpscaleStreamResponse, Any], Iterable[pb.UpscaleStreamResponse]] = (
            lambda response, _: [response]
        )
        self._channel = grpc.insecure_channel(target)
        self._stub = upscale_pb2_grpc.UpscaleServiceStub(self._channel)
        self._threads = ThreadPoolExecutor(8)
        self._server = grpc.server(self._threads)
        upscale_pb2_grpc.add_UpscaleServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._channel.close()
        self._threads.shutdown()

    def UpscaleStream(  # noqa: N802  the contract's name
        self, request_iterator: Iterator[pb.UpscaleStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.UpscaleStreamResponse]:
        """Pass both ways."""
        self.streams += 1
        call = self._stub.UpscaleStream(map(self._passed, request_iterator))
        context.add_callback(call.cancel)
        try:
            for response in call:
                yield from self.on_response(response, context)
        except self.quiet_ends:
            return
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            context.abort(error.code(), error.details())
        finally:
            call.cancel()

    def _passed(self, request: pb.UpscaleStreamRequest) -> pb.UpscaleStreamRequest:
        self.requests.append(request)
        return self.on_request(request)


class Pixels:
    """A windowed source or sink of one's own, which does something before each window."""

    def __init__(self, array: np.ndarray, before: Callable[[], object] = lambda: None) -> None:
        self.array, self.before = array, before
        self.windows: list[tuple[slice, slice]] = []

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """That of the array."""
        return self.array.dtype

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        self.before()
        self.windows.append(window)
        return self.array[window]

    def __setitem__(self, window: tuple[slice, slice], pixels: np.ndarray) -> None:
        self.before()
        self.windows.append(window)
        self.array[window] = pixels


class After:
    """Raises, or does something else, at the n-th call from 0."""

    def __init__(self, count: int, action: Callable[[], object]) -> None:
        self.left, self.action = count, action

    def __call__(self, *_: object) -> None:
        """Count down."""
        if self.left == 0:
            self.action()
        self.left -= 1


def raising(error: BaseException) -> Callable[[], object]:
    """What raises."""

    def action() -> None:
        raise error

    return action


def scene(size: tuple[int, int], dtype: str = "uint8", *, seed: int = 0) -> np.ndarray:
    """Random samples over the whole range of their type."""
    limit = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, limit, (*size, 3), dtype=dtype, endpoint=True)


def random_mask(size: tuple[int, int], *, seed: int = 0) -> np.ndarray:
    """Some pixels that are not valid, and a corner without any that are."""
    mask = np.random.default_rng(seed).random(size) < 0.9
    mask[: size[0] // 3, : size[1] // 3] = False
    return mask


@pytest.fixture(scope="module")
def gateway() -> Iterator[StreamGateway]:
    """One for the tests of a module, which leave its backend as it was."""
    with StreamGateway() as gateway:
        yield gateway


@pytest.fixture
def relay(gateway: StreamGateway) -> Iterator[Relay]:
    """A way to the gateway on which messages change."""
    with Relay(gateway.address) as relay:
        yield relay


@pytest.fixture
def streaming(gateway: StreamGateway, client_type: Callable[..., Client]) -> Iterator[Client]:
    """Both kinds of client of the gateway."""
    with client_type(gateway.address, retry=QUICK, timeout_s=WAIT_S) as client:
        yield client


@pytest.fixture
def relayed(relay: Relay, client_type: Callable[..., Client]) -> Iterator[Client]:
    """Both kinds of client of the relay."""
    with client_type(relay.address, retry=QUICK, timeout_s=WAIT_S) as client:
        yield client


def _pump(source: socket.socket, sink: socket.socket, budget: int | None) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(CHUNK_BYTES):
            if budget is not None:
                budget -= len(content)
                if budget < 0:
                    break
            sink.sendall(content)
    _shut(source)
    _shut(sink)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
