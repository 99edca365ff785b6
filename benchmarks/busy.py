"""How busy a GPU is, as nvidia-smi tells; nothing where there is none."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PROGRAM = "nvidia-smi"
PERIOD_MS = 200


@dataclass
class Busy:
    """Samples of the share of time in which some kernel ran, 0 to 1."""

    samples: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Their mean, None where there are none."""
        return sum(self.samples) / len(self.samples) if self.samples else None


@contextlib.contextmanager
def watched_gpu() -> Iterator[Busy]:
    """Sample the first GPU until it is left."""
    busy = Busy()
    if shutil.which(PROGRAM) is None:
        yield busy
        return
    command = [*_query("utilization.gpu"), f"--loop-ms={PERIOD_MS}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=_read, args=(process, busy))
        reader.start()
        try:
            yield busy
        finally:
            process.kill()
            reader.join()


def gpu_memory_mib() -> float | None:
    """Memory that all processes have of the first GPU, None where there is none."""
    if shutil.which(PROGRAM) is None:
        return None
    answer = subprocess.run(_query("memory.used"), capture_output=True, text=True, check=False).stdout
    return next(_numbers(answer.splitlines()), None)


def _query(field_name: str) -> list[str]:
    return [PROGRAM, f"--query-gpu={field_name}", "--format=csv,noheader,nounits", "--id=0"]


def _read(process: subprocess.Popen[str], busy: Busy) -> None:
    for percent in _numbers(process.stdout or []):
        busy.samples.append(percent / 100)


def _numbers(lines: Iterable[str]) -> Iterator[float]:
    """The lines that are numbers: a GPU that cannot tell says [N/A]."""
    for line in lines:
        with contextlib.suppress(ValueError):
            yield float(line)
