"""Which georeferenced images lie over each other on the ground."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float64

from hndsr_ensemble.training.imagery.manifest import Footprint


def find_intersections(footprints: Mapping[str, Footprint]) -> Iterator[tuple[str, str]]:
    """Pairs of footprints of one reference system that have more than a pixel's breadth in common, ascending.

    A sweep over their western edges: only neighbours meet.
    """
    systems: dict[str, list[str]] = defaultdict(list)
    for name, footprint in footprints.items():
        systems[footprint.crs].append(name)
    for names in systems.values():
        yield from _swept({name: _polygon(footprints[name]) for name in names}, footprints)


def intersect(one: Footprint, other: Footprint) -> bool:
    """Whether two footprints of one reference system have more than a pixel's breadth in common.

    Source: the separating axis theorem for convex polygons, Gottschalk et al. 1996, "OBBTree", section 5.
    """
    first, second = _polygon(one), _polygon(other)
    edges = np.concatenate([np.roll(polygon, -1, axis=0) - polygon for polygon in (first, second)])
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    along, beside = first @ normals.T, second @ normals.T
    common = np.minimum(along.max(axis=0), beside.max(axis=0)) - np.maximum(along.min(axis=0), beside.min(axis=0))
    return bool(common.min() > min(one.pixel, other.pixel))


def _swept(
    polygons: Mapping[str, Float64[np.ndarray, "4 2"]], footprints: Mapping[str, Footprint]
) -> Iterator[tuple[str, str]]:
    near: list[str] = []
    for name in sorted(polygons, key=lambda one: (polygons[one][:, 0].min(), one)):
        west = polygons[name][:, 0].min()
        near = [one for one in near if polygons[one][:, 0].max() > west]
        for other in near:
            if intersect(footprints[name], footprints[other]):
                yield min(name, other), max(name, other)
        near.append(name)


def _polygon(footprint: Footprint) -> Float64[np.ndarray, "corners 2"]:
    return np.array(footprint.corners, np.float64)
