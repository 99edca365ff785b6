"""Rasters as GDAL reads them, window by window."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.env import getenv, hasenv
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from hndsr_client._raster.address import file_behind, is_remote, local_path, opened_as, public
from hndsr_client._raster.bands import named_bands
from hndsr_client._raster.choices import RasterSource
from hndsr_client._raster.depiction import depicted, is_mask
from hndsr_client._raster.nested import all_files
from hndsr_client._stream.windows import Window
from hndsr_client.errors import ArgumentError, LocalFileError, SourceChangedError

# The main thread's options reach the others: what is remote on one is not to hide the siblings of a file on another.
_LOCAL_OPTIONS: dict[str, Any] = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE", "GDAL_CACHEMAX": 256 * 2**20}
_REMOTE_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_CACHEMAX": 256 * 2**20,
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_TIMEOUT": "300",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": str(16 * 2**20),
}
# Whatever the environment says: samples that cannot be read are errors, never zeros.
_TRUTH: dict[str, Any] = {
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    # A whole PNG that is cut off would be made up, where parts of it are an error.
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",
}
# These drivers take what their file lacks for zeros.
_RAW_DRIVERS = {"ENVI", "EHdr", "GenBin", "PAux", "ROI_PAC", "ISCE", "MFF", "LAN", "NDF", "RRASTER"}
_NAMED = 5
"""Rasters of a container that a message names."""


class Dataset(AbstractContextManager["Dataset"]):
    """An open raster, of which windows are read. Threads may share it.

    Attributes:
        raster: What it says of itself.
        name: What it is called before people; the credentials of an address are left out.
        path: The file or folder on this machine, None of other addresses and of parts of containers.
        files: The files and folders on this machine that it is read from.
        block_px: Height and width of what its file stores as one piece.
    """

    def __init__(self, source: RasterSource) -> None:
        """Open it; no pixel is read.

        Raises:
            ArgumentError: It is of a kind that is not read.
            LocalFileError: It cannot be opened.
        """
        name = os.fsdecode(source.path)
        self.name, self.path = public(name), local_path(name)
        self._opened_as = opened_as(name)
        if self.path is not None and self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            raise LocalFileError(path=self.name, problem="is no regular file")  # a pipe would be waited for
        self._named = named_bands(source.bands)
        self._lock = threading.RLock()
        with self._gdal("cannot be opened"):
            self._dataset = self._open()
        try:
            with self._gdal("cannot be opened"):
                self._describe()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. Closing twice is fine."""
        with self._lock, self._environment():
            self._dataset.close()

    def read(self, window: Window, bands: Sequence[int]) -> npt.NDArray[Any]:
        """Samples (height, width, bands) of the raster's type; a band that is named twice is read once.

        Args:
            window: Rows and columns inside the raster.
            bands: Numbers in the file, from 1.

        Raises:
            LocalFileError: They cannot be read.
        """
        distinct = sorted(set(bands))
        with self._gdal(_unreadable(window)):
            planes = self._dataset.read(distinct, window=_gdal_window(window))
        order = [distinct.index(band) for band in bands]
        return np.stack([planes[index] for index in order], axis=-1)

    def read_mask(self, window: Window) -> npt.NDArray[np.bool_] | None:
        """Where its alpha band, or its mask, says that pixels are valid; None where it has neither.

        Raises:
            LocalFileError: It cannot be read.
        """
        if self.raster.alpha is None and self._masked_band is None:
            return None
        with self._gdal(_unreadable(window)):
            if self.raster.alpha is not None:
                values = self._dataset.read(self.raster.alpha, window=_gdal_window(window))
            else:
                values = self._dataset.read_masks(self._masked_band, window=_gdal_window(window))
        return np.asarray(values != 0)

    def check_unchanged(self) -> None:
        """Compare the files that it is read from with what they were when it was opened.

        Raises:
            SourceChangedError: One of them is another.
        """
        if self._state != _state(self.files):
            raise SourceChangedError(path=self.name)

    def _open(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(self._opened_as)

    def _describe(self) -> None:
        dataset = self._dataset
        self.files = _local_files(all_files(dataset.files), self.path)
        self._state = _state(self.files)
        if dataset.count == 0:
            raise _no_bands(self.name, dataset.subdatasets)
        if dataset.driver in {"Zarr", *_RAW_DRIVERS} and is_remote(self._opened_as):
            # What a server does not give is taken for what was never written: zeros, without an error.
            problem = f"is {dataset.driver} on another machine, of which parts may be lost unseen; copy it here first"
            raise ArgumentError(f"{self.name} {problem}")
        self._check_size()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self.raster = depicted(dataset, self.name, named=self._named)
        self.block_px: tuple[int, int] = dataset.block_shapes[0]
        self._masked_band = next((n for n, flags in enumerate(dataset.mask_flag_enums, 1) if is_mask(flags)), None)

    def _check_size(self) -> None:
        """Refuse a cut-off file of a format whose reader would make up what is missing."""
        dataset, path = self._dataset, self.path
        if path is None or not path.is_file() or not _is_raw(dataset.driver, path):
            return
        needed = dataset.height * dataset.width * sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
        if path.stat().st_size < needed:
            problem = f"is cut off: its samples take {needed:,} bytes, it has {path.stat().st_size:,}"
            raise LocalFileError(path=self.name, problem=problem)

    @contextmanager
    def _gdal(self, problem: str) -> Iterator[None]:
        """Call GDAL, one thread at a time, and say what it says."""
        with self._lock, self._environment():
            try:
                yield
            except RasterioError as error:
                cause = _first_line(error)
            except UnicodeDecodeError:
                cause = "it holds, or GDAL says of it, a text that is not in UTF-8"
            else:
                return
            # GDAL's own words may hold the credentials of an address, and so would a traceback.
            raise LocalFileError(path=self.name, problem=f"{problem}: {cause}")

    def _environment(self) -> Any:
        set_before = {*os.environ, *(getenv() if hasenv() else ())}
        wanted = _REMOTE_OPTIONS if is_remote(self._opened_as) else _LOCAL_OPTIONS
        options = {name: value for name, value in wanted.items() if name not in set_before}
        return rasterio.Env(**{**options, **_TRUTH})


def _unreadable(window: Window) -> str:
    rows, columns = window
    return f"cannot be read at rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop}"


def _gdal_window(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = window
    return (rows.start, rows.stop), (columns.start, columns.stop)


def _first_line(error: BaseException) -> str:
    """What GDAL said first: the innermost of its errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return public(lines[0]) if lines else type(error).__name__


def _no_bands(name: str, parts: Sequence[str]) -> ArgumentError:
    if not parts:
        return ArgumentError(f"{name} has no raster bands")
    alone = next((public(part) for part in parts if part.endswith(":/raster")), None)
    if alone is not None:
        return ArgumentError(
            f"{name} is zarr with a mask, which GDAL does not apply; make a GeoTIFF in its place, or name {alone} to"
            " read it without its mask"
        )
    first = ", ".join(public(part) for part in parts[:_NAMED])
    rest = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return ArgumentError(f"{name} holds {len(parts)} rasters; name one of them: {first}{rest}")


def _is_raw(driver: str, path: Path) -> bool:
    if driver in _RAW_DRIVERS:
        return True
    if driver != "netCDF":
        return False
    with path.open("rb") as file:
        return file.read(3) == b"CDF"


def _local_files(names: Sequence[str], path: Path | None) -> tuple[Path, ...]:
    behind = [file_behind(name) for name in names] + [path]
    return tuple(dict.fromkeys(file for file in behind if file is not None))


def _state(files: Sequence[Path]) -> bytes:
    """A digest of the names, sizes, times and inodes of files, and of all files in folders."""
    digest = hashlib.blake2b()
    for file in files:
        digest.update(_said(os.fspath(file)))
        for folder, folders, names in os.walk(file):
            folders.sort()
            for name in sorted(names):
                digest.update(_said(f"{folder}{os.sep}{name}"))
    return digest.digest()


def _said(path: str) -> bytes:
    try:
        state = os.stat(path)  # noqa: PTH116  a folder of zarr may hold many
    except OSError:
        facts: tuple[int, ...] = ()
    else:
        # Reading may leave marks in a folder that are no change of the raster; its files are compared one by one.
        is_folder = stat.S_ISDIR(state.st_mode)
        facts = (state.st_ino,) if is_folder else (state.st_ino, state.st_size, state.st_mtime_ns)
    return os.fsencode(path) + f"\0{facts}\0".encode()
