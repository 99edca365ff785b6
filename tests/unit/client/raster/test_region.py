"""Parts of rasters: windows and polygons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasters
from rasterio.warp import transform

from hndsr_client._raster.choices import RasterSource
from hndsr_client._raster.dataset import Dataset
from hndsr_client._raster.description import Raster
from hndsr_client._raster.region import Region, region_of
from hndsr_client.errors import ArgumentError, LocalFileError


def described(path: Path) -> Raster:
    with Dataset(RasterSource(path)) as dataset:
        return dataset.raster


def corner(raster: Raster, column: float, row: float) -> tuple[float, float]:
    """Longitude and latitude of a place in a raster."""
    place = raster.georeference
    assert place.transform is not None
    a, b, c, d, e, f = place.transform
    xs, ys = transform(place.crs, "OGC:CRS84", [a * column + b * row + c], [d * column + e * row + f])
    return xs[0], ys[0]


def box(raster: Raster, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """GeoJSON of a rectangle of the raster's own grid."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return rasters.polygon(*(corner(raster, column, row) for column, row in corners))


def within(region: Region) -> np.ndarray:
    mask = region.mask((slice(0, region.height_px), slice(0, region.width_px)))
    assert mask is not None
    return mask


@pytest.fixture
def raster(tmp_path: Path) -> Raster:
    return described(rasters.rgb(tmp_path))


def test_region_of_nothing_is_all(raster: Raster) -> None:
    region = region_of(None, raster)
    assert region == Region(0, 0, 90, 120)
    assert region.mask((slice(0, 9), slice(0, 9))) is None


def test_region_of_a_window_is_column_first(raster: Raster) -> None:
    assert region_of((100, 20, 20, 70), raster) == Region(row_px=20, column_px=100, height_px=70, width_px=20)


@pytest.mark.parametrize(
    "window",
    [(0, 0, 121, 90), (0, 0, 120, 91), (-1, 0, 5, 5), (5, 5, 0, 5), (5, 5, 5, -5), (0.5, 0, 9, 9), (1, 2, 3), 7],
)
def test_region_refuses_a_window_outside(window: Any, raster: Raster) -> None:
    with pytest.raises(ArgumentError, match="120 × 90 px"):
        region_of(window, raster)


@pytest.mark.parametrize("make", [rasters.rgb, rasters.rotated, rasters.custom_crs])
def test_region_of_a_polygon_is_its_bounds(make: Any, tmp_path: Path) -> None:
    raster = described(make(tmp_path))
    region = region_of(box(raster, 10.25, 20.25, 40.75, 30.75), raster)
    assert (region.row_px, region.column_px, region.height_px, region.width_px) == (20, 10, 11, 31)
    # Centres lie at halves: those at 10.5 and 40.5 are inside, as are those at 20.5 and 30.5.
    assert within(region).all()


def test_region_takes_pixels_whose_centres_are_inside(raster: Raster) -> None:
    region = region_of(box(raster, 10.75, 20.75, 40.25, 30.25), raster)
    mask = within(region)
    assert mask[1:-1, 1:-1].all()
    assert mask.sum() == (mask.shape[0] - 2) * (mask.shape[1] - 2)


def test_region_is_cut_to_the_raster(raster: Raster) -> None:
    region = region_of(box(raster, -50, -50, 30, 400), raster)
    assert (region.row_px, region.column_px, region.height_px, region.width_px) == (0, 0, 90, 30)


def test_region_leaves_out_holes(raster: Raster) -> None:
    outer, inner = box(raster, 10, 10, 60, 60), box(raster, 20, 20, 30, 30)
    outer["coordinates"] += inner["coordinates"]
    mask = within(region_of(outer, raster))
    assert mask.sum() == 50 * 50 - 10 * 10


def test_region_does_not_depend_on_the_window(raster: Raster) -> None:
    corners = [(5, 3), (100, 44), (61, 88), (40, 50), (7, 80)]
    region = region_of(rasters.polygon(*(corner(raster, *place) for place in corners)), raster)
    whole = within(region)
    parts = np.zeros_like(whole)
    for row in range(0, region.height_px, 7):
        for column in range(0, region.width_px, 11):
            window = slice(row, min(row + 7, region.height_px)), slice(column, min(column + 11, region.width_px))
            parts[window] = region.mask(window)
    assert np.array_equal(parts, whole)


@pytest.mark.parametrize("kind", ["MultiPolygon", "Feature", "FeatureCollection", "GeometryCollection"])
def test_region_takes_polygons_of_every_kind(kind: str, raster: Raster) -> None:
    first, second = box(raster, 10, 10, 20, 20), box(raster, 30, 30, 40, 40)
    both = {"type": "MultiPolygon", "coordinates": [first["coordinates"], second["coordinates"]]}
    feature = {"type": "Feature", "properties": None, "geometry": both}
    given = {
        "MultiPolygon": both,
        "Feature": feature,
        "FeatureCollection": {"type": kind, "features": [feature]},
        "GeometryCollection": {"type": kind, "geometries": [first, second]},
    }[kind]
    region = region_of(given, raster)
    assert (region.row_px, region.height_px, int(within(region).sum())) == (10, 30, 200)


def test_region_reads_a_file(raster: Raster, tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(box(raster, 10, 10, 20, 20)), encoding="utf-8-sig")
    assert region_of(path, raster) == region_of(str(path), raster) == region_of(json.loads(path.read_text("utf-8-sig")), raster)  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    ("geojson", "message"),
    [
        ({"type": "Point", "coordinates": [15, 45]}, "holds Point, accepted are Polygon"),
        ({}, "holds dict"),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
        ({"type": "Polygon", "coordinates": [[["a", 1]]]}, "no GeoJSON"),
        ({"type": "Polygon"}, "no GeoJSON"),
        (rasters.polygon((15, 45), (15.1, 45.1)), "no polygon"),
        (rasters.polygon((500_000, 45), (500_100, 45), (500_100, 46)), "degrees of longitude and latitude"),
        (rasters.polygon((float("nan"), 45), (15.1, 45), (15, 46)), "degrees of longitude and latitude"),
        (rasters.polygon((45, 15), (45.1, 15), (45, 15.1)), "does not overlap"),
        ({**rasters.polygon((15, 45), (15.1, 45), (15, 45.1)), "crs": {"name": "EPSG:3857"}}, "is in .*ogr2ogr"),
    ],
)
def test_region_refuses_what_is_no_polygon_of_the_raster(geojson: Any, message: str, raster: Raster) -> None:
    with pytest.raises(ArgumentError, match=message):
        region_of(geojson, raster)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (rasters.ground_points, "by ground control points"),
        (rasters.rational_polynomial, "by RPC"),
        (rasters.plain, "nowhere"),
        (lambda folder: rasters.rgb(folder, crs=None), "no CRS"),
    ],
    ids=["points", "rpc", "nowhere", "no crs"],
)
def test_region_refuses_polygons_of_a_raster_without_a_place(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        region_of(rasters.polygon((15, 45), (15.1, 45), (15, 45.1)), described(make(tmp_path)))


def test_region_says_that_a_file_is_missing(raster: Raster, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="cannot be read: No such file"):
        region_of(tmp_path / "missing.geojson", raster)


def test_region_says_that_a_file_is_no_json(raster: Raster, tmp_path: Path) -> None:
    path = tmp_path / "area.geojson"
    path.write_text("{")
    with pytest.raises(ArgumentError, match="is no GeoJSON"):
        region_of(path, raster)


def test_region_facts_tell_polygons_apart(raster: Raster) -> None:
    squares = [region_of(box(raster, 10, 10, 20, end), raster) for end in (20, 20, 19.9)]
    facts = [square.facts() for square in squares]
    assert facts[0] == facts[1] != facts[2]
    assert region_of((1, 2, 3, 4), raster).facts() == "1,2,3,4"
