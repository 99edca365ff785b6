"""Whether a raster is what was made, sample by sample, or how far the job is that makes it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from hndsr_client._geo import geo
from hndsr_client._raster.geotiff import OPTIONS, opened
from hndsr_client._raster.record import RECORD_TAG, Record, TripleRecord
from hndsr_client._raster.results import Verification
from hndsr_client._raster.unfinished import verify_job
from hndsr_client._stream.job import job_files
from hndsr_client._stream.journal import local, published_invalid_px
from hndsr_client._stream.windows import Window
from hndsr_client.errors import LocalFileError

# So many bytes are held at once, unless a row of a tile is longer.
_STRIP_BYTES = 16 << 20
_BLOCK_ROWS = 512


class Target(Protocol):
    """A raster that is read back."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def count(self) -> int:
        """Of its bands, alpha too."""
        ...

    def read(self, bands: tuple[int, ...], window: Window) -> npt.NDArray[Any]:
        """Some bands, from 1, of a window: (height, width, bands), little-endian, contiguous."""
        ...

    def read_mask(self, window: Window) -> npt.NDArray[np.uint8]:
        """255 where a pixel of a window is valid, else 0: (height, width), contiguous."""
        ...


def verify(path: str | os.PathLike[str], *, on_progress: Callable[[int], object]) -> Verification:
    """Compare a target with what its record says of its tiles; or the work files of a job, with its journal.

    A lossy target's samples are read, but cannot be compared; its mask can.

    Args:
        path: The target, or where it will appear, or the path of a job that lies elsewhere.
        on_progress: Is told how many target pixels were read.

    Raises:
        GeoNotInstalledError: It is of zarr, and what reads that is not installed.
        LocalFileError: There is no such raster, it cannot be opened, or it has no record of how it was made.
        JobInUseError: Its job is at work.
    """
    with local(path):
        real = Path(os.path.realpath(path))
        journal = job_files(real)["journal"]
        is_unfinished = journal.exists() and not (real.exists() and published_invalid_px(journal, real) is not None)
    if is_unfinished:
        return verify_job(real, on_progress=on_progress)
    with _opened(real) as (target, text):
        record = _record(real, text)
        _check_size(real, target, record)
        bad = list(_bad_tiles(target, record, on_progress))
    return Verification(
        real, record.tiles * len(record.triples), tuple(bad), 0, unfinished=False, lossy=not record.lossless
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Target, object]]:
    """A target, and the text of its record."""
    if path.is_dir():
        zarr_store = geo("zarr_store")  # takes its time, and only here
        try:
            store = zarr_store.ZarrRaster(path)
        except (OSError, ValueError, KeyError) as error:
            raise LocalFileError(path=path, problem="is a folder, and not of a raster in zarr") from error
        yield store, store.tags.get(RECORD_TAG)
        return
    with local(path), path.open("rb"):
        pass
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(**OPTIONS))
        try:
            dataset = stack.enter_context(opened(str(path)))
        except RasterioError as error:
            raise LocalFileError(path=path, problem=str(error)) from error
        yield _Geotiff(dataset), dataset.tags().get(RECORD_TAG)


class _Geotiff:
    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.size_px: tuple[int, int] = dataset.height, dataset.width
        self.count: int = dataset.count

    def read(self, bands: tuple[int, ...], window: Window) -> npt.NDArray[Any]:
        samples = self._dataset.read(bands, window=RasterioWindow.from_slices(*window))
        return np.ascontiguousarray(np.moveaxis(samples, 0, -1), samples.dtype.newbyteorder("<"))

    def read_mask(self, window: Window) -> npt.NDArray[np.uint8]:
        mask = self._dataset.read_masks(1, window=RasterioWindow.from_slices(*window))
        return np.ascontiguousarray(mask, np.uint8)


def _record(path: Path, text: object) -> Record:
    if not isinstance(text, str):
        raise LocalFileError(path=path, problem="has no record of its making; hndsr upscale writes one")
    try:
        return Record.of(text)
    except ValueError as error:
        raise LocalFileError(path=path, problem=str(error)) from error


def _check_size(path: Path, target: Target, record: Record) -> None:
    size_px = record.rows_px[-1], record.columns_px[-1]
    count = sum(len(triple.bands) for triple in record.triples)
    if target.size_px != size_px or target.count not in {count, count + 1}:
        found = f"{target.size_px[0]} x {target.size_px[1]} px of {target.count} bands"
        made = f"{size_px[0]} x {size_px[1]} px of {count}"
        raise LocalFileError(path=path, problem=f"is of {found}, made were {made}; it was changed")


def _bad_tiles(target: Target, record: Record, on_progress: Callable[[int], object]) -> Iterator[tuple[int, int]]:
    """Tiles that cannot be read, or are not what they were in any of the triples or in the mask."""
    columns_count, done_px = len(record.columns_px) - 1, 0
    triples = _with_alpha(target, record)
    for number in range(record.tiles):
        row, column = divmod(number, columns_count)
        window = slice(*record.rows_px[row : row + 2]), slice(*record.columns_px[column : column + 2])
        samples = [(_checksum(partial(target.read, one.bands), window, len(one.bands)), one) for one in triples]
        is_bad = any(sums is None or (record.lossless and sums != one.checksums[number]) for sums, one in samples)
        if is_bad or (record.masks and _checksum(target.read_mask, window, 1) != record.masks[number]):
            yield row, column
        done_px += (window[0].stop - window[0].start) * (window[1].stop - window[1].start)
        on_progress(done_px)


def _with_alpha(target: Target, record: Record) -> list[TripleRecord]:
    """The triples with the alpha band, if there is one, as the last band of the first."""
    first, *others = record.triples
    if target.count == sum(len(triple.bands) for triple in record.triples):
        return [first, *others]
    return [TripleRecord((*first.bands, target.count), first.digest, first.checksums), *others]


def _checksum(read: Callable[[Window], npt.NDArray[Any]], window: Window, bands: int) -> int | None:
    """CRC-32 of a tile as it is now, None if it cannot be read."""
    checksum = 0
    try:
        for strip in _strips(window, bands):
            checksum = zlib.crc32(read(strip).data, checksum)
    except (RasterioError, CPLE_BaseError, OSError, ValueError, RuntimeError):
        return None
    return checksum


def _strips(window: Window, bands: int) -> Iterator[Window]:
    """A tile in whole rows of blocks, as far as these are not too much at once."""
    rows, columns = window
    row_bytes = (columns.stop - columns.start) * bands * 8
    step_px = max(1, min(_BLOCK_ROWS, _STRIP_BYTES // row_bytes))
    for y in range(rows.start, rows.stop, step_px):
        yield slice(y, min(y + step_px, rows.stop)), columns
