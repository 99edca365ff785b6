"""Bytes that two processes see without sending them: anonymous files that nobody can change any more."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8

from hndsr_gateway.images.errors import ExchangeError

_SEALS = ("F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE")


class SharedMemory:
    """Owns the descriptor of an anonymous file and closes it with itself, also where a cancelled task drops it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)
        """Give the descriptor back; arrays over the memory live on."""

    @classmethod
    def holding(cls, parts: Iterable[bytes | memoryview]) -> SharedMemory:
        """The parts behind each other, sealed where the system can; takes as long as copying them.

        Raises:
            OSError: there is no room for them, or a resource limit forbids it.
        """
        memory = cls(_anonymous_file())
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(memory.descriptor, rest) :]
        _seal(memory.descriptor)
        return memory

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.descriptor).st_size

    def read(self) -> bytes:
        """A copy of the bytes, made without holding up other threads.

        Raises:
            ExchangeError: not all of them can be read.
        """
        expected = self.size
        try:
            content = os.pread(self.descriptor, expected, 0)
        except OSError as error:
            raise ExchangeError(str(error)) from error
        if len(content) != expected:
            raise ExchangeError(f"{len(content)} of {expected} bytes could be read")
        return content

    def array(self) -> UInt8[np.ndarray, "bytes"]:
        """The bytes themselves, to be read; they, and a descriptor of mmap's own, stay as long as the array does.

        What is not sealed is copied instead: touching a mapping that its writer made shorter would end this process.

        Raises:
            ExchangeError: not all of them can be read.
        """
        if self.size and _sealed(self.descriptor):
            mapping = mmap.mmap(self.descriptor, self.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            return np.frombuffer(mapping, np.uint8)
        return np.frombuffer(self.read(), np.uint8)


def _anonymous_file() -> int:
    # Some builds of Python, and some sandboxes, have no memfd_create.
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("hndsr-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def _seals() -> int:
    return sum(getattr(fcntl, name) for name in _SEALS)


def _seal(descriptor: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())


def _sealed(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _seals() == _seals()
    except (AttributeError, OSError):
        return False
