"""GDAL with a file in memory as its only input: no disk, no network, no files beside, no other driver."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import rasterio
from jaxtyping import Shaped
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile
from rasterio.windows import Window

OPTIONS = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_CACHEMAX": 128,  # MiB; a row of tiles should fit
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_JPEG_TO_RGB": "NO",
    "GDAL_NUM_THREADS": 1,
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
}
LOGGERS = ("rasterio._env", "rasterio._err")
HARMLESS = "extraneous bytes"


class CodecError(ValueError):
    """GDAL read the pixels but says that something was wrong with them."""


class _Collector(logging.Handler):
    """Keeps what GDAL warns of, which rasterio only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def opened(encoded: bytes, driver: str, *, prefix: str = "") -> Iterator[DatasetReader]:
    """A file as GDAL sees it, read by that driver alone.

    Args:
        encoded: the file.
        driver: GDAL's name of the format.
        prefix: put before the file's name, which some drivers take orders by.

    Raises:
        RasterioError: by GDAL.
    """
    with _environment(), MemoryFile(encoded) as file, rasterio.open(prefix + file.name, driver=driver) as dataset:
        yield dataset


@contextmanager
def created(target: MemoryFile, **profile: object) -> Iterator[DatasetWriter]:
    """A new file; what it holds is complete when the context ends."""
    with _environment(), target.open(**profile) as dataset:
        yield dataset


@contextmanager
def _environment() -> Iterator[None]:
    with warnings.catch_warnings(), rasterio.Env(**OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def strictly() -> Iterator[None]:
    """What a codec warns of while pixels are read is an error.

    Raises:
        CodecError: if it warned.
    """
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(collector)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(collector)
            logger.propagate = propagate
    wrong = [message for message in collector.messages if HARMLESS not in message]
    if wrong:
        raise CodecError(wrong[0])


def read_rows(dataset: DatasetReader, rows: slice) -> Shaped[np.ndarray, "bands h w"]:
    """All bands of some rows."""
    return dataset.read(window=_window(dataset, rows))


def read_band_rows(dataset: DatasetReader, rows: slice) -> Shaped[np.ndarray, "h w"]:
    """The first band of some rows."""
    return dataset.read(1, window=_window(dataset, rows))


def read_mask_rows(dataset: DatasetReader, rows: slice) -> Shaped[np.ndarray, "h w"]:
    """The mask of some rows, 0 where pixels are invalid."""
    return dataset.read_masks(1, window=_window(dataset, rows))


def write_rows(dataset: DatasetWriter, rows: slice, samples: Shaped[np.ndarray, "h w bands"]) -> None:
    """All bands of some rows."""
    dataset.write(np.moveaxis(samples, 2, 0), window=_window(dataset, rows))


def _window(dataset: DatasetReader | DatasetWriter, rows: slice) -> Window:
    return Window(0, rows.start, dataset.width, rows.stop - rows.start)
