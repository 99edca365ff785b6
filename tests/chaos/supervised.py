"""Processes that are started again when they end, as a supervisor would."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

PAUSE_S = 0.1
STOP_S = 30.0


class Supervised:
    """A process and those that follow it.

    Args:
        command: what runs.
        environment: its variables.
        log: file that its output is added to.
        again: whether another one follows, by the exit code; negative: the signal that ended it.
        on_line: is told the lines of standard output, which then are not in the log.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        again: Callable[[int], bool],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._command, self._environment, self._log = list(command), dict(environment), log
        self._again, self._on_line = again, on_line
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self.ended = threading.Event()
        """Set when none follows any more."""
        self.exit_codes: list[int] = []
        self.pids: list[int] = []
        """Of all that were started."""
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    @property
    def process(self) -> psutil.Process | None:
        """The one that runs now, if one does."""
        with self._lock, contextlib.suppress(psutil.NoSuchProcess):
            running = self._process is not None and self._process.returncode is None
            return psutil.Process(self._process.pid) if self._process and running else None
        return None

    def stop(self) -> None:
        """Have the last one end, by force where it takes too long."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        if not self.ended.wait(STOP_S) and self._process is not None:
            self._process.kill()
        self._thread.join()

    def _keep(self) -> None:
        try:
            while self._start():
                code = self._wait()
                if not self._again(code) or self._stopping.wait(PAUSE_S):
                    return
        finally:
            self.ended.set()

    def _start(self) -> bool:
        with self._lock, self._log.open("a") as log:
            if self._stopping.is_set():
                return False
            output = log if self._on_line is None else subprocess.PIPE
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=log, text=True, start_new_session=True
            )
            self.pids.append(self._process.pid)
            return True

    def _wait(self) -> int:
        assert self._process is not None
        if self._process.stdout is not None and self._on_line is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._on_line(line)
        code = self._process.wait()
        self.exit_codes.append(code)
        return code
