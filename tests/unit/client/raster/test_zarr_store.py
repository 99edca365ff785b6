"""Targets in zarr, as xarray, rioxarray and zarr itself read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  gives arrays their places
import xarray
from rasterio.crs import CRS
from unit.client.raster.composed import (
    CUSTOM,
    LONGITUDE_LATITUDE,
    POINTS,
    ROTATED,
    SIZE_PX,
    UTM,
    composed,
    raster_of,
    samples,
)

from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.description import Band, Georeference
from hndsr_client._raster.zarr_store import ZarrRaster, sync_all

STRAIGHT = (0.5, 0.0, 1.25, 0.0, -0.25, 2.5)
ZARR = RasterTarget("scene.zarr", block_px=128)
WHOLE = slice(0, SIZE_PX[0]), slice(0, SIZE_PX[1])


def _opened(path: Path, **how: Any) -> xarray.Dataset:
    return xarray.open_zarr(path, consolidated=True, chunks=None, **how)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("compress", ["deflate", "zstd", "none"])
def test_zarr_keeps_samples(tmp_path: Path, dtype: str, compress: Any) -> None:
    pixels = samples(dtype=dtype)
    target = RasterTarget("scene.zarr", compress=compress, block_px=128)
    dataset = _opened(composed(tmp_path, pixels, raster_of(pixels), target))
    assert dataset.raster.dtype == dtype
    np.testing.assert_array_equal(dataset.raster.values, pixels.transpose(2, 0, 1))


# rioxarray's own way with the transform of straight rasters.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("crs", [UTM, CUSTOM], ids=["utm", "custom"])
@pytest.mark.parametrize("transform", [ROTATED, STRAIGHT], ids=["rotated", "straight"])
def test_zarr_keeps_the_place(tmp_path: Path, crs: str, transform: Any) -> None:
    pixels = samples()
    raster = raster_of(pixels, georeference=Georeference(crs, transform))
    array = _opened(composed(tmp_path, pixels, raster, ZARR)).raster
    assert CRS.from_wkt(array.rio.crs.to_wkt()) == CRS.from_wkt(crs)
    np.testing.assert_array_equal(array.rio.transform()[:6], transform)


PLACED = pytest.mark.parametrize("crs", [UTM, CUSTOM, LONGITUDE_LATITUDE], ids=["utm", "custom", "degrees"])


def _of_gdal(part: Path) -> str:
    return f'ZARR:"{part}":/raster'


@PLACED
@pytest.mark.parametrize("validity", ["all", "mask"])
def test_zarr_is_read_by_gdal_with_its_place(tmp_path: Path, crs: str, validity: Any) -> None:
    pixels, mask = samples(), np.full(SIZE_PX, 255, np.uint8)
    raster = raster_of(pixels, georeference=Georeference(crs, STRAIGHT), validity=validity)
    part = composed(tmp_path, pixels, raster, ZARR, mask if validity == "mask" else None)
    with rasterio.open(_of_gdal(part)) as dataset:
        assert dataset.crs == CRS.from_wkt(crs)
        assert dataset.transform[:6] == STRAIGHT
        np.testing.assert_array_equal(dataset.read(), pixels.transpose(2, 0, 1))


def test_zarr_without_a_mask_is_read_by_gdal_by_its_name(tmp_path: Path) -> None:
    pixels = samples()
    raster = raster_of(pixels, georeference=Georeference(UTM, STRAIGHT))
    with rasterio.open(composed(tmp_path, pixels, raster, ZARR)) as dataset:
        assert (dataset.crs, dataset.count) == (CRS.from_wkt(UTM), 3)


def test_zarr_has_coordinates_of_pixel_centres(tmp_path: Path) -> None:
    pixels = samples()
    raster = raster_of(pixels, georeference=Georeference(UTM, (0.5, 0, 100, 0, -0.25, 50)))
    array = _opened(composed(tmp_path, pixels, raster, ZARR)).raster
    assert (float(array.x[0]), float(array.x[-1])) == (100.25, 100 + 0.5 * 300.5)
    assert (float(array.y[0]), float(array.y[-1])) == (49.875, 50 - 0.25 * 199.5)


def test_zarr_keeps_ground_control_points(tmp_path: Path) -> None:
    pixels = samples()
    array = _opened(composed(tmp_path, pixels, raster_of(pixels, georeference=Georeference(UTM, points=POINTS)), ZARR))
    kept = array.raster.rio.get_gcps()
    assert [(one.row, one.col, one.x, one.y, one.z, one.id, one.info) for one in kept] == [
        (one.row_px, one.column_px, one.x, one.y, one.z, one.id, one.info) for one in POINTS
    ]


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0.0), ("float32", float("nan"))])
def test_zarr_keeps_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    pixels = samples(dtype=dtype)
    pixels[:140, :150] = nodata
    part = composed(tmp_path, pixels, raster_of(pixels, nodata=nodata, validity="nodata"), ZARR)
    np.testing.assert_equal(float(_opened(part, mask_and_scale=False).raster.rio.nodata), nodata)
    assert bool(np.isnan(_opened(part).raster.values[:, :140, :150]).all())


def test_zarr_keeps_a_mask(tmp_path: Path) -> None:
    pixels, mask = samples(), np.full(SIZE_PX, 255, np.uint8)
    mask[10:90, 20:70] = 0
    dataset = _opened(composed(tmp_path, pixels, raster_of(pixels, validity="mask"), ZARR, mask))
    np.testing.assert_array_equal(dataset.mask.values, mask)
    assert dataset.mask.attrs["flag_meanings"] == "invalid valid"


def test_zarr_keeps_alpha_as_its_mask(tmp_path: Path) -> None:
    pixels = samples(bands=4)
    pixels[..., 3] = 65535
    pixels[:20, :30, 3] = 0
    part = composed(tmp_path, pixels, raster_of(pixels, validity="alpha"), ZARR)
    np.testing.assert_array_equal(_opened(part).mask.values, np.where(pixels[..., 3], 255, 0))
    np.testing.assert_array_equal(ZarrRaster(part).read((1, 2, 3, 4), WHOLE), pixels)


def test_zarr_keeps_what_is_said(tmp_path: Path) -> None:
    pixels = samples(bands=2)
    bands = tuple(Band("uint16", None, "nir", name, "W", 0.1, -1.0, {"k": name}) for name in ("a", "b"))
    raster = raster_of(pixels, bands=bands, tags={"made": "2020"}, domains={"IMAGERY": {"SATELLITEID": "X"}})
    dataset = _opened(composed(tmp_path, pixels, raster, ZARR), mask_and_scale=False)
    assert dataset.attrs["made"] == "2020"
    assert dataset.attrs["IMAGERY"] == {"SATELLITEID": "X"}
    said = dataset.raster.attrs
    assert (said["long_name"], said["units"], said["scale_factor"], said["add_offset"]) == (["a", "b"], "W", 0.1, -1.0)
    assert said["band_tags"] == [{"k": "a"}, {"k": "b"}]


# Of so many bytes a pixel more than one window is written of a row.
@pytest.mark.parametrize("size_px", [(1, 5000), (5000, 1)])
def test_zarr_keeps_narrow_rasters(tmp_path: Path, size_px: tuple[int, int]) -> None:
    pixels = samples(size_px, dtype="float64", bands=4)
    np.testing.assert_array_equal(
        _opened(composed(tmp_path, pixels, raster_of(pixels), ZARR)).raster.values, pixels.transpose(2, 0, 1)
    )


def test_zarr_is_on_the_disk_file_by_file(tmp_path: Path) -> None:
    pixels, synced = samples(), list[Path]()
    part = composed(tmp_path, pixels, raster_of(pixels), ZARR)
    sync_all(part, lambda path: synced.append(Path(path)))
    assert sorted(synced) == sorted(one for one in part.rglob("*") if one.is_file())
