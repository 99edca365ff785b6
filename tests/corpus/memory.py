"""How much memory the image workers of a gateway take, by what the kernel remembers of each."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType

import psutil

WORKER = "hndsr_gateway.images.worker"
INTERVAL_S = 0.02
FORGET_PEAK = "5"


def image_workers() -> list[psutil.Process]:
    """Those below this process."""
    return [child for child in psutil.Process().children(recursive=True) if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return WORKER in process.cmdline()
    return False


class WatchedWorkers:
    """Looks at the workers until the context ends, so that those that die are seen before."""

    def __init__(self) -> None:
        self._peak_bytes = 0
        self._looking = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> WatchedWorkers:  # noqa: PYI034 - Self is of Python 3.11
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def forget(self) -> None:
        """Count from what the workers take now."""
        with self._looking:
            for worker in image_workers():
                with contextlib.suppress(OSError):
                    Path(f"/proc/{worker.pid}/clear_refs").write_text(FORGET_PEAK)
            self._peak_bytes = 0

    def peak_bytes(self) -> int:
        """The most that one worker has taken since."""
        self._look()
        return self._peak_bytes

    def _watch(self) -> None:
        while not self._ending.wait(INTERVAL_S):
            self._look()

    def _look(self) -> None:
        with self._looking:
            self._peak_bytes = max([self._peak_bytes, *(_high_water_bytes(worker.pid) for worker in image_workers())])


def _high_water_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
