"""How an `AsyncClient` runs streams: a task sends, the caller's receives; what may hold up the loop runs in threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TypeVar

import grpc

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.calls import ResultT
from hndsr_client._core.connection import CALL_ERRORS
from hndsr_client._core.retries import Attempts
from hndsr_client._core.tracing import Attempt, Operation
from hndsr_client._stream.blocking import MAX_SILENCE_S, left, silence
from hndsr_client._stream.delivery import Delivery, OnProgress
from hndsr_client._stream.scene import Scene, Stream
from hndsr_client._tasks import is_cancelled, to_the_end
from hndsr_client.errors import AnswerError, ServiceError, UnavailableError
from hndsr_client.results import Plan, StreamResult, TargetTile


class Closable(Protocol):
    """What holds files."""

    def close(self) -> None:
        """Let go of them."""


ClosableT = TypeVar("ClosableT", bound=Closable)
# What gRPC's asyncio says, in place of why the stream ended, where that happens while something is sent.
BROKEN_WRITE = "Internal error from Core"


@dataclass(frozen=True)
class AsyncWay:
    """What a client knows of the way to a server."""

    open: Callable[[Attempts, Attempt], Awaitable[Any]]
    failure: Callable[[BaseException, Attempts], Awaitable[ServiceError]]
    is_closed_within: Callable[[float], Awaitable[bool]]
    attempts: Attempts
    operation: Operation


class AsyncTileStream(AbstractAsyncContextManager["AsyncTileStream"], AsyncIterator[TargetTile]):
    """The tiles of a target, in the order in which they are done: `TileStream` for asyncio.

    A tile counts as taken when the next one is asked for; no more are under way than the server's plan allows. It is
    used by `async with`, so that leaving it ends the stream. The source is read in threads.
    """

    def __init__(
        self,
        make: Callable[[], Scene],
        way: AsyncWay,
        within: AbstractContextManager[object] = nullcontext(),  # noqa: B008  stateless
    ) -> None:
        """Nothing is opened or sent before it is entered, or a tile is asked for. All as in `TileStream`."""
        self._make, self._way, self._within = make, way, within
        self._scene: Scene | None = None
        self._events = self._run()

    async def __aenter__(self) -> AsyncTileStream:  # noqa: PYI034  Self is newer than Python 3.10
        """Begin, so that the plan is known."""
        try:
            await self._begin()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> TargetTile:
        """Wait for the next tile.

        Raises:
            ArgumentError: Nothing can be sent of what was given, or the source gave something else than it said.
            ServiceError: The server said no, or could not be reached for `patience_s`; or the stream was left before.
            AnswerError: The server answered what the contract does not allow.
            LocalFileError: The source cannot be read.
        """
        await self._begin()
        async for event in self._events:
            if isinstance(event, TargetTile):
                return event
        if self._scene is not None and self._scene.is_complete:
            raise StopAsyncIteration
        raise left()

    @property
    def plan(self) -> Plan:
        """How the image is cut, known from the beginning of `async with`.

        Raises:
            AnswerError: It has not come yet.
        """
        if self._scene is None:
            raise AnswerError("no plan has come; enter the stream, by `async with`")
        return self._scene.tiles.plan

    async def aclose(self) -> None:
        """End the stream; no read of the source goes on, or begins, after that."""
        await self._events.aclose()

    async def _begin(self) -> None:
        """Wait for the plan, which is the first of all events."""
        if self._scene is None:
            async for _ in self._events:
                return
            raise left()

    async def _run(self) -> AsyncGenerator[Plan | TargetTile, None]:
        """The first plan, then every tile, over as many streams as it takes."""
        way = self._way
        with self._within, contextlib.ExitStack() as opened:
            scene = await to_the_end(lambda _: self._make(), None)
            opened.enter_context(contextlib.closing(scene.source))
            while True:
                try:
                    async with contextlib.aclosing(self._stream(scene)) as events:
                        async for event in events:
                            self._scene = scene
                            yield event
                except (ServiceError, AnswerError) as failure:  # noqa: PERF203  a stream is slower than any loop
                    if scene.is_complete:
                        return
                    if await way.is_closed_within(scene.recovery.pause_s(failure, planned=scene.is_planned)):
                        raise
                else:
                    return

    async def _stream(self, scene: Scene) -> AsyncGenerator[Plan | TargetTile, None]:
        operation = self._way.operation
        call = _Call(scene, self._way)
        with operation.attempt("UpscaleStream", self._way.attempts.number, call.stream.facts) as call.attempt:
            async with call:
                while (response := await call.read()) is not None:
                    event = await to_the_end(call.stream.receive, response)
                    if isinstance(event, Plan):
                        operation.planned(event)
                    if event is not None:
                        yield event
                        call.stream.settle(event)
        call.stream.end()


class _Call(AbstractAsyncContextManager["_Call"]):
    """One stream, and the task that sends.

    Attributes:
        stream: What is sent and received of it.
        attempt: Its span, to be set before it is entered.
    """

    attempt: Attempt

    def __init__(self, scene: Scene, way: AsyncWay) -> None:
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.stream = Stream(scene, on_change=lambda: self._loop.call_soon_threadsafe(self._changed.set))
        self._call: Any = None
        self._sender: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def __aenter__(self) -> _Call:  # noqa: PYI034  Self is newer than Python 3.10
        async with self._translated():
            self._call = await self._way.open(self._way.attempts, self.attempt)
        self._sender = self._way.operation.run(lambda: asyncio.create_task(self._send()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stream.stop()
        self._call.cancel()
        if self._sender is not None:
            await _ended(self._sender)

    async def read(self) -> pb.UpscaleStreamResponse | None:
        """The next answer, None behind the last.

        Raises:
            ServiceError: The stream broke.
        """
        async with self._translated():
            reading = asyncio.ensure_future(self._call.read())
            try:
                await asyncio.wait([reading], timeout=MAX_SILENCE_S)
                if not reading.done():
                    raise silence()
                response = reading.result()
            finally:
                await _ended(reading)
        return response if isinstance(response, pb.UpscaleStreamResponse) else None

    async def _send(self) -> None:
        """Send until everything is done, or the call has ended: why it has, who reads will see."""
        is_open = await self._is_done(self._call.write(pb.UpscaleStreamRequest(start=self.stream.start)))
        try:
            while is_open and (number := await self._next()) is not None:
                strips = await _in_thread(self.stream.read, number)
                while is_open and (strip := await to_the_end(_next, strips)) is not None:
                    is_open = not self.stream.is_over and await self._is_done(self._call.write(strip))
        except Exception as error:  # noqa: BLE001  raised by who reads
            self._error = error
            self._call.cancel()
        else:
            await self._is_done(self._call.done_writing())

    async def _is_done(self, sending: Awaitable[None]) -> bool:
        try:
            await sending
        except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            return False
        return True

    async def _next(self) -> int | None:
        while True:
            self._changed.clear()
            number = self.stream.take()
            if number is not None or self.stream.is_over:
                return number
            due_s = self.stream.due_s()
            timer = None if due_s is None else self._loop.call_later(due_s, self._changed.set)
            await self._changed.wait()
            if timer is not None:
                timer.cancel()

    @contextlib.asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except CALL_ERRORS as error:
            self._raise_of_source()
            raise await self._failure(error) from error
        except asyncio.CancelledError as error:
            # So gRPC ends the calls of a channel that is closed, and those that are cancelled because of the source.
            self._raise_of_source()
            if is_cancelled():
                raise
            raise await self._failure(error) from None

    def _raise_of_source(self) -> None:
        if self._error is not None:
            raise self._error

    async def _failure(self, error: BaseException) -> BaseException:
        failure = await self._way.failure(error, self._way.attempts)
        return _broken() if failure.message.startswith(BROKEN_WRITE) else failure


async def deliver(make: Callable[[], Delivery], way: AsyncWay, on_progress: OnProgress | None) -> StreamResult:
    """Upscale an image and bring it to where it goes.

    Raises:
        HndsrError: As `AsyncClient.upscale_array` says.
    """
    return (await delivered(make, way, on_progress)).result()


async def delivered(make: Callable[[], Delivery], way: AsyncWay, on_progress: OnProgress | None) -> Delivery:
    """The delivery itself, when it is done and closed.

    Raises:
        HndsrError: As `AsyncClient.upscale_array` says.
    """
    tell = on_progress or (lambda _: None)
    with await made_in_thread(make) as delivery:
        async with AsyncTileStream(lambda: delivery.scene, way) as tiles:
            await _exhausted(delivery.begin())
            tell(delivery.progress())
            async for tile in tiles:
                await _in_thread(delivery.write, tile)
                tell(delivery.progress())
        await _exhausted(delivery.finish())
    return delivery


async def made_in_thread(make: Callable[[], ClosableT]) -> ClosableT:
    """What a thread opens; a task that is cancelled meanwhile leaves no job locked."""
    made: list[ClosableT] = []
    try:
        await to_the_end(lambda _: made.append(make()), None)
    except asyncio.CancelledError:
        for one in made:
            one.close()
        raise
    return made[0]


async def _exhausted(steps: Iterator[None]) -> None:
    """Take all steps, each in a thread; between them the task may be cancelled."""
    while await _in_thread(lambda _: next(steps, steps) is None, None):
        pass


async def _in_thread(function: Callable[[Any], ResultT], argument: Any) -> ResultT:
    """Call what may call the caller's own code: asyncio would wait for ever for what raises StopIteration.

    Raises:
        RuntimeError: That was raised.
    """

    def call(argument: Any) -> ResultT:
        try:
            return function(argument)
        except StopIteration as error:
            raise RuntimeError("a source or sink raised StopIteration") from error

    return await to_the_end(call, argument)


def _broken() -> UnavailableError:
    return UnavailableError("the stream broke while a tile was being sent", reason="STREAM_BROKEN", code="UNAVAILABLE")


def _next(strips: Any) -> Any:
    return next(strips, None)


async def _ended(task: asyncio.Future[Any]) -> None:
    """Wait for the end of what is cancelled; who waits may be cancelled as well, and again."""
    task.cancel()
    is_wanted = True
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:  # noqa: PERF203  once, as a rule
            is_wanted = False
    if not task.cancelled():
        task.exception()
    if not is_wanted:
        raise asyncio.CancelledError
