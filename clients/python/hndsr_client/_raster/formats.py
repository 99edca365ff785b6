"""What a raster's formats can keep, and the room that making them takes."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from hndsr_client._geo import geo
from hndsr_client._raster.choices import RasterFormat, RasterTarget
from hndsr_client._raster.description import Raster
from hndsr_client._raster.geotiff import levels, rehearsed
from hndsr_client._raster.postcheck import lost_facts
from hndsr_client._raster.vrt import all_bands
from hndsr_client.errors import ArgumentError

EXTENSIONS: dict[str, RasterFormat] = {".tif": "cog", ".tiff": "cog", ".zarr": "zarr"}
_LOSSY = {"jpeg", "webp"}
_LEVELS = {"deflate": 12, "zstd": 22}
_ZARR_COMPRESSIONS = ("deflate", "zstd", "none")
_ZARR_MAX_LEVEL = 9
_RESAMPLINGS = ("average", "nearest", "bilinear", "cubic", "cubicspline", "lanczos", "gauss", "mode", "rms")
_ITEM_BYTES = {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4, "float64": 8}
# The places of a block, and all that is said beside the samples.
_BLOCK_BYTES, _HEAD_BYTES = 64, 1 << 20
# JPEG and WebP, of all but their highest qualities, leave less than this of the samples.
_LOSSY_SHARE = 1 / 3
_REHEARSAL_PX = 32


def format_of(target: RasterTarget) -> RasterFormat:
    """What is asked for, or what the extension says.

    Raises:
        ArgumentError: The extension stands for none.
    """
    if target.format is not None:
        if target.format not in {"cog", "gtiff", "zarr"}:
            raise ArgumentError(f"the format is {target.format!r}, accepted are cog, gtiff and zarr")
        return target.format
    named = EXTENSIONS.get(Path(target.path).suffix.lower())
    if named is None:
        raise ArgumentError(
            f"{os.fspath(target.path)}: the extension says no format of rasters, accepted are .tif, .tiff and .zarr; "
            "or pass format= (hndsr: --format)"
        )
    return named


def is_lossless(target: RasterTarget) -> bool:
    """Whether every sample is kept."""
    return target.compress not in _LOSSY


def check_target(raster: Raster, target: RasterTarget) -> None:
    """Refuse what cannot be made, before any work is spent on it.

    A GeoTIFF of a few pixels that is to say all that the target will is made to see what of it the format keeps.

    Raises:
        ArgumentError: Naming what is accepted, or what is lost.
        GeoNotInstalledError: What writes the format is not installed.
    """
    _check_local(target)
    _check_numbers(target)
    if format_of(target) == "zarr":
        _check_zarr(target)
        geo("zarr_store")
        return
    if not is_lossless(target):
        _check_lossy(raster, target)
    _rehearse(raster, target)


def needed_bytes(raster: Raster, target: RasterTarget) -> int:
    """About what making it takes, beside the work files.

    Uncompressed it is just that, the copy of a COG's overviews included that GDAL keeps meanwhile. Nobody knows before
    how well samples will be compressed: it is as if without loss they were not at all, which makes room for that copy,
    and to a third by JPEG and WebP. Noise may take a little more.
    """
    per_pixel = sum(_ITEM_BYTES[band.dtype] for band in all_bands(raster))
    if format_of(target) == "zarr":
        masked = raster.validity in {"mask", "alpha"}
        return _level_bytes(raster, target, per_pixel + masked, factor=1) + 8 * sum(raster.size_px) + _HEAD_BYTES
    per_pixel += raster.validity == "mask"
    samples = _level_bytes(raster, target, per_pixel, factor=1)
    if target.overviews:
        # Of a COG, overviews are made in files of their own, and then copied.
        copies = 2 if format_of(target) == "cog" and target.compress == "none" else 1
        factors = levels(raster.size_px, target.block_px)
        samples += copies * sum(_level_bytes(raster, target, per_pixel, factor=factor) for factor in factors)
    share = 1 if is_lossless(target) else _LOSSY_SHARE
    return int(share * samples) + 8 * sum(len(name) + len(text) for name, text in raster.tags.items()) + _HEAD_BYTES


def _level_bytes(raster: Raster, target: RasterTarget, per_pixel: int, *, factor: int) -> int:
    block = target.block_px
    rows, columns = (math.ceil(side / (factor * block)) for side in raster.size_px)
    return rows * columns * (block * block * per_pixel + _BLOCK_BYTES * len(all_bands(raster)))


def _check_local(target: RasterTarget) -> None:
    name = os.fspath(target.path)
    if name.startswith("/vsi") or "://" in name:
        raise ArgumentError(f"{name}: targets are written on this machine; write it here, then copy it there")


def _check_numbers(target: RasterTarget) -> None:
    if target.compress not in {*_LEVELS, *_LOSSY, "lzw", "none"}:
        accepted = "deflate, zstd, lzw, jpeg, webp and none"
        raise ArgumentError(f"the compression is {target.compress!r}, accepted are {accepted}")
    if target.level is not None:
        most = _LEVELS.get(target.compress)
        if most is None:
            raise ArgumentError(f"the level is of deflate and zstd, the compression is {target.compress}")
        if not 1 <= target.level <= most:
            raise ArgumentError(f"the level is {target.level}, accepted of {target.compress} is 1 to {most}")
    if target.quality is not None:
        if is_lossless(target):
            raise ArgumentError(f"the quality is of jpeg and webp, the compression is {target.compress}")
        if not 1 <= target.quality <= 100:
            raise ArgumentError(f"the quality is {target.quality}, accepted is 1 to 100")
    if target.block_px % 16 or not 128 <= target.block_px <= 4096:
        raise ArgumentError(f"the block is {target.block_px} px, accepted are multiples of 16 from 128 to 4096")
    if target.resampling not in _RESAMPLINGS:
        raise ArgumentError(f"the resampling is {target.resampling!r}, accepted are {', '.join(_RESAMPLINGS)}")


def _check_zarr(target: RasterTarget) -> None:
    if target.compress not in _ZARR_COMPRESSIONS:
        raise ArgumentError(f"zarr is not compressed by {target.compress}, accepted are deflate, zstd and none")
    if (target.level or 0) > _ZARR_MAX_LEVEL:
        accepted = f"accepted of {target.compress} in zarr is 1 to {_ZARR_MAX_LEVEL}"
        raise ArgumentError(f"the level is {target.level}, {accepted}")


def _check_lossy(raster: Raster, target: RasterTarget) -> None:
    compress, count = target.compress, len(raster.bands)
    lossless = "deflate and zstd (hndsr: --compress) keep every sample"
    if raster.dtype != "uint8":
        raise ArgumentError(f"{compress} keeps uint8 alone, the samples are {raster.dtype}; {lossless}")
    if raster.validity == "nodata":
        raise ArgumentError(f"{compress} changes samples, so that nodata would not be known again; {lossless}")
    if compress == "jpeg" and raster.validity == "alpha":
        raise ArgumentError(f"jpeg does not keep alpha as it is; webp does, and {lossless}")
    if compress == "jpeg" and count not in {1, 3}:
        raise ArgumentError(f"jpeg keeps 1 or 3 bands, there are {count}; {lossless}")
    if compress == "webp" and count != 3:
        raise ArgumentError(f"webp keeps 3 bands, with or without alpha, there are {count}; {lossless}")


def _rehearse(raster: Raster, target: RasterTarget) -> None:
    height_px, width_px = (min(side, _REHEARSAL_PX) for side in raster.size_px)
    small = replace(raster, size_px=(height_px, width_px))
    try:
        with rehearsed(small, target, is_cog=format_of(target) == "cog") as path:
            lost = lost_facts(path, small)
    except (RasterioError, CPLE_BaseError, OSError, ValueError, SystemError) as error:
        raise ArgumentError(
            f"GDAL cannot make such a GeoTIFF: {' '.join(str(error.__cause__ or error).split())}"
        ) from error
    if lost:
        raise ArgumentError(f"GeoTIFF cannot keep {', '.join(lost[:3])}; format zarr can (hndsr: --format zarr)")
