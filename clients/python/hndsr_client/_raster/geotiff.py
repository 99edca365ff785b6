"""GeoTIFF, cloud-optimized or not, made by GDAL out of work files.

What GDAL 3.8 to 3.10 keeps of a raster when it copies it is all that is described, but for this:

- ids and remarks of ground control points, for which GeoTIFF has no place;
- a georeference by points beside one by a transform: the transform alone stays;
- either metadata of other domains than the default one or the tags of bands, for it copies the former only when asked
  to (COPY_SRC_MDD), and then forgets the latter. Where there are both, bands' tags are written in a domain of their
  own, whose name is then taken out of the file in place.
"""

from __future__ import annotations

import io
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from hndsr_client._raster.choices import DEFAULT_LEVELS, RasterTarget
from hndsr_client._raster.description import Raster
from hndsr_client._raster.tiff_tags import clear_band_domain
from hndsr_client._raster.vrt import WorkBand, all_bands, vrt_text

_BAND_DOMAIN = "HNDSR_BAND"
_PREDICTED = {"deflate", "zstd", "lzw"}
_QUALITY = 90
_MAX_THREADS = 8
# Files of TIFF's classic form end at 4 GiB; some room is left for what is estimated.
_CLASSIC_BYTES = 4_000_000_000
_CACHE_BYTES = 64 << 20
OPTIONS = {
    # Of whole numbers rasterio makes bytes, other than GDAL itself.
    "GDAL_CACHEMAX": _CACHE_BYTES,
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "YES",
    # Later releases of GDAL allow files beside the virtual one alone, and this one has no file.
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL",
}


def write_geotiff(
    raster: Raster,
    target: RasterTarget,
    path: str,
    *,
    bands: tuple[WorkBand, ...],
    mask: WorkBand | None,
    is_cog: bool,
    size_bytes: int,
) -> None:
    """Make the file.

    Args:
        raster: What it says of itself.
        target: How it is to be.
        path: Its name.
        bands: Where its samples lie, of alpha too.
        mask: Where its mask lies.
        is_cog: Whether it is to be cloud-optimized.
        size_bytes: About what it will become.

    Raises:
        rasterio.errors.RasterioError: GDAL says no.
        OSError: What it takes for written is not.
    """
    _copy(raster, target, path, bands=bands, mask=mask, is_cog=is_cog, size_bytes=size_bytes)
    if _is_marked(raster):
        with Path(path).open("r+b") as file:
            clear_band_domain(file, _BAND_DOMAIN)


@contextmanager
def rehearsed(raster: Raster, target: RasterTarget, *, is_cog: bool) -> Iterator[str]:
    """The name of such a file of zeros in GDAL's memory.

    Raises:
        rasterio.errors.RasterioError: GDAL says no.
    """
    nowhere = (None,) * len(all_bands(raster))
    with MemoryFile(ext=".tif") as memory:
        _copy(raster, target, memory.name, bands=nowhere, mask=None, is_cog=is_cog, size_bytes=0)
        content = io.BytesIO(memory.getbuffer())
    if _is_marked(raster):
        clear_band_domain(content, _BAND_DOMAIN)
    with MemoryFile(content.getvalue(), ext=".tif") as memory:
        yield memory.name


def _copy(
    raster: Raster,
    target: RasterTarget,
    path: str,
    *,
    bands: tuple[WorkBand | None, ...],
    mask: WorkBand | None,
    is_cog: bool,
    size_bytes: int,
) -> None:
    text = vrt_text(raster, bands, mask, band_domain=_BAND_DOMAIN if _is_marked(raster) else "")
    options = _cog_options(target) if is_cog else _gtiff_options(raster, target)
    options |= {
        "COMPRESS": target.compress.upper(),
        "NUM_THREADS": str(threads()),
        "BIGTIFF": "YES" if size_bytes > _CLASSIC_BYTES else "IF_SAFER",
        "SPARSE_OK": "NO",
        "COPY_SRC_MDD": "YES" if raster.domains else "AUTO",
    }
    with rasterio.Env(**OPTIONS), failures_raised():
        rasterio.shutil.copy(text, path, driver="COG" if is_cog else "GTiff", strict=False, **options)
        if target.overviews and not is_cog:
            _add_overviews(raster, target, path)


def _is_marked(raster: Raster) -> bool:
    """Whether tags of bands are written in a domain of their own."""
    return bool(raster.domains) and any(band.tags for band in raster.bands)


@contextmanager
def opened(path: str, mode: str = "r") -> Iterator[Any]:
    """A dataset, without a warning where it is nowhere.

    Raises:
        rasterio.errors.RasterioError: It cannot be opened.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path, mode)
    with dataset:
        yield dataset


def threads() -> int:
    """How many may compress."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MAX_THREADS)


def levels(size_px: tuple[int, int], block_px: int) -> list[int]:
    """By what each overview is smaller; the last fits in one block."""
    count = max(0, math.ceil(math.log2(max(size_px) / block_px)))
    return [2**number for number in range(1, count + 1)]


def _cog_options(target: RasterTarget) -> dict[str, str]:
    options = {
        "BLOCKSIZE": str(target.block_px),
        "OVERVIEWS": "IGNORE_EXISTING" if target.overviews else "NONE",
        "OVERVIEW_RESAMPLING": target.resampling.upper(),
    }
    if target.compress in _PREDICTED:
        options["PREDICTOR"] = "YES"
    if target.compress in DEFAULT_LEVELS:
        options["LEVEL"] = str(target.level or DEFAULT_LEVELS[target.compress])
    if target.compress in {"jpeg", "webp"}:
        options["QUALITY"] = options["OVERVIEW_QUALITY"] = str(target.quality or _QUALITY)
    return options


def _gtiff_options(raster: Raster, target: RasterTarget) -> dict[str, str]:
    side = str(target.block_px)
    options = {"TILED": "YES", "BLOCKXSIZE": side, "BLOCKYSIZE": side, "INTERLEAVE": "PIXEL"}
    if target.compress in _PREDICTED:
        options["PREDICTOR"] = "3" if raster.dtype.startswith("float") else "2"
    if target.compress in DEFAULT_LEVELS:
        name = "ZLEVEL" if target.compress == "deflate" else "ZSTD_LEVEL"
        options[name] = str(target.level or DEFAULT_LEVELS[target.compress])
    if target.compress == "jpeg":
        options["JPEG_QUALITY"] = str(target.quality or _QUALITY)
        if [band.color for band in raster.bands] == ["red", "green", "blue"]:
            options["PHOTOMETRIC"] = "YCBCR"
    if target.compress == "webp":
        options["WEBP_LEVEL"] = str(target.quality or _QUALITY)
    return options


def _add_overviews(raster: Raster, target: RasterTarget, path: str) -> None:
    factors = levels(raster.size_px, target.block_px)
    if not factors:
        return
    quality = str(target.quality or _QUALITY)
    options: dict[str, Any] = {
        "GDAL_TIFF_OVR_BLOCKSIZE": str(target.block_px),
        "GDAL_NUM_THREADS": str(threads()),
        "JPEG_QUALITY_OVERVIEW": quality,
        "WEBP_LEVEL_OVERVIEW": quality,
    }
    with rasterio.Env(**options), opened(path, "r+") as dataset:
        dataset.build_overviews(factors, Resampling[_RESAMPLING.get(target.resampling, target.resampling)])


_RESAMPLING = {"cubicspline": "cubic_spline"}


class _Failures(logging.Filter):
    """Keeps, of the threads that ask for it, what rasterio's log says; others find the log as it was."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log, self._lock = log, threading.Lock()
        self._kept: dict[int | None, list[str]] = {}
        self._level_before = self._least = logging.NOTSET

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread in self._kept:
            self._kept[record.thread].append(record.getMessage())
        return record.levelno >= self._least

    @contextmanager
    def kept(self) -> Iterator[list[str]]:
        messages: list[str] = []
        with self._lock:
            if not self._kept:
                self._level_before, self._least = self._log.level, self._log.getEffectiveLevel()
                self._log.addFilter(self)
                self._log.setLevel(min(logging.INFO, self._least))
            self._kept[threading.get_ident()] = messages
        try:
            yield messages
        finally:
            with self._lock:
                del self._kept[threading.get_ident()]
                if not self._kept:
                    self._log.setLevel(self._level_before)
                    self._log.removeFilter(self)


_failures = _Failures(logging.getLogger("rasterio._env"))


@contextmanager
def failures_raised() -> Iterator[None]:
    """Raise what went wrong on this thread when GDAL closed a file, of which rasterio leaves a note in its log alone.

    Raises:
        OSError: A file was not written.
    """
    with _failures.kept() as messages:
        yield
    for message in messages:
        if "signalled an error" in message and any(word in message.lower() for word in ("write", "writing", "flush")):
            raise OSError(message.split("msg=", 1)[-1].strip("'\""))
