"""Work on images in several processes, with its progress on stderr."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final, TypeVar

from tqdm import tqdm

from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.inspection import inspect
from hndsr_ensemble.training.imagery.manifest import Image
from hndsr_ensemble.training.imagery.sources import Found

COMPARISONS_AT_ONCE: Final = 8
"""Handed to a process together: neighbours share a picture, which it keeps decoded."""
EXIT_ORPHANED: Final = 1

Task = TypeVar("Task")
Answer = TypeVar("Answer")


class WorkerDiedError(TrainingError):
    """A process ended in the middle of its work."""

    def __init__(self) -> None:
        super().__init__(
            "a worker process died, perhaps for want of memory; the same command goes on, better with fewer --workers"
        )


class Workers:
    """Processes that read and compare images."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def inspect(self, files: Sequence[Found], keypoints_folder: Path) -> Iterator[Image]:
        """Each file's record as soon as it is finished, in any order."""
        futures = [self._executor.submit(inspect, found, keypoints_folder) for found in files]
        # Only people look at progress: where stderr is no terminal, there is none.
        for future in tqdm(as_completed(futures), desc="reading", unit="image", total=len(futures), disable=None):
            yield future.result()

    def map(self, function: Callable[[Task], Answer], tasks: Sequence[Task], /) -> Iterable[Answer]:
        """The answers in the order of the tasks."""
        answers = self._executor.map(function, tasks, chunksize=COMPARISONS_AT_ONCE)
        return tqdm(answers, desc="comparing", unit="pair", total=len(tasks), disable=None, leave=False)


@contextmanager
def running_workers(count: int) -> Iterator[Workers]:
    """Processes that end with this one, however it ends.

    Raises:
        WorkerDiedError: inside the block, when one of them dies.
    """
    # Threads of GDAL and BLAS do not survive a fork.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_watch_parent)
    try:
        yield Workers(executor)
    except BrokenProcessPool as error:
        raise WorkerDiedError from error
    finally:
        executor.shutdown(cancel_futures=True)


def _watch_parent() -> None:
    """Begin to wait for the parent's end: a process that was killed tells its workers nothing."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(EXIT_ORPHANED)
