"""One worker process as the gateway sees it: started, asked, ended, and never trusted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence

from hndsr_gateway.images.errors import Cause, ExchangeError, JobFailedError, WorkerStartError
from hndsr_gateway.images.exchange import (
    Answer,
    Failed,
    Job,
    OutOfMemory,
    Ready,
    Request,
    printable,
    understood,
)
from hndsr_gateway.images.launch import Launched, launch
from hndsr_gateway.images.memory import SharedMemory

logger = logging.getLogger("hndsr_gateway.images")

_LAST_BREATH_S = 1.0
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "out of memory", "Cannot allocate memory")


class Worker:
    """A process that does one job at a time."""

    def __init__(self, launched: Launched) -> None:
        self.alive = True
        """Whether it can be given a job; False from the moment that its end is decided."""
        self.jobs = 0
        """How many it was given."""
        self._process = launched.process
        self._socket = launched.channel.socket
        self._channel = launched.channel
        self._complaints = launched.complaints
        self._killed_for: Cause | None = None
        self._stirred = asyncio.Event()
        self._end = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, command: Sequence[str], *, timeout_s: float) -> Worker:
        """A worker that has imported everything.

        Raises:
            WorkerStartError: it ended, or did not announce itself in time.
        """
        try:
            worker = cls(await launch(command))
        except OSError as error:
            raise WorkerStartError(str(error)) from error
        try:
            await worker.announced(timeout_s=timeout_s)
        except BaseException:
            await worker.stop()
            raise
        return worker

    async def announced(self, *, timeout_s: float) -> None:
        """Return once it said that it is ready.

        Raises:
            WorkerStartError: it said something else, or ended, or took too long.
        """
        try:
            answer, _ = await self._receive(timeout_s=timeout_s)
        except (JobFailedError, ExchangeError) as error:
            await self.stop()
            raise WorkerStartError(self.obituary()) from error
        if not isinstance(answer, Ready):
            raise WorkerStartError(f"it announced itself as {answer.kind}")

    def give(self, job: Job, memory: SharedMemory) -> bool:
        """Hand it a job; False if it is gone without having seen the job."""
        try:
            self._channel.send(Request(number=self.jobs + 1, job=job), memory)
        except OSError:
            self.kill(Cause.CRASH)
            return False
        self.jobs += 1
        self._complaints.begin()
        return True

    async def answer(self, *, timeout_s: float | None) -> tuple[Answer, SharedMemory | None]:
        """What came of the job.

        Raises:
            JobFailedError: nothing; the log says more.
        """
        try:
            answer, memory = await self._receive(timeout_s=timeout_s)
        except ExchangeError as error:
            logger.warning("an image worker is not to be trusted: %s", error)
            raise JobFailedError(Cause.CRASH) from error
        if isinstance(answer, OutOfMemory):
            raise JobFailedError(Cause.MEMORY)
        if isinstance(answer, Failed):
            logger.error("unforeseen failure in an image worker:\n%s", _indented(answer.traceback))
            raise JobFailedError(Cause.DEFECT)
        return answer, memory

    async def _receive(self, *, timeout_s: float | None) -> tuple[Answer, SharedMemory | None]:
        with self._killed_after(timeout_s):
            await self._readable()
        # Nothing is awaited between arrival and return: a cancellation cannot lose the memory.
        try:
            content, memory = self._channel.receive()
        except OSError:
            content, memory = b"", None
        if not content:
            raise JobFailedError(await self._cause_of_death())
        try:
            return understood(content, number=self.jobs), memory
        except ExchangeError:
            if memory is not None:
                memory.close()
            raise

    @contextlib.contextmanager
    def _killed_after(self, timeout_s: float | None) -> Iterator[None]:
        if timeout_s is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(timeout_s, self.kill, Cause.TIME)
        try:
            yield
        finally:
            timer.cancel()

    async def _readable(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._stirred.clear()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._stirred.set)
        try:
            await self._stirred.wait()
        finally:
            if self._socket.fileno() >= 0:
                loop.remove_reader(self._socket)

    def kill(self, cause: Cause) -> None:
        """End it, and whatever it started, at once."""
        if self.alive and self._process.returncode is None:
            self._killed_for = cause
            self._kill_group()
        self.alive = False

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it, and return once nothing is left of it."""
        self.kill(Cause.CRASH)
        await self.ended()

    async def ended(self) -> None:
        """Return once the process is gone and its last words are read."""
        await asyncio.shield(self._end)

    async def _watch(self) -> None:
        await self._process.wait()
        self.alive = False
        self._kill_group()  # no library of ours starts processes, but who breaks one may
        self._complaints.close()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._stirred.set()
        if self._killed_for is None:
            logger.warning("an image worker %s", self.obituary())

    async def _cause_of_death(self) -> Cause:
        await asyncio.wait([self._end], timeout=_LAST_BREATH_S)
        await self.stop()
        if self._killed_for is not None:
            return self._killed_for
        if self._process.returncode == -signal.SIGKILL:
            return Cause.KILLED
        starved = any(sign in line for line in self._complaints.last_lines for sign in _OUT_OF_MEMORY)
        return Cause.MEMORY if starved else Cause.CRASH

    def obituary(self) -> str:
        """How it ended and what it said last."""
        code = self._process.returncode or 0
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        ended = f"was killed: it {self._killed_for.value}" if self._killed_for else f"ended with {how}"
        return "\n  ".join([ended, *self._complaints.last_lines])


def _indented(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())
