"""Files of as many bytes as they will ever have, written at fixed places."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hndsr_client._stream.journal import local, sync_data
from hndsr_client._stream.windows import Window
from hndsr_client.errors import LocalFileError

_NO_ALLOCATION = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


@dataclass(frozen=True)
class Layout:
    """How pixels lie in a file: row by row, behind a header."""

    size_px: tuple[int, int]
    pixel_bytes: int
    header: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return len(self.header) + self.size_px[0] * self.size_px[1] * self.pixel_bytes


class Plane:
    """An open file of one layout. No page of it stays in the process.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        """Open it, or make it where it is missing or of another layout.

        Raises:
            LocalFileError: It cannot be opened, or there is no room for it: how much it takes is said.
        """
        self.path, self._layout = path, layout
        with local(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with local(path):
                self._prepare()
        except BaseException:
            self.close()
            raise

    def write(self, window: Window, pixels: npt.NDArray[np.generic]) -> None:
        """Put a window in its place; its pixels are contiguous.

        Raises:
            LocalFileError: It cannot be written.
        """
        with local(self.path):
            for offset, row in zip(self._offsets(window), pixels, strict=True):
                view, start = memoryview(row.tobytes()), 0
                while start < len(view):
                    start += os.pwrite(self._descriptor, view[start:], offset + start)

    def read(self, window: Window) -> bytes:
        """The bytes of a window, row by row; fewer where the file ends.

        Raises:
            LocalFileError: They cannot be read.
        """
        length = (window[1].stop - window[1].start) * self._layout.pixel_bytes
        with local(self.path):
            return b"".join(os.pread(self._descriptor, length, offset) for offset in self._offsets(window))

    def checksum(self, window: Window, before: int = 0) -> int:
        """CRC-32 of a window, continued from another; a row is held at a time.

        Raises:
            LocalFileError: It cannot be read.
        """
        length = (window[1].stop - window[1].start) * self._layout.pixel_bytes
        with local(self.path):
            for offset in self._offsets(window):
                before = zlib.crc32(os.pread(self._descriptor, length, offset), before)
        return before

    def sync(self) -> None:
        """Have all that was written on the disk.

        Raises:
            LocalFileError: It cannot be written.
        """
        with local(self.path):
            sync_data(self._descriptor)

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Close the file, and delete it if it still has its name."""
        self.close()
        with local(self.path):
            self.path.unlink(missing_ok=True)

    def _offsets(self, window: Window) -> list[int]:
        rows, columns = window
        layout = self._layout
        return [
            len(layout.header) + (y * layout.size_px[1] + columns.start) * layout.pixel_bytes
            for y in range(rows.start, rows.stop)
        ]

    def _prepare(self) -> None:
        layout, state = self._layout, os.fstat(self._descriptor)
        if state.st_size == layout.size_bytes and os.pread(self._descriptor, len(layout.header), 0) == layout.header:
            return
        os.ftruncate(self._descriptor, 0)
        self._check_room()
        try:
            self._allocate()
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise
            raise self._no_room(str(error.strerror).lower()) from error
        os.pwrite(self._descriptor, layout.header, 0)
        os.fsync(self._descriptor)

    def _check_room(self) -> None:
        system = os.fstatvfs(self._descriptor)
        free_bytes = system.f_bavail * system.f_frsize
        if free_bytes < self._layout.size_bytes:
            raise self._no_room(f"{free_bytes:,} are free")

    def _allocate(self) -> None:
        allocate = getattr(os, "posix_fallocate", None)
        if allocate is not None:
            try:
                allocate(self._descriptor, 0, self._layout.size_bytes)
            except OSError as error:
                if error.errno not in _NO_ALLOCATION:
                    raise
            else:
                return
        os.ftruncate(self._descriptor, self._layout.size_bytes)

    def _no_room(self, why: str) -> LocalFileError:
        with contextlib.suppress(OSError):
            self.path.unlink()
        return LocalFileError(path=self.path, problem=f"takes {self._layout.size_bytes:,} bytes, {why}")
