"""Shared memory that tiles travel through: files in /dev/shm that the gateway and a Triton on its host both map."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from hndsr_gateway.triton import guard
from hndsr_gateway.triton.workspace import is_region_name


class RegionRefusedError(Exception):
    """A Triton does not map regions of this gateway, and says why."""


class Registrar(Protocol):
    """One Triton, as far as it maps regions."""

    async def register(self, name: str, size_bytes: int) -> None:
        """Have it map a region.

        Raises:
            RegionRefusedError: if it answers that it does not.
            UnavailableError: if it cannot be asked, or not in time: nobody knows whether it does.
        """

    async def unregister(self, name: str) -> bool:
        """Have it unmap a region; whether it has none of that name any more. It has while a request uses it."""


@dataclass(eq=False, slots=True)
class Region:
    """A file in /dev/shm, and who maps it."""

    name: str
    memory: np.ndarray
    """All its bytes, as the file holds them."""
    registrars: set[Registrar] = field(default_factory=set)
    """Those that map it, as far as is known."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it holds."""
        return self.memory.nbytes


def create_region(name: str, size_bytes: int) -> Region:
    """A region that only this user can open, with all its memory: none is missing when it is written.

    Its lock lives as long as its mapping here, which tells other processes that it is in use.

    Raises:
        OSError: there is no room for it, or no shared memory at all.
    """
    path = guard.SHARED_MEMORY / name
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.stat()  # another gateway may have cleared it away before it was locked
        os.posix_fallocate(file, 0, size_bytes)
        mapping = mmap.mmap(file, size_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    return Region(name, np.frombuffer(mapping, np.uint8))


def clear_regions() -> None:
    """Remove the regions here whose owner is dead, also those of other pid namespaces: nobody holds their lock."""
    for path in guard.SHARED_MEMORY.glob("hndsr_*"):
        if is_region_name(path.name):
            with contextlib.suppress(OSError):  # another user's, one in use, or one that went just now
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(file)


def unlink_region(region: Region) -> None:
    """Remove a region's name; its memory goes once nothing maps it."""
    with contextlib.suppress(FileNotFoundError):
        (guard.SHARED_MEMORY / region.name).unlink()
