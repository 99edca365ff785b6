"""What may be left of a gateway that was ended in the middle of its work, and must not be."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import psutil

from hndsr_gateway.triton.guard import SHARED_MEMORY

LOOK_S = 0.05
GONE_S = 20.0
VARIABLE = "TMPDIR"


class Remains:
    """Watches the folder for temporary files that all processes of a round have to themselves.

    Tritons name their shared memory after their work folder there, so all names that were seen can be looked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def left(self) -> list[str]:
        """What is left some time after everything was ended: processes, files, shared memory."""
        self._enough.set()
        self._thread.join()
        until_s = time.monotonic() + GONE_S
        while (found := self._found()) and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        return found

    def end(self) -> None:
        """Kill the processes that should not be left."""
        self._enough.set()
        self._thread.join()
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _watch(self) -> None:
        while not self._enough.wait(LOOK_S):
            self._names.update(path.name for path in self._folder.glob("hndsr_*"))

    def _found(self) -> list[str]:
        regions = [str(path) for name in self._names for path in SHARED_MEMORY.glob(f"{name}*")]
        return [*map(str, self._processes()), *regions, *(str(path) for path in self._folder.iterdir())]

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(VARIABLE) == str(self._folder):
                    found.append(process)
        return found
