"""What a worker takes from itself before it touches a file that a stranger sent."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import sys
from pathlib import Path

OPEN_FILES = 64
BYTES_PER_PX = 32
"""What a pixel of 16 bits with alpha and mask takes as a file (8), in a library's hands (8 to 15), and as a picture."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PAGE_BYTES = resource.getpagesize()
_STATM = Path("/proc/self/statm")


def restrict() -> None:
    """Die with the gateway, leave its signals to it, dump no core, gain no right, be the first to go without memory."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the gateway drains, then ends its workers
        signal.signal(ignored, signal.SIG_IGN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (least, hard))


def private_bytes() -> int:
    """Memory of this process that RLIMIT_DATA counts: private and writable, touched or not. 0 where nothing says."""
    try:
        return int(_STATM.read_text().split()[5]) * _PAGE_BYTES
    except OSError:
        return 0


class Allowance:
    """Memory beside that of the process at rest.

    RLIMIT_DATA sees arrays, heaps and thread stacks; RLIMIT_AS would also count libraries and shared memory, and so
    refuse honest images or allow bombs. Shared memory that is written is bounded as a file is, by RLIMIT_FSIZE.
    """

    def __init__(self) -> None:
        self._at_rest_bytes = private_bytes()
        self._allowed_bytes = 0

    def grant(self, allowed_bytes: int) -> None:
        """Let the next allocations come to so much, above what the process had when this was made."""
        self._allowed_bytes = allowed_bytes
        self._set(allowed_bytes)

    def add_pixels(self, pixels: int) -> None:
        """Let them come to what so many pixels take beside what was granted."""
        self._set(self._allowed_bytes + BYTES_PER_PX * pixels)

    def _set(self, allowed_bytes: int) -> None:
        _limit(resource.RLIMIT_FSIZE, allowed_bytes)
        if self._at_rest_bytes:
            _limit(resource.RLIMIT_DATA, self._at_rest_bytes + allowed_bytes)


def give_memory_back() -> None:
    """Return freed heap to the system: glibc keeps what a large picture took."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
