"""What part of a raster is read."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.warp import transform as reprojected

from hndsr_client._raster.description import Raster
from hndsr_client._raster.polygons import Polygon, Ring, polygons_of
from hndsr_client._stream.windows import Window
from hndsr_client.errors import ArgumentError, LocalFileError

LONGITUDE_LATITUDE = "OGC:CRS84"
# Vertices lie on this fraction of a pixel, so that no edge is another in another window.
_STEPS_PER_PX = 1024


@dataclass(frozen=True)
class Region:
    """A window of a raster, and the polygons in it outside of which pixels are invalid."""

    row_px: int
    column_px: int
    height_px: int
    width_px: int
    polygons: tuple[Polygon, ...] = ()
    """Rings of (column, row) in px of the raster, the first of each being the outer one; none: all is valid."""

    @property
    def has_polygons(self) -> bool:
        """Whether pixels may be invalid for lying outside."""
        return bool(self.polygons)

    def mask(self, window: Window) -> npt.NDArray[np.bool_] | None:
        """Pixels of a window of the region whose centres lie inside; None where there are no polygons."""
        if not self.polygons:
            return None
        (top, bottom, _), (left, right, _) = (
            side.indices(size) for side, size in zip(window, (self.height_px, self.width_px), strict=True)
        )
        # Rows are counted downwards: GDAL warns of grids whose y is not turned over.
        grid = Affine(1.0, 0.0, self.column_px + left, 0.0, -1.0, -(self.row_px + top))
        shapes = [
            {"type": "Polygon", "coordinates": [[(column, -row) for column, row in ring] for ring in polygon]}
            for polygon in self.polygons
        ]
        return np.asarray(geometry_mask(shapes, (bottom - top, right - left), grid, invert=True), np.bool_)

    def facts(self) -> str:
        """What of it decides pixels, as a job's journal keeps it."""
        window = f"{self.column_px},{self.row_px},{self.width_px},{self.height_px}"
        if not self.polygons:
            return window
        digest = hashlib.sha256(json.dumps(self.polygons, separators=(",", ":")).encode()).hexdigest()
        return f"{window} within polygons {digest[:16]}"


def region_of(choice: Any, raster: Raster) -> Region:
    """The region that `RasterSource.region` asks for.

    Raises:
        ArgumentError: It is none, or lies outside of the raster, or the raster's place is not known.
        LocalFileError: A file of GeoJSON cannot be read.
    """
    height_px, width_px = raster.size_px
    if choice is None:
        return Region(0, 0, height_px, width_px)
    if isinstance(choice, Mapping):
        return _within(polygons_of(choice, "the region"), raster)
    if isinstance(choice, (str, os.PathLike)):
        return _within(polygons_of(_loaded(choice), os.fspath(choice)), raster)
    return _window(choice, raster)


def _window(choice: Any, raster: Raster) -> Region:
    height_px, width_px = raster.size_px
    accepted = f"(column, row, width, height) in px inside the raster's {width_px} × {height_px} px (width × height)"
    try:
        column, row, width, height = (operator.index(number) for number in choice)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"region is {choice!r}, accepted are GeoJSON and {accepted}") from error
    is_inside = 0 <= column < column + width <= width_px and 0 <= row < row + height <= height_px
    if not is_inside:
        raise ArgumentError(f"region is {(column, row, width, height)}, accepted is {accepted}")
    return Region(row, column, height, width)


def _loaded(path: str | os.PathLike[str]) -> Any:
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 -- a name is taken as it is
            return json.load(file)
    except OSError as error:
        raise LocalFileError(path=path, problem=f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{os.fspath(path)} is no GeoJSON: {error}") from error


def _within(polygons: Sequence[Polygon], raster: Raster) -> Region:
    place = raster.georeference
    if place.transform is None:
        how = "by ground control points" if place.points else "by RPC" if place.rpcs else "nowhere"
        raise ArgumentError(f"the raster is placed {how}, not by a transform; give the region in px, or warp it first")
    if place.crs is None:
        raise ArgumentError("the raster has no CRS, so that no longitude and latitude is in it; give the region in px")
    inverse = _inverse(place.transform)
    in_px = tuple(tuple(_in_px(ring, place.crs, inverse) for ring in polygon) for polygon in polygons)
    corners = [corner for polygon in in_px for ring in polygon[:1] for corner in ring]
    (left, right), (top, bottom) = (
        (max(0, math.floor(min(axis))), min(size, math.ceil(max(axis))))
        for axis, size in zip(zip(*corners, strict=True), reversed(raster.size_px), strict=True)
    )
    if left >= right or top >= bottom:
        raise ArgumentError("the region does not overlap the raster; GeoJSON names longitude first, then latitude")
    return Region(top, left, bottom - top, right - left, in_px)


def _inverse(transform: Sequence[float]) -> Affine:
    affine = Affine(*transform)
    if affine.is_degenerate:
        raise ArgumentError("the raster's transform has no inverse; give the region in px")
    return ~affine


def _in_px(ring: Ring, crs: str, inverse: Affine) -> Ring:
    """A ring on the raster's grid."""
    longitudes, latitudes = zip(*ring, strict=True)
    try:
        xs, ys = reprojected(LONGITUDE_LATITUDE, crs, longitudes, latitudes)[:2]
    except RasterioError as error:
        raise _beyond() from error
    if not np.isfinite([xs, ys]).all():
        raise _beyond()
    a, b, c, d, e, f = tuple(inverse)[:6]
    return tuple((_on_step(a * x + b * y + c), _on_step(d * x + e * y + f)) for x, y in zip(xs, ys, strict=True))


def _on_step(place_px: float) -> float:
    return round(place_px * _STEPS_PER_PX) / _STEPS_PER_PX


def _beyond() -> ArgumentError:
    return ArgumentError("the region's longitudes and latitudes cannot be expressed in the raster's CRS")
