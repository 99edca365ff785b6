"""Many files, a bounded number of them at once; one that fails does not end the others.

for outcome in upscale_files(client, Path("scenes").glob("*.tif"), "upscaled", scale=4):
    print(outcome.source, outcome.error or "done")
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from typing_extensions import Unpack

from hndsr_client._core.calls import FileOptions
from hndsr_client._core.requests import FileFormat
from hndsr_client._core.tracing import Operation
from hndsr_client._destinations import AnyPath, Destinations, Job, plan_jobs
from hndsr_client._turns import AsyncTurns, Turns
from hndsr_client.async_client import AsyncClient
from hndsr_client.client import Client
from hndsr_client.errors import ArgumentError, HndsrError
from hndsr_client.results import UpscaleMetadata


@dataclass(frozen=True)
class FileOutcome:
    """How it ended with one file."""

    source: Path
    destination: Path
    metadata: UpscaleMetadata | None
    """What was done; None where nothing was."""
    error: HndsrError | None
    """Why the destination was not made."""
    elapsed_s: float
    """From its start to its end, without the time it waited for its turn."""

    @property
    def ok(self) -> bool:
        """Whether the destination is there."""
        return self.error is None

    @property
    def skipped(self) -> bool:
        """Whether the destination was there already, and left as it is."""
        return self.ok and self.metadata is None


def upscale_files(
    client: Client,
    sources: Iterable[AnyPath],
    into: Destinations,
    *,
    format: FileFormat | None = None,  # noqa: A002  as everywhere in this package
    suffix: str = "",
    max_concurrency: int = 4,
    overwrite: bool = False,
    skip_existing: bool = False,
    on_outcome: Callable[[FileOutcome], None] | None = None,
    **options: Unpack[FileOptions],
) -> Generator[FileOutcome, None, None]:
    """Upscale files, and tell of each as it ends: in order of completion, not of the sources.

    Work begins with the first outcome that is asked for and goes on as they are taken. Leaving the iteration, by
    `break`, Ctrl-C or any error, begins no further file; those under way become whole files or none, and end at once
    when the client is closed. What the sources or the naming function raise comes out after the outcome of every file
    that was begun.

    Args:
        client: Threads call it, `max_concurrency` at once.
        sources: The image files. A collection is checked as a whole before any work. An iterator is read no faster than
            files are begun, and in the caller's thread: what ends while its next source is waited for is told after
            it. What is wrong with one of its files is that file's outcome, and a source that is still to come cannot
            be kept from being overwritten, unless `into` is a mapping that names it.
        into: A folder, made if it is missing; or a mapping from source to destination; or a function from one to the
            other, which may raise to end the batch.
        format: The format of the files, in a folder their extension as well. None: what the extension says, in a folder
            that of each source, PNG if it cannot be made.
        suffix: In a folder: what is put between name and extension, for instance "_x4".
        max_concurrency: Files that are worked on at once, 1 or more.
        overwrite: Replace destinations that exist.
        skip_existing: Leave sources alone whose destination exists.
        on_outcome: Called with each outcome just before it is handed out.
        options: Those of `Client.upscale_file`.

    Raises:
        ArgumentError: Arguments that contradict each other, or a destination without a known extension.
        DestinationError: Two sources have the same destination, or a destination is a source.
        LocalFileError: The folder cannot be made.
    """
    batch = _Batch(format, max_concurrency, overwrite, skip_existing, on_outcome, options)
    jobs = _Jobs(plan_jobs(sources, into, file_format=format, suffix=suffix))
    return _outcomes(client, batch, jobs, Operation("upscale files"))


def async_upscale_files(
    client: AsyncClient,
    sources: Iterable[AnyPath],
    into: Destinations,
    *,
    format: FileFormat | None = None,  # noqa: A002  as everywhere in this package
    suffix: str = "",
    max_concurrency: int = 4,
    overwrite: bool = False,
    skip_existing: bool = False,
    on_outcome: Callable[[FileOutcome], None] | None = None,
    **options: Unpack[FileOptions],
) -> AsyncGenerator[FileOutcome, None]:
    """Upscale files as `upscale_files` does, for programs that use asyncio.

    Sources are read, named and checked in threads, so nothing waits for an iterator that is slow; what is refused is
    raised when the first outcome is asked for. Leaving the iteration cancels what is under way. After `break`, that is
    when the iterator is collected as garbage; `contextlib.aclosing` makes it happen at once.

    Raises:
        ArgumentError: Arguments that contradict each other, or a destination without a known extension.
        DestinationError: Two sources have the same destination, or a destination is a source.
        LocalFileError: The folder cannot be made.
    """
    batch = _Batch(format, max_concurrency, overwrite, skip_existing, on_outcome, options)
    plan = partial(plan_jobs, sources, into, file_format=format, suffix=suffix)
    return _async_outcomes(client, batch, plan, Operation("upscale files"))


@dataclass(frozen=True)
class _Batch:
    """What does not depend on how calls are waited for."""

    format: FileFormat | None
    max_concurrency: int
    overwrite: bool
    skip_existing: bool
    on_outcome: Callable[[FileOutcome], None] | None
    options: FileOptions

    def __post_init__(self) -> None:
        count = self.max_concurrency
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ArgumentError(f"max_concurrency is {count!r}, accepted is an integer, 1 or more")
        if self.skip_existing and self.overwrite:
            raise ArgumentError("skip_existing and overwrite exclude each other")

    def needs(self, job: Job) -> bool:
        """Whether there is anything to be done.

        Raises:
            HndsrError: It must not be done.
        """
        if job.refusal is not None:
            raise job.refusal
        return not (self.skip_existing and job.destination.is_file())

    def tell(self, outcome: FileOutcome) -> FileOutcome:
        if self.on_outcome is not None:
            self.on_outcome(outcome)
        return outcome


class _Jobs:
    """Jobs taken one by one. An error of the sources ends them, and is raised when everything else is told."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self._error: Exception | None = None

    def take(self) -> Job | None:
        """The next one, None after the last."""
        try:
            return next(self._jobs, None)
        except Exception as error:  # noqa: BLE001  whatever the caller's generator or function raises
            self._error = error
            return None

    def end(self) -> None:
        if self._error is not None:
            raise self._error


class _Work(AbstractContextManager["_Work"]):
    """The work on one file: an error of this package ends it and becomes its outcome."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started_s = time.monotonic()
        self._error: HndsrError | None = None
        self.metadata: UpscaleMetadata | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._error = error if isinstance(error, HndsrError) else None
        return self._error is not None

    def outcome(self) -> FileOutcome:
        elapsed_s = time.monotonic() - self._started_s
        return FileOutcome(self._job.source, self._job.destination, self.metadata, self._error, elapsed_s)


def _outcomes(client: Client, batch: _Batch, jobs: _Jobs, operation: Operation) -> Generator[FileOutcome, None, None]:
    executor = ThreadPoolExecutor(batch.max_concurrency, thread_name_prefix="hndsr-batch")
    running: set[Future[FileOutcome]] = set()
    turns = Turns()
    with operation.lasting():
        try:
            # The next source, which may be long in coming, is asked for when all that has ended is told.
            while (job := jobs.take()) is not None:
                running.add(executor.submit(operation.run, _upscale, client, batch, job, turns))
                timeout_s = 0 if len(running) < batch.max_concurrency else None
                done, running = wait(running, timeout_s, return_when=FIRST_COMPLETED)
                for future in done:
                    yield batch.tell(future.result())
            for future in as_completed(running):
                yield batch.tell(future.result())
        finally:
            executor.shutdown(wait=False)
        jobs.end()


def _upscale(client: Client, batch: _Batch, job: Job, turns: Turns) -> FileOutcome:
    def call() -> UpscaleMetadata:
        return client.upscale_file(
            job.source, job.destination, overwrite=batch.overwrite, format=batch.format, **batch.options
        )

    with _Work(job) as work:
        if batch.needs(job):
            work.metadata = turns.take(call)
    return work.outcome()


async def _async_outcomes(
    client: AsyncClient, batch: _Batch, plan: Callable[[], Iterator[Job]], operation: Operation
) -> AsyncGenerator[FileOutcome, None]:
    with operation.lasting():
        jobs, turn, turns = _Jobs(await asyncio.to_thread(plan)), asyncio.Lock(), AsyncTurns()

        def begun() -> asyncio.Task[FileOutcome | None]:
            return operation.run(lambda: asyncio.create_task(_async_upscale(client, batch, jobs, turn, turns)))

        running = {begun() for _ in range(batch.max_concurrency)}
        done: set[asyncio.Task[FileOutcome | None]] = set()
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                outcomes = [outcome for task in done if (outcome := task.result()) is not None]
                for outcome in outcomes:
                    yield batch.tell(outcome)
                running |= {begun() for _ in outcomes}
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, *done, return_exceptions=True)
        jobs.end()


async def _async_upscale(
    client: AsyncClient, batch: _Batch, jobs: _Jobs, turn: asyncio.Lock, turns: AsyncTurns
) -> FileOutcome | None:
    """Take the next job, if there is one, and do it: so a source that is long in coming holds up no outcome."""
    async with turn:
        job = await asyncio.to_thread(jobs.take)
    if job is None:
        return None

    async def call() -> UpscaleMetadata:
        return await client.upscale_file(
            job.source, job.destination, overwrite=batch.overwrite, format=batch.format, **batch.options
        )

    with _Work(job) as work:
        if await asyncio.to_thread(batch.needs, job):
            work.metadata = await turns.take(call)
    return work.outcome()
