"""Rasters as the client opens and reads them: files with broken headers are read, or refused by its own errors."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import rasterio
import rasters
from corpus.cases import CASES
from finding import FindingError
from limits import limited

from hndsr_client._raster.choices import RasterSource, RasterTarget
from hndsr_client._raster.formats import check_target
from hndsr_client._raster.reading import Reading
from hndsr_client.errors import HndsrError

MAX_BYTES = 16_384
SMALL_PX = 2**20
"""Rasters of more are opened, and not measured."""
CORNER_PX = 256
"""What is read of a side."""
LONGEST_S, MANY_BANDS = 5.0, 5000
"""Of processor time, for each so many bands."""
MEMORY_BYTES = 2**30
TOKENS = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"<VRTDataset", b"<VRTRasterBand", b"<SourceFilename", b"<SrcRect", b"dataType"),
    *(b"<GDALMetadata>", b"<Item name=", b"EPSG", b"GCS", b"WGS 84", b"nan", b"inf", b"1e308", b"-1", b"other.tif"),
)
OFFLINE = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}", "GDAL_HTTP_CONNECTTIMEOUT": "1", "GDAL_PAM_ENABLED": "NO"}
"""A changed name is to lead nowhere else."""
KINDS = (
    *(rasters.rgb, rasters.rotated, rasters.nodata_islands, rasters.uint16, rasters.int16, rasters.float32_nan),
    *(rasters.naip, rasters.planar, rasters.one_row, rasters.alpha, rasters.internal_mask, rasters.custom_crs),
    *(rasters.ground_points, rasters.rational_polynomial, rasters.plain, rasters.palette, rasters.geolocated),
)


def seeds() -> list[bytes]:
    """Small rasters of every kind that is one file, a virtual one among them, and TIFF files of the tests' corpus."""
    files = [case.content for case in CASES.values() if case.name.startswith(("gdal/", "tiff/"))]
    with tempfile.TemporaryDirectory() as folder:
        made = list(_made(Path(folder)))
    return [content for content in [*files, *made] if len(content) <= MAX_BYTES]


def _made(folder: Path) -> Iterator[bytes]:
    for number, kind in enumerate(KINDS):
        (folder / f"{number}").mkdir()
        yield _copied(kind(folder / f"{number}"), folder / f"{number}.tif", driver="GTiff", COMPRESS="DEFLATE")
    other = _other(folder)
    for driver in ("VRT", "PNG"):
        yield _copied(other, folder / f"copy.{driver}", driver=driver)


def _copied(source: Path, path: Path, **options: str) -> bytes:
    return rasters.copy(source, path, **options).read_bytes()


def _other(folder: Path) -> Path:
    """A sound raster, which the virtual one is made of."""
    return rasters.write(folder / "other.tif", rasters.pattern(3, (12, 10)), colors=rasters.RGB)


@functools.cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="hndsr-fuzz-")
    _FOLDERS.append(folder)
    return _other(Path(folder.name)).parent


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Those that go with this process."""


def check(content: bytes) -> None:
    """Open a file as a raster, measure it and read of it, as a job does before anything is sent.

    Raises:
        FindingError: if it takes too long, or too much memory.
    """
    path = _folder() / "source.tif"
    path.write_bytes(content)
    start_s = time.process_time()
    bands = 0
    with contextlib.suppress(HndsrError), limited(MEMORY_BYTES), rasterio.Env(**OFFLINE):
        try:
            bands = _read(path)
        except MemoryError as error:
            raise FindingError("it took too much memory") from error
    took_s = time.process_time() - start_s
    if took_s > LONGEST_S * max(1, bands / MANY_BANDS):
        raise FindingError(f"it took {took_s:.1f} s")


def _read(path: Path) -> int:
    """Read it as a job does; how many bands it has."""
    with Reading(RasterSource(path, bands="all")) as reading:
        check_target(reading.target(scale=Fraction(4), size_px=(1, 1), tags={}), RasterTarget("target.tif"))
        height, width = reading.size_px
        source = reading.sample_source()
        if height * width <= SMALL_PX:
            reading.settle(reading.measure(_tell))
            source = reading.source(0)
        corner = slice(0, min(height, CORNER_PX)), slice(0, min(width, CORNER_PX))
        source.native(corner)
        if height * width <= SMALL_PX:
            source.valid(corner)
        return len(reading.raster.bands)


def _tell(done: int, total: int) -> None:
    """Nobody of progress."""
