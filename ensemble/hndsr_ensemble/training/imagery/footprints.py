"""Which georeferenced images lie over each other on the ground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float64
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from hndsr_ensemble.training.imagery.manifest import Footprint

GLOBE: Final = "EPSG:4326"
SHARES: Final = np.linspace(0, 1, 9)
"""Of a footprint's sides: where places of it are looked up in another system."""
MARGIN: Final = 0.1
"""Of its breadth, that a box in space is larger than its places, since the ground bulges between them."""
WHOLE_TURN: Final = 360.0


class _Box(NamedTuple):
    """What a footprint does not reach beyond, in coordinates that are the same for all it may meet."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def find_intersections(footprints: Mapping[str, Footprint]) -> list[tuple[str, str]]:
    """Pairs of footprints that have more than a pixel's breadth in common, in whatever reference systems they are.

    A sweep over boxes around them in space, where the antimeridian and the poles are no borders: only neighbours meet.
    Footprints that have no place on the globe are compared within their own system alone.
    """
    found = {name: _on_globe(footprint) for name, footprint in footprints.items()}
    located = {name: places for name, places in found.items() if places is not None}
    pairs = set(_swept({name: _box(places, margin=MARGIN) for name, places in located.items()}, footprints))
    for crs in {footprints[name].crs for name in footprints.keys() - located.keys()}:
        plane = {name: _polygon(one) for name, one in footprints.items() if one.crs == crs}
        pairs |= set(_swept({name: _box(polygon, margin=0.0) for name, polygon in plane.items()}, footprints))
    return sorted(pairs)


def intersect(one: Footprint, other: Footprint) -> bool:
    """Whether two footprints have more than a pixel's breadth in common.

    Those of different systems are compared in the first one's, where the other's edges may bend: its hull counts.

    Source: the separating axis theorem for convex polygons, Gottschalk et al. 1996, "OBBTree", section 5.
    """
    first, second, pixel = _polygon(one), _polygon(other), min(one.pixel, other.pixel)
    if not _is_same_system(one.crs, other.crs):
        moved = _moved(_outline(second), other.crs, one.crs)
        if moved is None:
            return True  # neighbours on the globe that nothing parts: at worst they share a split for no reason
        second, pixel = moved, one.pixel
    if _is_geographic(one.crs):
        second[:, 0] += WHOLE_TURN * np.round((first[:, 0].mean() - second[:, 0].mean()) / WHOLE_TURN)
    edges = np.concatenate([np.roll(polygon, -1, axis=0) - polygon for polygon in (first, second)])
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    along, beside = first @ normals.T, second @ normals.T
    common = np.minimum(along.max(axis=0), beside.max(axis=0)) - np.maximum(along.min(axis=0), beside.min(axis=0))
    return bool(common.min() > pixel)


def _swept(boxes: Mapping[str, _Box], footprints: Mapping[str, Footprint]) -> Iterator[tuple[str, str]]:
    if not boxes:
        return
    axis = int(np.argmax(np.ptp([box.low for box in boxes.values()], axis=0)))
    near: list[str] = []
    for name in sorted(boxes, key=lambda one: (boxes[one].low[axis], one)):
        box = boxes[name]
        near = [one for one in near if boxes[one].high[axis] > box.low[axis]]
        for other in near:
            if _touch(box, boxes[other]):
                smaller, larger = min(name, other), max(name, other)
                if intersect(footprints[smaller], footprints[larger]):
                    yield smaller, larger
        near.append(name)


def _touch(one: _Box, other: _Box) -> bool:
    ends = zip(one.low, one.high, other.low, other.high, strict=True)
    return all(low < its_high and its_low < high for low, high, its_low, its_high in ends)


def _box(places: Float64[np.ndarray, "count axes"], *, margin: float) -> _Box:
    reach = margin * np.ptp(places, axis=0).max()
    return _Box(tuple((places.min(axis=0) - reach).tolist()), tuple((places.max(axis=0) + reach).tolist()))


def _on_globe(footprint: Footprint) -> Float64[np.ndarray, "places 3"] | None:
    """Places all over a footprint, as points of the unit sphere; None where its system knows of none there."""
    top_left, top_right, _, bottom_left = _polygon(footprint)
    down, across = (share.reshape(-1, 1) for share in np.meshgrid(SHARES, SHARES))
    places = top_left + across * (top_right - top_left) + down * (bottom_left - top_left)
    degrees = _moved(places, footprint.crs, GLOBE)
    if degrees is None:
        return None
    longitude, latitude = np.radians(degrees).T
    around = np.cos(latitude)
    return np.stack([around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)], axis=1)


def _outline(corners: Float64[np.ndarray, "4 2"]) -> Float64[np.ndarray, "around 2"]:
    """Places along the edges."""
    following = np.roll(corners, -1, axis=0)
    return np.concatenate([a + SHARES[:-1, None] * (b - a) for a, b in zip(corners, following, strict=True)])


def _moved(points: Float64[np.ndarray, "count 2"], source: str, target: str) -> Float64[np.ndarray, "count 2"] | None:
    """Points in another system; None where it or their own says of one no place."""
    try:
        moved = transform(_system(source), _system(target), points[:, 0], points[:, 1])
    except (CRSError, CPLE_BaseError):
        return None
    return np.array(moved, np.float64).T if np.isfinite(moved).all() else None


def _is_same_system(one: str, other: str) -> bool:
    """Whether two descriptions mean one system, however each is written."""
    return one == other or _system(one) == _system(other)


def _is_geographic(crs: str) -> bool:
    try:
        return bool(_system(crs).is_geographic)
    except CRSError:
        return False


@cache
def _system(crs: str) -> CRS:
    return CRS.from_user_input(crs)


def _polygon(footprint: Footprint) -> Float64[np.ndarray, "corners 2"]:
    return np.array(footprint.corners, np.float64)
