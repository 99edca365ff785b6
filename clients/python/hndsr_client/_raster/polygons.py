"""Polygons of GeoJSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from hndsr_client.errors import ArgumentError

Ring = tuple[tuple[float, float], ...]
Polygon = tuple[Ring, ...]

# A line of GeoJSON is straight in longitude and latitude, not in the raster's CRS: a kilometre of both differs by cm.
_STEP_DEGREES = 0.01
_MOST_STEPS = 1000
_LONGITUDE_LATITUDE = ("CRS84", "EPSG:4326", "EPSG::4326")


def polygons_of(geojson: Any, name: str) -> tuple[Polygon, ...]:
    """Its polygons, in longitude and latitude, their long edges divided.

    Args:
        geojson: What was made of JSON.
        name: What to call it.

    Raises:
        ArgumentError: It is no GeoJSON of polygons in longitude and latitude.
    """
    try:
        _check_crs(geojson, name)
        polygons = tuple(tuple(_ring(ring, name) for ring in rings) for rings in _rings(geojson, name))
    except (TypeError, KeyError, ValueError, IndexError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{name} is no GeoJSON: its coordinates are not those of polygons") from error
    if not polygons or not all(polygons):
        raise ArgumentError(f"{name} holds no polygon")
    return polygons


def _rings(geojson: Any, name: str) -> Iterator[Any]:
    kind = geojson.get("type") if isinstance(geojson, Mapping) else None
    if kind == "Polygon":
        yield geojson["coordinates"]
    elif kind == "MultiPolygon":
        yield from geojson["coordinates"]
    elif kind == "Feature":
        if geojson["geometry"] is not None:
            yield from _rings(geojson["geometry"], name)
    elif kind in {"FeatureCollection", "GeometryCollection"}:
        for each in geojson["features" if kind == "FeatureCollection" else "geometries"]:
            yield from _rings(each, name)
    else:
        raise ArgumentError(
            f"{name} holds {kind or type(geojson).__name__}, accepted are Polygon, MultiPolygon, and Feature,"
            " FeatureCollection or GeometryCollection of these"
        )


def _check_crs(geojson: Any, name: str) -> None:
    """An older GeoJSON may be in another system; reading it as longitude and latitude would misplace it."""
    crs = geojson.get("crs") if isinstance(geojson, Mapping) else None
    if crs is not None and not any(known in str(crs) for known in _LONGITUDE_LATITUDE):
        raise ArgumentError(f"{name} is in {crs!r}, accepted are longitude and latitude: ogr2ogr -t_srs EPSG:4326")


def _ring(positions: Any, name: str) -> Ring:
    ring = [(float(position[0]), float(position[1])) for position in positions]
    for longitude, latitude in ring:
        if not (abs(longitude) <= 360 and abs(latitude) <= 90):
            raise ArgumentError(
                f"{name} has a corner at {longitude:g}, {latitude:g}, accepted are degrees of longitude and latitude"
            )
    closed = ring if ring[0] == ring[-1] else [*ring, ring[0]]
    if len(set(closed)) < 3:
        raise ArgumentError(f"{name} has a ring of {len(set(closed))} corners, which is no polygon")
    return (closed[0], *(place for start, end in pairwise(closed) for place in _divided(start, end)))


def _divided(start: tuple[float, float], end: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Places on the way, the end among them."""
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    count = max(1, min(_MOST_STEPS, math.ceil(length / _STEP_DEGREES)))
    for number in range(1, count):
        share = number / count
        yield start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
    yield end
