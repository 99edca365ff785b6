"""A raster as a folder of zarr, format 2, that xarray and rioxarray read with its place.

Source: zarr specification, version 2; CF conventions 1.10, 3.5 flags, 5.6 grid mappings; rioxarray's attributes
`GeoTransform` and `gcps`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import numpy.typing as npt
import zarr

from hndsr_client._core.files import sync, sync_folder
from hndsr_client._raster.choices import DEFAULT_LEVELS, RasterTarget
from hndsr_client._raster.composition import Composition
from hndsr_client._raster.description import GroundPoint, Raster
from hndsr_client._raster.worked import read_bands
from hndsr_client._stream.windows import Window

RASTER, MASK, ALPHA = "raster", "mask", "alpha"
_PLACE = "spatial_ref"
_PLACED = {"grid_mapping": _PLACE, "coordinates": _PLACE}
"""Where an array is, as it says itself."""
_WINDOW_BYTES = 16 << 20
_SYNCS = 16
"""Files that the disk is asked for at once, so that it does not wait for each."""
_FORMAT: dict[str, Any] = {"zarr_format": 2} if int(zarr.__version__.split(".")[0]) > 2 else {}


def write_zarr(composition: Composition, part: Path) -> None:
    """Make the folder, chunk row by chunk row, and have it on the disk.

    Raises:
        OSError: It cannot be written.
    """
    raster, target = composition.raster, composition.target
    group = zarr.open_group(str(part), mode="w", **_FORMAT)
    group.attrs.update({**raster.domains, **raster.tags, "Conventions": "CF-1.10"})
    _write_place(part, raster)
    pixels, mask = _raster_array(part, raster, target), _mask_array(part, raster, target)
    count = len(raster.bands)
    bands = [*composition.bands[:count]]
    marks = [*composition.bands[count:]] if composition.mask is None else [composition.mask]
    for rows, columns in _windows(raster, target.block_px):
        pixels[:, rows, columns] = read_bands(bands, raster.dtype, (rows, columns))
        if mask is not None:
            dtype = "uint8" if raster.validity == MASK else raster.dtype
            (mark,) = read_bands(marks, dtype, (rows, columns))
            mask[rows, columns] = np.where(mark != 0, np.uint8(255), np.uint8(0))
    zarr.consolidate_metadata(str(part), **_FORMAT)
    sync_all(part)


class ZarrRaster:
    """A folder that was made so, read as its bands were: alpha last.

    Attributes:
        size_px: Height and width.
        tags: What it says of itself.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: It cannot be read.
            ValueError: It is no folder of zarr.
            KeyError: It has no raster.
        """
        group: Any = zarr.open_group(str(path), mode="r", **_FORMAT)
        self.tags: dict[str, Any] = dict(group.attrs)
        self._pixels: Any = group[RASTER]
        mask: Any = group.get(MASK)
        self._mask: Any = mask
        self._alpha: Any = mask if mask is not None and mask.attrs.get("source") == ALPHA else None
        self.size_px: tuple[int, int] = self._pixels.shape[1:]
        self.count: int = self._pixels.shape[0] + (self._alpha is not None)

    def read(self, bands: tuple[int, ...], window: Window) -> npt.NDArray[Any]:
        """Some bands, from 1, of a window: (height, width, bands), little-endian."""
        rows, columns = window
        colours = self._pixels.shape[0]
        planes = [
            self._pixels[number - 1, rows, columns] if number <= colours else self._opacity(window) for number in bands
        ]
        dtype = np.dtype(self._pixels.dtype).newbyteorder("<")
        return np.ascontiguousarray(np.stack(planes, axis=-1), dtype)

    def read_mask(self, window: Window) -> npt.NDArray[np.uint8]:
        """255 where a pixel of a window is valid, else 0; (height, width)."""
        if self._mask is None:
            return np.full([side.stop - side.start for side in window], 255, np.uint8)
        return np.ascontiguousarray(self._mask[window], np.uint8)

    def _opacity(self, window: Window) -> npt.NDArray[Any]:
        dtype = np.dtype(self._pixels.dtype)
        return np.where(self._alpha[window] != 0, dtype.type(np.iinfo(dtype).max), dtype.type(0))


def _raster_array(part: Path, raster: Raster, target: RasterTarget) -> Any:
    bands, block = raster.bands, target.block_px
    array = _array(
        part,
        RASTER,
        shape=(len(bands), *raster.size_px),
        dtype=np.dtype(raster.dtype).newbyteorder("<"),
        chunks=(1, block, block),
        compressor=_compressor(target),
        # In format 2 this is what xarray takes for _FillValue, and GDAL for nodata.
        fill_value=bands[0].nodata,
    )
    facts: dict[str, Any] = {
        "_ARRAY_DIMENSIONS": ["band", "y", "x"],
        **_PLACED,
        "long_name": [band.name or "" for band in bands],
        "band_colors": [band.color for band in bands],
        "band_units": [band.unit or "" for band in bands],
        "band_scales": [band.scale for band in bands],
        "band_offsets": [band.offset for band in bands],
    }
    if any(band.tags for band in bands):
        facts["band_tags"] = [dict(band.tags) for band in bands]
    scalings = {(band.scale, band.offset) for band in bands}
    if len(scalings) == 1 and scalings != {(1.0, 0.0)}:
        facts |= {"scale_factor": bands[0].scale, "add_offset": bands[0].offset}
    if bands[0].unit and len({band.unit for band in bands}) == 1:
        facts["units"] = bands[0].unit
    if raster.georeference.rpcs:
        facts["rpcs"] = dict(raster.georeference.rpcs)
    array.attrs.update(facts)
    return array


def _mask_array(part: Path, raster: Raster, target: RasterTarget) -> Any:
    if raster.validity not in {MASK, ALPHA}:
        return None
    block = target.block_px
    mask = _array(part, MASK, shape=raster.size_px, dtype="u1", chunks=(block, block), compressor=_compressor(target))
    mask.attrs.update(
        {
            "_ARRAY_DIMENSIONS": ["y", "x"],
            **_PLACED,
            "flag_values": [0, 255],
            "flag_meanings": "invalid valid",
            "source": raster.validity,
        }
    )
    return mask


def _write_place(part: Path, raster: Raster) -> None:
    """The grid mapping, and the coordinates of pixel centres where rows and columns have one each."""
    georeference = raster.georeference
    facts: dict[str, Any] = {}
    if georeference.crs is not None:
        facts |= {"crs_wkt": georeference.crs, "spatial_ref": georeference.crs}
    if georeference.points:
        points = [_feature(point) for point in georeference.points]
        facts["gcps"] = json.dumps({"type": "FeatureCollection", "features": points})
    _write_axis(part, "band", np.arange(1, len(raster.bands) + 1, dtype="<i8"))
    if georeference.transform is not None:
        a, b, c, d, e, f = map(float, georeference.transform)
        facts["GeoTransform"] = " ".join(map(repr, (c, a, b, f, d, e)))
        if b == d == 0:
            height_px, width_px = raster.size_px
            _write_axis(part, "x", c + a * (np.arange(width_px, dtype="<f8") + 0.5), axis="X")
            _write_axis(part, "y", f + e * (np.arange(height_px, dtype="<f8") + 0.5), axis="Y")
    place = _array(part, _PLACE, shape=(), dtype="<i8", chunks=(), compressor=None)
    place[...] = 0
    place.attrs.update({"_ARRAY_DIMENSIONS": [], **facts})


def _write_axis(part: Path, name: str, places: npt.NDArray[Any], **facts: str) -> None:
    axis = _array(part, name, shape=places.shape, dtype=places.dtype, chunks=places.shape, compressor=None)
    axis[...] = places
    axis.attrs.update({"_ARRAY_DIMENSIONS": [name], **facts})


def _feature(point: GroundPoint) -> dict[str, Any]:
    properties = {"id": point.id, "info": point.info, "row": point.row_px, "col": point.column_px}
    geometry = {"type": "Point", "coordinates": [point.x, point.y, point.z]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _array(part: Path, name: str, **how: Any) -> Any:
    return zarr.create(store=str(part), path=name, dimension_separator="/", **{"fill_value": None, **how}, **_FORMAT)


def _compressor(target: RasterTarget) -> Any:
    if target.compress == "none":
        return None
    level = target.level or DEFAULT_LEVELS[target.compress]
    if target.compress == "zstd":
        return numcodecs.Blosc(cname="zstd", clevel=level, shuffle=numcodecs.Blosc.SHUFFLE)
    return numcodecs.Zlib(level=level)


def _windows(raster: Raster, block_px: int) -> Iterator[Window]:
    """Whole chunks, few enough of a row to be held at once."""
    height_px, width_px = raster.size_px
    chunk_bytes = len(raster.bands) * block_px * block_px * np.dtype(raster.dtype).itemsize
    step_px = block_px * max(1, _WINDOW_BYTES // chunk_bytes)
    for y in range(0, height_px, block_px):
        for x in range(0, width_px, step_px):
            yield slice(y, min(y + block_px, height_px)), slice(x, min(x + step_px, width_px))


def sync_all(part: Path, sync_file: Callable[[str], None] = sync) -> None:
    """Have a folder on the disk, with all that is in it.

    Raises:
        OSError: The system cannot.
    """
    with ThreadPoolExecutor(_SYNCS) as threads:
        for folder, _, names in os.walk(part):
            for _ in threads.map(sync_file, [os.path.join(folder, name) for name in names]):  # noqa: PTH118  os.walk's
                pass
            sync_folder(folder)
