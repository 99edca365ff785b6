"""Samples read back from work files, a window at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._raster.vrt import WorkBand
from hndsr_client._stream.windows import Window


def read_bands(bands: Sequence[WorkBand], dtype: str, window: Window) -> npt.NDArray[Any]:
    """(bands, height, width) of a window; what lies together in a file is read once.

    Raises:
        OSError: They cannot be read.
        ValueError: A file ends before them.
    """
    rows, columns = window
    sample = np.dtype(dtype).newbyteorder("<")
    target = np.empty((len(bands), rows.stop - rows.start, columns.stop - columns.start), sample)
    for places in _together(bands):
        begin = min(bands[index].offset_bytes for index in places)
        end = max(bands[index].offset_bytes for index in places) + sample.itemsize
        one = bands[places[0]]
        length = (target.shape[2] - 1) * one.pixel_bytes + end - begin
        content = _rows(one, begin + columns.start * one.pixel_bytes, rows, length)
        for index in places:
            target[index] = np.ndarray(
                target.shape[1:],
                sample,
                content,
                offset=bands[index].offset_bytes - begin,
                strides=(length, one.pixel_bytes),
            )
    return target


def _together(bands: Sequence[WorkBand]) -> list[list[int]]:
    """The bands whose samples of a pixel lie side by side."""
    files: dict[tuple[object, ...], list[int]] = {}
    for index, band in enumerate(bands):
        is_packed = [one for one in bands if one.path == band.path and one.row_bytes == band.row_bytes]
        first = min(one.offset_bytes for one in is_packed)
        key = (band.path, band.row_bytes, band.pixel_bytes, (band.offset_bytes - first) // band.pixel_bytes)
        files.setdefault(key, []).append(index)
    return list(files.values())


def _rows(band: WorkBand, begin: int, rows: slice, length: int) -> bytearray:
    content = bytearray((rows.stop - rows.start) * length)
    view = memoryview(content)
    descriptor = os.open(band.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for index, y in enumerate(range(rows.start, rows.stop)):
            row = os.pread(descriptor, length, begin + y * band.row_bytes)
            if len(row) != length:
                raise ValueError(f"{band.path} ends before its last sample")
            view[index * length : (index + 1) * length] = row
    finally:
        os.close(descriptor)
    return content
