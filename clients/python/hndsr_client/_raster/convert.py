"""The process that makes a target's final form, told what on its standard input; what went wrong goes out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from hndsr_client._core.files import sync
from hndsr_client._raster.composition import NO_SPACE, Composition
from hndsr_client._raster.formats import format_of, needed_bytes
from hndsr_client._raster.geotiff import write_geotiff
from hndsr_client._raster.postcheck import lost_facts
from hndsr_client.errors import LocalFileError

_FULL_BYTES = 1 << 20


def main(watched: int, part: str) -> None:
    """Do it, and end; at once, without tidying up, when the process that started this one has ended.

    Args:
        watched: A pipe that has ended when that process has.
        part: What to make.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    problem = converted(Composition.of(sys.stdin.read()), Path(part))
    if problem is not None:
        sys.stdout.write(json.dumps({"problem": problem}))
        sys.stdout.flush()
    os._exit(problem is not None)


def _end_with(watched: int) -> None:
    while os.read(watched, 1):
        pass
    os._exit(2)


def converted(composition: Composition, part: Path) -> str | None:
    """Make it, have it on the disk, and say nothing; or say why not."""
    try:
        if format_of(composition.target) == "zarr":
            from hndsr_client._raster.zarr_store import write_zarr  # noqa: PLC0415  takes its time, and only here

            write_zarr(composition, part)
            return None
        return _geotiff(composition, part)
    except LocalFileError as error:
        return NO_SPACE if _is_full(part, str(error)) else str(error).split(": ", 1)[-1]
    # rasterio's SystemError is a failure of which GDAL did not say a word.
    except (RasterioError, CPLE_BaseError, OSError, ValueError, SystemError) as error:
        words = _words(error)
        return NO_SPACE if _is_full(part, words) else words


def _geotiff(composition: Composition, part: Path) -> str | None:
    raster, target = composition.raster, composition.target
    write_geotiff(
        raster,
        target,
        str(part),
        bands=composition.bands,
        mask=composition.mask,
        is_cog=format_of(target) == "cog",
        size_bytes=needed_bytes(raster, target),
    )
    sync(part)
    if lost := lost_facts(str(part), raster):
        return f"GeoTIFF cannot keep {lost[0]}; format zarr can"
    return None


def _words(error: BaseException) -> str:
    """What GDAL said first: the cause of what it said last."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, SystemError):
        return "GDAL cannot write it"
    return " ".join(str(error).split()) or type(error).__name__


def _is_full(part: Path, words: str) -> bool:
    if NO_SPACE in words.lower():
        return True
    with contextlib.suppress(OSError):
        system = os.statvfs(part.parent)
        return system.f_bavail * system.f_frsize < _FULL_BYTES
    return False
