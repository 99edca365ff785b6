"""What pixels are read from and written to, window by window."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hndsr_client._core.pixels import BANDS
from hndsr_client._stream.npy import NpyReader
from hndsr_client.errors import ArgumentError

Window = tuple[slice, slice]
# The contract's samples are little-endian on every machine.
WIRE_DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}
_SAMPLE_TYPES = {("u", 1): "uint8", ("u", 2): "uint16"}


class WindowedSource(Protocol):
    """What is read window by window: an array of NumPy, zarr or h5py, a memory map, or an object of one's own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3), or (height, width) of a mask."""
        ...

    @property
    def dtype(self) -> Any:
        """uint8 or uint16 of any byte order, or bool of a mask."""

    def __getitem__(self, window: Any, /) -> Any:
        """What `source[y0:y1, x0:x1]` gives: an array, or what NumPy makes one of. Another thread may ask for it."""


class WindowedSink(Protocol):
    """What is written window by window: an array of NumPy, zarr or h5py, a memory map, or an object of one's own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3) of the target, or (height, width) of its mask."""
        ...

    @property
    def dtype(self) -> Any:
        """That of the source, in any byte order, or bool of a mask."""

    def __setitem__(self, window: Any, pixels: Any, /) -> None:
        """What `sink[y0:y1, x0:x1] = pixels` does."""


AnySource = WindowedSource | str | os.PathLike[str]
"""An object, or the path of a .npy file."""


@dataclass(frozen=True, eq=False)
class SourceTile:
    """What a tile is made from."""

    pixels: npt.NDArray[Any]
    """Of the wire's type, contiguous."""
    mask: npt.NDArray[np.bool_] | None

    @property
    def checksum(self) -> int:
        """By which a job knows it again."""
        bits = b"" if self.mask is None else np.packbits(self.mask).tobytes()
        return zlib.crc32(bits, zlib.crc32(self.pixels.data))


class Source:
    """A source and its mask, as they are asked for.

    Attributes:
        size_px: Height and width.
        sample_type: "uint8" or "uint16".
        masked: Whether there is a mask.
    """

    def __init__(self, source: AnySource, mask: AnySource | None = None) -> None:
        """Look at their shapes and types; no pixel is read.

        Raises:
            ArgumentError: They are of another kind, type or shape.
            LocalFileError: A file cannot be read.
        """
        self._files: list[NpyReader] = []
        try:
            self._pixels, self._mask = self._opened(source), None if mask is None else self._opened(mask)
            self.size_px = _image_size_px(self._pixels)
            self.sample_type = sample_type_of("source", self._pixels)
            self.masked = self._mask is not None
            if self._mask is not None:
                check_mask("mask", self._mask, self.size_px)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files that were opened."""
        for file in self._files:
            file.close()

    def read(self, window: Window) -> SourceTile:
        """What is there of one window.

        Raises:
            ArgumentError: The source gives something else than it said.
            LocalFileError: A file cannot be read.
        """
        size = tuple(side.stop - side.start for side in window)
        pixels = np.asarray(self._pixels[window])
        if pixels.shape != (*size, BANDS) or sample_type_of("source", pixels) != self.sample_type:
            raise _unexpected("source", window, pixels, wanted=f"{self.sample_type} of shape {(*size, BANDS)}")
        pixels = np.ascontiguousarray(pixels, dtype=WIRE_DTYPES[self.sample_type])
        if self._mask is None:
            return SourceTile(pixels, None)
        mask = np.asarray(self._mask[window])
        if mask.shape != size or mask.dtype != np.bool_:
            raise _unexpected("mask", window, mask, wanted=f"bool of shape {size}")
        return SourceTile(pixels, np.ascontiguousarray(mask))

    def _opened(self, source: AnySource) -> Any:
        if isinstance(source, np.ma.MaskedArray):
            raise ArgumentError(
                "the source is a masked array; pass source.filled(0) and a (height, width) mask, True = valid"
            )
        if not isinstance(source, (str, os.PathLike)):
            return source
        self._files.append(NpyReader(source))
        return self._files[-1]


def sample_type_of(name: str, array: WindowedSource | WindowedSink) -> str:
    """The contract's name of a type.

    Raises:
        ArgumentError: It is another than uint8 and uint16.
    """
    dtype = _dtype(name, array)
    sample_type = _SAMPLE_TYPES.get((dtype.kind, dtype.itemsize))
    if sample_type is None:
        raise ArgumentError(f"the {name}'s dtype is {dtype}, accepted are uint8 and uint16")
    return sample_type


def check_mask(name: str, mask: WindowedSource | WindowedSink, size_px: tuple[int, int]) -> None:
    """Refuse a mask of another image.

    Raises:
        ArgumentError: Its type is not bool, or its shape another.
    """
    shape, dtype = _shape(name, mask), _dtype(name, mask)
    if shape != size_px or dtype != np.bool_:
        raise ArgumentError(f"the {name} is {dtype} of shape {shape}, accepted is bool of shape {size_px}")


def check_sink(sink: WindowedSink, size_px: tuple[int, int], sample_type: str) -> None:
    """Refuse a sink that does not take the target as it will be.

    Raises:
        ArgumentError: Its type or shape is another.
    """
    shape, dtype = _shape("sink", sink), _dtype("sink", sink)
    wanted = (*size_px, BANDS)
    if shape != wanted or _SAMPLE_TYPES.get((dtype.kind, dtype.itemsize)) != sample_type:
        raise ArgumentError(f"the sink is {dtype} of shape {shape}, the target is {sample_type} of shape {wanted}")


def _image_size_px(source: WindowedSource) -> tuple[int, int]:
    shape = _shape("source", source)
    if len(shape) != 3 or shape[2] != BANDS or min(shape) < 1:
        raise ArgumentError(f"the source's shape is {shape}, accepted is (height, width, {BANDS})")
    return shape[0], shape[1]


def _shape(name: str, array: Any) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in array.shape)
    except (AttributeError, TypeError, ValueError) as error:
        raise _no_array(name, array) from error


def _dtype(name: str, array: Any) -> np.dtype[Any]:
    try:
        return np.dtype(array.dtype)
    except (AttributeError, TypeError) as error:
        raise _no_array(name, array) from error


def _no_array(name: str, given: object) -> ArgumentError:
    return ArgumentError(f"the {name} is {type(given).__name__}, accepted is what has a shape and a dtype")


def _unexpected(name: str, window: Window, got: npt.NDArray[Any], *, wanted: str) -> ArgumentError:
    where = ", ".join(f"{side.start}:{side.stop}" for side in window)
    return ArgumentError(f"the {name} gave {got.dtype} of shape {got.shape} for [{where}], accepted is {wanted}")
