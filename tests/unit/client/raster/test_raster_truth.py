"""What targets say and hold of bands, masks and places, end to end: by both kinds of client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasters
from unit.client.raster.scenes import SMALL_TILES

from hndsr_client import (
    ArgumentError,
    Client,
    RasterSource,
    RasterTarget,
    verify_raster,
)


def test_raster_of_our_own_zarr_with_a_mask_says_what_to_do(client: Client, tmp_path: Path, made: Path) -> None:
    store = tmp_path / "masked.zarr"
    client.upscale_raster(rasters.internal_mask(tmp_path), store, **SMALL_TILES)
    with pytest.raises(ArgumentError, match="zarr with a mask"):
        client.upscale_raster(store, made, **SMALL_TILES)


def test_raster_has_one_mask_for_all_its_bands(client: Client, tmp_path: Path, made: Path) -> None:
    source = tmp_path / "four.tif"
    samples = rasters.pattern(4, (90, 120), "uint16")
    samples[0, :20, :20] = samples[3, -20:, -20:] = 7
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        rasters.write(source, samples)
        with rasterio.open(source, "r+") as low:
            low.write_mask(np.where(np.arange(120) < 60, np.uint8(255), np.uint8(0)) * np.ones((90, 1), np.uint8))
    result = client.upscale_raster(RasterSource(source, bands="all", nodata=7), made, **SMALL_TILES)
    with rasterio.open(made) as high:
        invalid = high.read_masks(4) == 0
        np.testing.assert_array_equal(high.read_masks(1) == 0, invalid)
    assert invalid[:80, :80].all()
    assert invalid[-80:, -80:].all()
    assert result.invalid_px == np.count_nonzero(invalid)


def test_raster_of_bands_of_which_some_have_nodata_is_made_lossy(client: Client, tmp_path: Path, made: Path) -> None:
    virtual = rasters.virtual(tmp_path)
    text = virtual.read_text().replace("<ColorInterp>Blue</ColorInterp>", "<NoDataValue>7</NoDataValue>")
    virtual.write_text(text)
    client.upscale_raster(RasterSource(virtual, bands=[(1, 2, 3)]), RasterTarget(made, compress="jpeg"), **SMALL_TILES)
    assert verify_raster(made).ok


def test_raster_keeps_ground_points_where_they_are(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.ground_points(tmp_path)
    client.upscale_raster(source, made, **SMALL_TILES)
    with rasterio.open(source) as low, rasterio.open(made) as high:
        wanted = [(4 * point.row, 4 * point.col, point.x, point.y, point.z) for point in low.gcps[0]]
        assert [(point.row, point.col, point.x, point.y, point.z) for point in high.gcps[0]] == wanted
        assert high.gcps[1] == low.gcps[1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_raster_keeps_rational_polynomials_where_they_are(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.rational_polynomial(tmp_path)
    client.upscale_raster(source, made, **SMALL_TILES)
    with rasterio.open(source) as low, rasterio.open(made) as high:
        assert high.rpcs.line_off == pytest.approx((low.rpcs.line_off + 0.5) * 4 - 0.5, abs=1e-9)
        assert high.rpcs.samp_scale == pytest.approx(low.rpcs.samp_scale * 4, abs=1e-9)
        assert high.rpcs.line_num_coeff == low.rpcs.line_num_coeff


def test_raster_keeps_what_bands_say_of_themselves(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.uint16(tmp_path, bands=4)
    with rasterio.open(source, "r+") as low:
        low.descriptions = ("blue", "green", "red", "nir")
        low.units = ("reflectance",) * 4
        low.scales = (0.0001,) * 4
        low.update_tags(4, wavelength="842", STATISTICS_MAXIMUM="9")
        low.update_tags(ACQUIRED="2026-05-01", GSD="10")
    client.upscale_raster(RasterSource(source, bands=[(4, 3, 2)]), made, **SMALL_TILES)
    with rasterio.open(made) as high:
        assert (high.descriptions, high.units[0], high.scales[0]) == (("nir", "red", "green"), "reflectance", 0.0001)
        assert high.tags(1) == {"wavelength": "842"}
        assert (high.tags()["ACQUIRED"], "GSD" in high.tags()) == ("2026-05-01", False)


def test_raster_has_the_bands_of_several_triples(client: Client, tmp_path: Path, made: Path) -> None:
    source = rasters.naip(tmp_path)
    client.upscale_raster(RasterSource(source, bands=[(4, 3, 2), (1, 1, 1)]), made, **SMALL_TILES)
    with rasterio.open(source) as low, rasterio.open(made) as high:
        for number, band in enumerate((4, 3, 2, 1), 1):
            np.testing.assert_array_equal(high.read(number), low.read(band).repeat(4, axis=0).repeat(4, axis=1))


def test_raster_calls_no_band_alpha_that_is_none(client: Client, tmp_path: Path, made: Path) -> None:
    alpha = rasters.alpha(tmp_path)
    with rasterio.open(alpha, "r+") as source:
        source.write(rasters.pattern(1, (source.height, source.width))[0], 4)
    with pytest.raises(ArgumentError, match="called alpha"):
        client.upscale_raster(alpha, made, **SMALL_TILES)
    client.upscale_raster(RasterSource(alpha, bands=[(1, 2, 3), (4, 4, 4)]), made, **SMALL_TILES)
    with rasterio.open(made) as high:
        assert (high.count, high.read_masks(1).all()) == (4, True)


def test_raster_of_floats_refuses_outliers_that_leave_too_few_steps(client: Client, tmp_path: Path, made: Path) -> None:
    source = tmp_path / "outliers.tif"
    samples = rasters.pattern(3, (90, 120), "float32")
    samples[:, 5, 5] = 1e9
    rasters.write(source, samples)
    with pytest.raises(ArgumentError, match="clip"):
        client.upscale_raster(source, made, **SMALL_TILES)
    client.upscale_raster(RasterSource(source, clip=(0, 100)), made, **SMALL_TILES)
    assert verify_raster(made).ok
