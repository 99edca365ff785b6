"""How a `Client` runs streams: gRPC's thread reads and sends, the caller's receives."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.connection import CALL_ERRORS
from hndsr_client._core.retries import Attempts
from hndsr_client._core.tracing import Attempt, Operation
from hndsr_client._stream.delivery import Delivery, OnProgress
from hndsr_client._stream.scene import Scene, Stream
from hndsr_client.errors import AnswerError, ServiceError, UnavailableError
from hndsr_client.results import Plan, StreamResult, TargetTile

MAX_SILENCE_S = 60.0
"""A server says something every ten seconds; one that does not is lost, whatever its socket says."""


@dataclass(frozen=True)
class Way:
    """What a client knows of the way to a server."""

    open: Callable[[Iterator[Any], Attempts, Attempt], Any]
    failure: Callable[[BaseException, Attempts], ServiceError]
    is_closed_within: Callable[[float], bool]
    attempts: Attempts
    operation: Operation


class TileStream(AbstractContextManager["TileStream"], Iterator[TargetTile]):
    """The tiles of a target, in the order in which they are done.

    A tile counts as taken when the next one is asked for; no more are under way than the server's plan allows. It is
    used by `with`, so that leaving it ends the stream.
    """

    def __init__(self, scene: Scene, way: Way, within: AbstractContextManager[object] = nullcontext()) -> None:  # noqa: B008  stateless
        """Nothing is sent before the plan or a tile is asked for.

        Args:
            scene: What is upscaled.
            way: The way to the server.
            within: Entered when it begins, and left when it ends.
        """
        self._scene, self._way, self._within = scene, way, within
        self._events = self._run()
        self._is_begun = self._is_over = False

    def __enter__(self) -> TileStream:  # noqa: PYI034  Self is newer than Python 3.10
        """Begin, so that the plan is known."""
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> TargetTile:
        """Wait for the next tile.

        Raises:
            ServiceError: The server said no, or could not be reached for `patience_s`; or the stream was left before.
            AnswerError: The server answered what the contract does not allow.
            ArgumentError: The source gave something else than it said.
            LocalFileError: The source cannot be read.
        """
        if not self._is_over:
            self._begin()
            tile = next(self._events, None)
            if isinstance(tile, TargetTile):
                return tile
            self._is_over = True
        if self._scene.is_complete:
            raise StopIteration
        raise left()

    @property
    def plan(self) -> Plan:
        """How the image is cut, waited for if it has not come.

        Raises:
            ServiceError: As from the tiles.
            AnswerError: As from the tiles.
        """
        self._begin()
        return self._scene.tiles.plan

    def close(self) -> None:
        """End the stream; no read of the source goes on, or begins, after that."""
        self._events.close()
        self._scene.source.close()

    def _begin(self) -> None:
        """Wait for the plan, which is the first of all events."""
        if not self._is_begun and next(self._events, None) is None:
            raise left()
        self._is_begun = True

    def _run(self) -> Generator[Plan | TargetTile, None, None]:
        """The first plan, then every tile, over as many streams as it takes."""
        scene, way = self._scene, self._way
        with self._within, contextlib.closing(scene.source):
            while True:
                try:
                    yield from self._stream()
                except (ServiceError, AnswerError) as failure:  # noqa: PERF203  a stream is slower than any loop
                    # All that is lost with a stream that ends behind its last tile is what it tells of itself.
                    if scene.is_complete:
                        return
                    if way.is_closed_within(scene.recovery.pause_s(failure, planned=scene.is_planned)):
                        raise
                else:
                    return

    def _stream(self) -> Generator[Plan | TargetTile, None, None]:
        stream, operation = Stream(self._scene), self._way.operation
        with (
            operation.attempt("UpscaleStream", self._way.attempts.number, stream.facts) as attempt,
            _Sender(stream, operation) as sender,
            _Call(self._way, sender, attempt) as call,
        ):
            for response in call:
                event = stream.receive(response)
                if isinstance(event, Plan):
                    operation.planned(event)
                if event is not None:
                    yield event
                    stream.settle(event)
        stream.end()


class _Sender(AbstractContextManager["_Sender"], Iterator[pb.UpscaleStreamRequest]):
    """The requests of a stream, as gRPC's thread asks for them.

    Attributes:
        error: What reading the source failed with.
    """

    def __init__(self, stream: Stream, operation: Operation) -> None:
        self.error: BaseException | None = None
        self.cancel: Callable[[], object] = lambda: None
        self._stream, self._operation = stream, operation
        self._requests = self._all()
        self._busy = threading.Lock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Return when no read is under way any more."""
        self._stream.stop()
        with self._busy:
            self._requests.close()

    def __next__(self) -> pb.UpscaleStreamRequest:
        with self._busy:
            try:
                return self._operation.run(next, self._requests)
            except StopIteration:
                raise
            except BaseException as error:  # noqa: BLE001  raised in the caller's thread
                self.error = error
        self.cancel()
        raise StopIteration

    def _all(self) -> Generator[pb.UpscaleStreamRequest, None, None]:
        yield pb.UpscaleStreamRequest(start=self._stream.start)
        while (number := self._wait()) is not None:
            yield from self._stream.read(number)

    def _wait(self) -> int | None:
        """The next tile to send, None after the last."""
        stream = self._stream
        with stream.changed:
            while (number := stream.take()) is None and not stream.is_over:
                stream.changed.wait(stream.due_s())
        return number


class _Call(AbstractContextManager["_Call"], Iterator[Any]):
    """The answers of a stream. Another thread ends it when the server is silent for too long."""

    def __init__(self, way: Way, sender: _Sender, attempt: Attempt) -> None:
        self._way, self._sender = way, sender
        with self._translated():
            self._call = way.open(sender, way.attempts, attempt)
        self._waits_since_s: float | None = None
        self._is_silent = False
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._listen, name="hndsr-stream-watch", daemon=True)
        self._watch.start()
        sender.cancel = self._call.cancel
        if sender.error is not None:
            self._call.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._call.cancel()
        self._watch.join()

    def __next__(self) -> Any:
        self._waits_since_s = time.monotonic()
        try:
            with self._translated():
                return next(self._call)
        finally:
            self._waits_since_s = None

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except CALL_ERRORS as error:
            if self._sender.error is not None:
                raise self._sender.error  # noqa: B904  its cause is its own
            if self._is_silent:
                raise silence() from error
            raise self._way.failure(error, self._way.attempts) from error

    def _listen(self) -> None:
        while not self._ended.wait(MAX_SILENCE_S / 12):
            since_s = self._waits_since_s
            if since_s is not None and time.monotonic() - since_s > MAX_SILENCE_S:
                self._is_silent = True
                self._call.cancel()


def deliver(delivery: Delivery, way: Way, on_progress: OnProgress | None) -> StreamResult:
    """Upscale an image and bring it to where it goes.

    Raises:
        HndsrError: As `Client.upscale_array` says.
    """
    tell = on_progress or (lambda _: None)
    with delivery:
        with TileStream(delivery.scene, way) as tiles:
            for _ in delivery.begin():
                pass
            tell(delivery.progress())
            for tile in tiles:
                delivery.write(tile)
                tell(delivery.progress())
        for _ in delivery.finish():
            pass
        return delivery.result()


def left() -> UnavailableError:
    """The error of who asks for more of a stream that failed or was left: not all of its tiles have come."""
    return UnavailableError(
        "the stream was ended before its last tile; begin another", reason="CANCELLED", code="CANCELLED"
    )


def silence() -> UnavailableError:
    """The error of a stream on which nothing is heard."""
    return UnavailableError(
        f"no word from the server for {MAX_SILENCE_S:g} s", reason="STREAM_SILENT", code="UNAVAILABLE"
    )
