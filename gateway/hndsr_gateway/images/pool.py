"""Reading and writing image files in processes of their own, which may crash, hang or run out of memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from hndsr_gateway.errors import (
    DamagedImageError,
    DecompressionBombError,
    GatewayError,
    InvalidRequestError,
    UnavailableError,
)
from hndsr_gateway.images.child import Worker
from hndsr_gateway.images.errors import Cause, ExchangeError, ImageWorkersError, JobFailedError
from hndsr_gateway.images.exchange import Answer, Decoded, DecodeJob, Encoded, EncodeJob, Job, Refused
from hndsr_gateway.images.free import FreeWorkers
from hndsr_gateway.images.layout import pack, unpack
from hndsr_gateway.images.limits import BYTES_PER_PX
from hndsr_gateway.images.memory import SharedMemory
from hndsr_gateway.images.picture import Encoding, Enlarged, Picture
from hndsr_gateway.images.seat import Seat

logger = logging.getLogger("hndsr_gateway.images")

COMMAND = (sys.executable, "-I", "-m", "hndsr_gateway.images.worker")
LARGE_PX = 2**20
LARGE_FILE_BYTES = 4 * 2**20
"""A picture to write and a file to read that take a worker about half a second, each by its most expensive kind."""

MIB = 2**20

_Result = TypeVar("_Result")


class ImageWorkers:
    """A pool of processes; requests wait for a free one in the order in which they came.

    Large files and pictures leave one process to small ones, unless there is but one, and wait in a line of their own.
    A file that breaks its process costs its own request only. Who stops waiting for an answer ends the process, since
    nothing else stops an image library; another one starts at once.
    """

    def __init__(self, *, count: int, timeout_s: float, memory_bytes: int, command: Sequence[str] = COMMAND) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._free = FreeWorkers()
        self._large = asyncio.Semaphore(max(1, count - 1))
        self._seats = [Seat(command, self._free, on_hopeless=self._refuse_if_hopeless) for _ in range(count)]
        self._keepers: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> ImageWorkers:  # noqa: PYI034 - Self is of Python 3.11
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._free.refuse_all(self._unavailable)

    async def warm_up(self) -> None:
        """Start all workers and wait until they have imported everything; without it the first request does.

        Raises:
            ImageWorkersError: none can start.
        """
        self._open()
        await asyncio.gather(*(seat.settled.wait() for seat in self._seats))
        if self._hopeless:
            raise ImageWorkersError(happened=self._seats[0].happened)

    def _open(self) -> None:
        if not self._keepers:
            self._keepers = [asyncio.create_task(seat.keep()) for seat in self._seats]

    @property
    def _hopeless(self) -> bool:
        return all(seat.hopeless for seat in self._seats)

    def _refuse_if_hopeless(self) -> None:
        if self._hopeless:
            self._free.refuse_all(self._unavailable)

    def _unavailable(self) -> UnavailableError:
        if self._closed:
            return self._interrupted()
        delay_s = max(1.0, *(seat.pause_s for seat in self._seats))
        return UnavailableError("no image worker starts", retry_delay_s=delay_s)

    async def decode(self, encoded: bytes, *, max_px: int, enlarged: Enlarged | None = None) -> Picture:
        """The picture of an image file of at most `max_px` pixels, and of no more than allowed when it is enlarged.

        Raises:
            InvalidRequestError: the file cannot be read, or not within the limits; its classes say which.
            UnavailableError: there are no workers now.
            GatewayError: reading failed in a way that nobody foresaw.
        """
        job = DecodeJob(max_px=max_px, enlarged=enlarged, memory_bytes=self._memory_bytes + len(encoded))

        def accept(answer: Answer, memory: SharedMemory) -> Picture:
            if not isinstance(answer, Decoded) or answer.picture.pixels > max_px or answer.picture.format is None:
                raise ExchangeError(f"no picture as it was asked for, but {answer!r:.500}")
            return unpack(answer.picture, self._bounded(memory, answer.picture.pixels))

        def prepare() -> tuple[DecodeJob, SharedMemory]:
            return job, SharedMemory.holding([encoded])

        try:
            async with self._turn(large=len(encoded) > LARGE_FILE_BYTES):
                return await self._done(prepare, accept, timeout_s=self._timeout_s)
        except JobFailedError as error:
            raise self._reading_error(error.cause) from error

    def _reading_error(self, cause: Cause) -> GatewayError:
        if self._closed or cause is Cause.KILLED:
            return self._interrupted()
        if cause is Cause.TIME:
            return DecompressionBombError(what="time", limit=f"{self._timeout_s:g} s")
        if cause is Cause.MEMORY:
            return DecompressionBombError(what="memory", limit=f"{self._memory_bytes // MIB} MiB")
        if cause is Cause.CRASH:
            return DamagedImageError("reading the image file broke its reader")
        return GatewayError("reading the image file failed in a way that was not foreseen")

    async def encode(self, picture: Picture, encoding: Encoding) -> bytes:
        """The image file of a picture.

        Raises:
            UnavailableError: there are no workers now.
            GatewayError: writing failed.
        """
        pixels = picture.raster.height * picture.raster.width

        def accept(answer: Answer, memory: SharedMemory) -> bytes:
            if not isinstance(answer, Encoded):
                raise ExchangeError(f"no image file, but {answer!r:.500}")
            return self._bounded(memory, pixels).read()

        def prepare() -> tuple[EncodeJob, SharedMemory]:
            layout, memory = pack(picture)
            return EncodeJob(picture=layout, encoding=encoding, memory_bytes=self._allowed_bytes(pixels)), memory

        try:
            async with self._turn(large=pixels > LARGE_PX):
                return await self._done(prepare, accept, timeout_s=None)
        except JobFailedError as error:
            raise self._writing_error(error.cause) from error

    def _writing_error(self, cause: Cause) -> GatewayError:
        if self._closed or cause is Cause.KILLED:
            return self._interrupted()
        return GatewayError(f"writing the image file {cause.value}")

    def _interrupted(self) -> UnavailableError:
        return UnavailableError("the server is about to stop" if self._closed else "image workers are being killed")

    def _allowed_bytes(self, pixels: int) -> int:
        return self._memory_bytes + BYTES_PER_PX * pixels

    def _bounded(self, memory: SharedMemory, pixels: int) -> SharedMemory:
        if memory.size > self._allowed_bytes(pixels):
            raise ExchangeError("an answer takes more memory than its job may")
        return memory

    def _turn(self, *, large: bool) -> contextlib.AbstractAsyncContextManager[Any]:
        return self._large if large else contextlib.nullcontext()

    async def _done(
        self,
        prepare: Callable[[], tuple[Job, SharedMemory]],
        accept: Callable[[Answer, SharedMemory], _Result],
        *,
        timeout_s: float | None,
    ) -> _Result:
        """Have a worker do a job; where it is killed from outside, as when the system lacks memory, another one."""
        try:
            return await self._tried(prepare, accept, timeout_s=timeout_s)
        except JobFailedError as error:
            if error.cause is not Cause.KILLED or self._closed:
                raise
        return await self._tried(prepare, accept, timeout_s=timeout_s)

    async def _tried(
        self,
        prepare: Callable[[], tuple[Job, SharedMemory]],
        accept: Callable[[Answer, SharedMemory], _Result],
        *,
        timeout_s: float | None,
    ) -> _Result:
        """Have a worker do a job; what copies images runs in threads."""
        worker = await self._given(prepare)
        try:
            answer, result = await worker.answer(timeout_s=timeout_s)
            accepted = await asyncio.to_thread(_checked, accept, answer, result)
        except InvalidRequestError:
            self._free.put(worker)
            raise
        except BaseException:
            worker.kill(Cause.CRASH)
            raise
        self._free.put(worker)
        return accepted

    async def _given(self, prepare: Callable[[], tuple[Job, SharedMemory]]) -> Worker:
        """A worker that has the job; images are copied only once it is their turn, so that who waits holds no copy."""
        worker = await self._taken()
        try:
            job, memory = await asyncio.to_thread(prepare)
        except BaseException:
            self._free.put(worker)
            raise
        while not worker.give(job, memory):
            worker = await self._taken()
        memory.close()
        return worker

    async def _taken(self) -> Worker:
        if self._closed or self._hopeless:
            raise self._unavailable()
        self._open()
        return await self._free.take()


def _checked(accept: Callable[[Answer, SharedMemory], _Result], answer: Answer, memory: SharedMemory | None) -> _Result:
    try:
        return accept(answer, _result(answer, memory))
    except ExchangeError as error:
        logger.warning("an image worker is not to be trusted: %s", error)
        raise JobFailedError(Cause.CRASH) from error
    finally:
        if memory is not None:
            memory.close()


def _result(answer: Answer, memory: SharedMemory | None) -> SharedMemory:
    if isinstance(answer, Refused):
        raise answer.as_error()
    if memory is None:
        raise ExchangeError("an answer comes without its memory")
    return memory
