"""How much memory other processes take while they work, as Linux tells it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

SAMPLE_S = 0.5
KIB_PER_MIB = 1024


@dataclass
class Footprint:
    """Peaks in MiB."""

    resident: float = 0.0
    """VmHWM: the kernel's own peak of what was resident, files and shared pages included."""
    anonymous: float = 0.0
    """Of the samples: what belongs to the process alone and is no file's."""
    tree: float = 0.0
    """Of the samples: proportional memory of the process and all below it, shared pages counted once."""


class Watch(contextlib.AbstractContextManager[Footprint]):
    """Looks at a process twice a second until it is left."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.footprint = Footprint()

    def __enter__(self) -> Footprint:
        self._thread.start()
        return self.footprint

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()
        self._sample()

    def _look(self) -> None:
        while not self._enough.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        seen = self.footprint
        with contextlib.suppress(OSError, psutil.Error):
            seen.resident = max(seen.resident, peak_resident_mib(self._pid))
            seen.anonymous = max(seen.anonymous, _field(f"/proc/{self._pid}/smaps_rollup", "Anonymous"))
            below = psutil.Process(self._pid).children(recursive=True)
            seen.tree = max(seen.tree, sum(_proportional(pid) for pid in (self._pid, *(each.pid for each in below))))


def peak_resident_mib(pid: int | str) -> float:
    """The kernel's own peak of what was resident of a process, in MiB."""
    return _field(f"/proc/{pid}/status", "VmHWM")


def _proportional(pid: int) -> float:
    with contextlib.suppress(OSError):
        return _field(f"/proc/{pid}/smaps_rollup", "Pss")
    return 0.0


def _field(path: str, name: str) -> float:
    """A field in MiB, 0 where there is none: of a process that has ended and is not reaped."""
    lines = (line.partition(":") for line in Path(path).read_text(encoding="ascii").splitlines())
    return next((int(value.split()[0]) / KIB_PER_MIB for key, _, value in lines if key == name), 0.0)
