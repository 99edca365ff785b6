"""Arrays in .npy files, read and written in windows: no page of them stays in the process.

Source: NumPy enhancement proposal 1, the .npy format.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._core.files import problem
from hndsr_client.errors import ArgumentError, LocalFileError

SUFFIX = ".npy"
# NumPy gives these functions no types.
_FORMAT: Any = np.lib.format
_READERS: dict[tuple[int, int], Any] = {
    (1, 0): _FORMAT.read_array_header_1_0,
    (2, 0): _FORMAT.read_array_header_2_0,
}


class NpyReader:
    """The array of a file, without its pixels. Threads may share it.

    Attributes:
        shape: That of the array.
        dtype: That of its samples.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read what the file says of itself.

        Raises:
            ArgumentError: It is no .npy file, or its samples do not lie row by row.
            LocalFileError: It cannot be read, or ends before its last pixel.
        """
        self._path = path
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
            raise LocalFileError(path=path, problem="is no regular file")
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115, PTH123  closed by close()
        except (OSError, ValueError) as error:
            raise LocalFileError(path=path, problem=problem(error)) from error
        try:
            self.shape, self.dtype, self._start = self._header()
            self._check_length()
        except BaseException:
            self._file.close()
            raise
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._pixel_bytes = math.prod(self.shape[2:]) * self.dtype.itemsize

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_length(self) -> None:
        size_bytes = os.fstat(self._file.fileno()).st_size
        if size_bytes < self._start + math.prod(self.shape) * self.dtype.itemsize:
            raise LocalFileError(path=self._path, problem="ends before its last pixel")

    def __getitem__(self, window: tuple[slice, slice]) -> npt.NDArray[Any]:
        """Some rows of some columns.

        Raises:
            LocalFileError: They cannot be read, or the file ends before them.
        """
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        target = bytearray(height * width * self._pixel_bytes)
        length = width * self._pixel_bytes
        for y in range(height):
            offset = self._start + (rows.start + y) * self._row_bytes + columns.start * self._pixel_bytes
            target[y * length : (y + 1) * length] = self._read(length, offset)
        return np.frombuffer(target, self.dtype).reshape(height, width, *self.shape[2:])

    def _read(self, length: int, offset: int) -> bytes:
        try:
            row = os.pread(self._file.fileno(), length, offset)
        except OSError as error:
            raise LocalFileError(path=self._path, problem=problem(error)) from error
        if len(row) != length:
            raise LocalFileError(path=self._path, problem="ends before its last pixel")
        return row

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any], int]:
        try:
            version = _FORMAT.read_magic(self._file)
            shape, fortran, dtype = _READERS[version](self._file)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ArgumentError(f"{os.fspath(self._path)}: accepted are .npy files of arrays") from error
        if fortran or dtype.hasobject or len(shape) < 2:
            raise ArgumentError(f"{os.fspath(self._path)}: accepted is an image whose samples lie row by row")
        return shape, dtype, self._file.tell()


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """What a .npy file begins with; the samples follow, row by row."""
    target = io.BytesIO()
    descr = _FORMAT.dtype_to_descr(dtype)
    _FORMAT.write_array_header_1_0(target, {"descr": descr, "fortran_order": False, "shape": shape})
    return target.getvalue()
