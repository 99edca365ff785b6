"""Many files, a bounded number of them at once; one that fails does not end the others.

for outcome in upscale_files(client, Path("scenes").glob("*.tif"), "upscaled", scale=4):
    print(outcome.source, outcome.error or "done")
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hndsr_client._core.requests import FileFormat
from hndsr_client._destinations import AnyPath, Destinations, Job, plan_jobs
from hndsr_client.errors import ArgumentError, HndsrError
from hndsr_client.results import UpscaleMetadata

if TYPE_CHECKING:
    from hndsr_client.async_client import AsyncClient
    from hndsr_client.client import Client


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
    **options: Any,
) -> Generator[FileOutcome, None, None]:
    """Upscale files, and tell of each as it ends: in order of completion, not of the sources.

    Work begins with the first outcome that is asked for and goes on as they are taken. Leaving the iteration, by
    `break`, Ctrl-C or any error, begins no further file; those under way become whole files or none, and end at once
    when the client is closed.

    Args:
        client: Threads call it, `max_concurrency` at once.
        sources: The image files. A collection is checked as a whole before any work. An iterator is read no faster than
            files are begun; what is wrong with one of its files is then that file's outcome.
        into: A folder, made if it is missing; or a mapping from source to destination; or a function from one to the
            other, which may raise to end the batch.
        format: In a folder: the format of the files. None: that of each source, PNG if it cannot be made.
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
    jobs = plan_jobs(sources, into, file_format=format, suffix=suffix)
    options |= {"overwrite": overwrite}
    return _outcomes(client, _Batch(jobs, max_concurrency, skip_existing, on_outcome, options))


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
    **options: Any,
) -> AsyncGenerator[FileOutcome, None]:
    """Upscale files as `upscale_files` does, for programs that use asyncio.

    Leaving the iteration cancels what is under way. After `break`, that is when the iterator is collected as garbage;
    `contextlib.aclosing` makes it happen at once.

    Raises:
        ArgumentError: Arguments that contradict each other, or a destination without a known extension.
        DestinationError: Two sources have the same destination, or a destination is a source.
        LocalFileError: The folder cannot be made.
    """
    jobs = plan_jobs(sources, into, file_format=format, suffix=suffix)
    options |= {"overwrite": overwrite}
    return _async_outcomes(client, _Batch(jobs, max_concurrency, skip_existing, on_outcome, options))


@dataclass(frozen=True)
class _Batch:
    """What does not depend on how calls are waited for."""

    jobs: Iterator[Job]
    max_concurrency: int
    skip_existing: bool
    on_outcome: Callable[[FileOutcome], None] | None
    options: dict[str, Any]

    def __post_init__(self) -> None:
        count = self.max_concurrency
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ArgumentError(f"max_concurrency is {count!r}, accepted is an integer, 1 or more")
        if self.skip_existing and self.options["overwrite"]:
            raise ArgumentError("skip_existing and overwrite exclude each other")

    def settle(self, job: Job) -> FileOutcome | None:
        """The outcome of a job that needs no call."""
        if job.refusal is not None:
            return FileOutcome(job.source, job.destination, None, job.refusal, 0.0)
        if self.skip_existing and job.destination.is_file():
            return FileOutcome(job.source, job.destination, None, None, 0.0)
        return None

    def tell(self, outcome: FileOutcome) -> FileOutcome:
        if self.on_outcome is not None:
            self.on_outcome(outcome)
        return outcome


def _outcomes(client: Client, batch: _Batch) -> Generator[FileOutcome, None, None]:
    executor = ThreadPoolExecutor(batch.max_concurrency, thread_name_prefix="hndsr-batch")
    running: set[Future[FileOutcome]] = set()
    try:
        running |= {executor.submit(_upscale, client, batch, job) for job in islice(batch.jobs, batch.max_concurrency)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {executor.submit(_upscale, client, batch, job) for job in islice(batch.jobs, len(done))}
            for future in done:
                yield batch.tell(future.result())
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _upscale(client: Client, batch: _Batch, job: Job) -> FileOutcome:
    settled = batch.settle(job)
    if settled is not None:
        return settled
    started_s = time.monotonic()
    try:
        metadata = client.upscale_file(job.source, job.destination, **batch.options)
    except HndsrError as error:
        return FileOutcome(job.source, job.destination, None, error, time.monotonic() - started_s)
    return FileOutcome(job.source, job.destination, metadata, None, time.monotonic() - started_s)


async def _async_outcomes(client: AsyncClient, batch: _Batch) -> AsyncGenerator[FileOutcome, None]:
    running: set[asyncio.Task[FileOutcome]] = set()
    done: set[asyncio.Task[FileOutcome]] = set()
    free = batch.max_concurrency
    try:
        while True:
            for job in islice(batch.jobs, free):
                running.add(asyncio.create_task(_async_upscale(client, batch, job)))
            for task in done:
                yield batch.tell(task.result())
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            free = len(done)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *done, return_exceptions=True)


async def _async_upscale(client: AsyncClient, batch: _Batch, job: Job) -> FileOutcome:
    settled = batch.settle(job)
    if settled is not None:
        return settled
    started_s = time.monotonic()
    try:
        metadata = await client.upscale_file(job.source, job.destination, **batch.options)
    except HndsrError as error:
        return FileOutcome(job.source, job.destination, None, error, time.monotonic() - started_s)
    return FileOutcome(job.source, job.destination, metadata, None, time.monotonic() - started_s)
