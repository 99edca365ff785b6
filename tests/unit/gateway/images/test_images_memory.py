"""Memory that two processes share, sealed or not."""

from __future__ import annotations

import os
import stat
import tempfile

import numpy as np
import psutil
import pytest

from hndsr_gateway.images.errors import ExchangeError
from hndsr_gateway.images.memory import SharedMemory


def loose(content: bytes) -> SharedMemory:
    """As where the system knows no seals."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        return SharedMemory(os.dup(file.fileno()))


def test_memory_holds_its_parts_behind_each_other() -> None:
    assert SharedMemory.holding([b"ab", b"", np.arange(3, dtype=np.uint8).data]).read() == b"ab\0\1\2"


@pytest.mark.parametrize("memory", [SharedMemory.holding, lambda parts: loose(b"".join(parts))])
def test_memory_shows_its_bytes_as_an_array(memory: type[SharedMemory]) -> None:
    assert memory([b"ab"]).array().tolist() == [97, 98]


def test_empty_memory_shows_an_empty_array() -> None:
    assert SharedMemory.holding([]).array().size == 0


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs seals")
def test_memory_cannot_be_changed_once_it_is_made() -> None:
    memory = SharedMemory.holding([b"ab"])
    with pytest.raises(PermissionError):
        os.pwrite(memory.descriptor, b"c", 0)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs seals")
def test_memory_cannot_be_shortened_once_it_is_made() -> None:
    memory = SharedMemory.holding([b"ab"])
    with pytest.raises(PermissionError):
        os.ftruncate(memory.descriptor, 0)


def test_array_survives_the_end_of_its_memory() -> None:
    assert SharedMemory.holding([b"ab"]).array().tobytes() == b"ab"


def test_array_survives_the_shortening_of_what_is_not_sealed() -> None:
    memory = loose(b"ab" * 5000)
    array = memory.array()
    os.ftruncate(memory.descriptor, 0)
    assert array.tobytes() == b"ab" * 5000


def test_memory_without_memfd_is_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert SharedMemory.holding([b"ab", b"c"]).array().tobytes() == b"abc"


def test_memory_without_memfd_is_closed_to_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    memory = SharedMemory.holding([b"ab"])
    assert stat.S_IMODE(os.fstat(memory.descriptor).st_mode) == 0o600


def test_reading_refuses_what_is_no_file() -> None:
    reading_end, writing_end = os.pipe()
    os.close(writing_end)
    with pytest.raises(ExchangeError):
        SharedMemory(reading_end).read()


def test_dropped_memory_closes_its_descriptor() -> None:
    before = psutil.Process().num_fds()
    memory = SharedMemory.holding([b"ab"])
    held = psutil.Process().num_fds()
    del memory
    assert (held, psutil.Process().num_fds()) == (before + 1, before)


def test_memory_closes_its_descriptor_once() -> None:
    memory = SharedMemory.holding([b"ab"])
    memory.close()
    memory.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory.descriptor)
