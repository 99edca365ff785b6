"""Rasters through the real Triton: what the target says and holds is what the source and the networks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasters
from rasterio.enums import MaskFlags
from rio_cogeo.cogeo import cog_validate

from hndsr_client import Client, RasterResult, RasterSource, verify_raster
from hndsr_gateway.server import Gateway

SCALE = Fraction(314, 100)
REAL = Path(__file__).parents[3] / "shared/data/geotiff"
FAST = {"model": "bicubic", "scale": SCALE}
Make = Callable[[Path], Path]

GENERATED: dict[str, tuple[Make, dict[str, Any]]] = {
    "rotated": (rasters.rotated, {}),
    "nodata-islands": (rasters.nodata_islands, {}),
    "nodata-islands-16-bit": (lambda folder: rasters.nodata_islands(folder, dtype="uint16"), {}),
    "uint16": (rasters.uint16, {}),
    "int16": (rasters.int16, {}),
    "float32-nan": (rasters.float32_nan, {}),
    "four-bands": (rasters.naip, {"bands": [(4, 3, 2)]}),
    "planar": (rasters.planar, {}),
    "one-row": (rasters.one_row, {}),
    "alpha": (rasters.alpha, {}),
    "mask": (rasters.internal_mask, {}),
    "custom-crs": (rasters.custom_crs, {}),
    "jpeg2000": (rasters.jpeg2000, {}),
    "virtual": (rasters.virtual, {}),
    "outliers": (rasters.outliers, {}),
    "big-tiff": (lambda folder: rasters.rgb(folder, BIGTIFF="YES"), {}),
    "region": (rasters.rgb, {"region": (3, 5, 40, 30)}),
}
SCENES: dict[str, dict[str, Any]] = {
    "hro_colorado_rgb_0p15m_nodata0.tif": {},
    "landsat_3band_uint16_nodata0_cog.tif": {"region": (0, 200, 300, 300)},
    "naip_4band_0p6m_utm.tif": {"bands": [(1, 2, 3), (4, 4, 4)]},
    "neon_rgb_0p1m_nodata255_lzw.tif": {},
    "pdok_rgb_0p25m_epsg28992_tiled_jpeg.tif": {"region": (100, 50, 301, 299)},
    "rotated_transform.tif": {},
}


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway.address, timeout_s=300) as client:
        yield client


@pytest.fixture(params=sorted(GENERATED))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> RasterSource:
    make, choices = GENERATED[request.param]
    return RasterSource(make(tmp_path), **choices)


@pytest.fixture(params=sorted(SCENES))
def scene(request: pytest.FixtureRequest) -> RasterSource:
    if not REAL.is_dir():
        pytest.skip("no real scenes beside the checkout")
    return RasterSource(REAL / request.param, **SCENES[request.param])


def test_target_is_true_of_a_generated_source(client: Client, source: RasterSource, tmp_path: Path) -> None:
    check(client, source, tmp_path)


def test_target_is_true_of_a_real_scene(client: Client, scene: RasterSource, tmp_path: Path) -> None:
    check(client, scene, tmp_path)


@pytest.mark.parametrize("options", [{"model": "bicubic"}, {"steps": 0}], ids=["bicubic", "prior"])
def test_low_pass_of_16_bits_is_that_of_the_source(client: Client, tmp_path: Path, options: dict[str, Any]) -> None:
    check_low_pass(client, RasterSource(rasters.aerial(tmp_path, size_px=(256, 256))), tmp_path, options)


def test_low_pass_of_a_real_scene_is_that_of_the_source(client: Client, tmp_path: Path) -> None:
    path = REAL / "landsat_3band_uint16_nodata0_cog.tif"
    if not path.is_file():
        pytest.skip("no real scenes beside the checkout")
    check_low_pass(client, RasterSource(path, region=(300, 300, 256, 256)), tmp_path, {"model": "bicubic"})


def check_low_pass(client: Client, source: RasterSource, folder: Path, options: dict[str, Any]) -> None:
    """The mean error of the means of squares is at most a thousandth of the value range."""
    result = client.upscale_raster(source, folder / "target.tif", scale=2, **options)
    column, row, width, height = source.region or (0, 0, 256, 256)
    assert result.ranges is not None
    with rasterio.open(source.path) as low, rasterio.open(result.path) as high:
        for band, (start, stop) in enumerate(result.ranges, 1):
            samples = low.read(band, window=((row, row + height), (column, column + width)))
            error = boxes(high.read(band).astype(np.float64), 16) - boxes(samples.astype(np.float64), 8)
            assert abs(error.mean()) <= 0.001 * (stop - start)


def check(client: Client, source: RasterSource, folder: Path) -> None:
    """Compare a target with all that can be known of it from the source alone, and from its bare samples."""
    result = client.upscale_raster(source, folder / "target.tif", **FAST)
    assert verify_raster(result.path).ok
    assert cog_validate(str(result.path), strict=True, quiet=True)[:2] == (True, [])
    with rasterio.open(source.path) as low, rasterio.open(result.path) as high:
        check_place(source, low, high)
        check_samples(client, source, low, high, result)


def check_place(source: RasterSource, low: Any, high: Any) -> None:
    column, row, width, height = source.region or (0, 0, low.width, low.height)
    assert (high.height, high.width) == tuple(int(side * SCALE + Fraction(1, 2)) or 1 for side in (height, width))
    assert high.crs == low.crs
    for x, y in ((0, 0), (high.width, 0), (0, high.height), (high.width, high.height)):
        there = low.transform @ (column + x / float(SCALE), row + y / float(SCALE))
        np.testing.assert_allclose(high.transform @ (x, y), there, rtol=1e-15, atol=1e-9)


def check_samples(client: Client, source: RasterSource, low: Any, high: Any, result: RasterResult) -> None:
    column, row, width, height = source.region or (0, 0, low.width, low.height)
    window = ((row, row + height), (column, column + width))
    first = 0
    default = [(1, 1, 1)] if low.count == 1 else [(1, 2, 3)]
    for triple in source.bands or default:
        written = list(dict.fromkeys(triple))
        samples = np.stack([low.read(band, window=window) for band in triple], axis=-1)
        valid = validity(low, samples, written, window)
        wire, back = travelling(samples, valid)
        ranges = result.ranges and [result.ranges[first + written.index(band)] for band in triple]
        bare = client.upscale_array(
            wire, mask=valid, value_ranges=ranges and travelling_ranges(ranges, samples, valid), **FAST
        )
        expected = np.ones(bare.image.shape[:2], bool) if bare.mask is None else bare.mask
        np.testing.assert_array_equal(nearest(valid, expected.shape), expected)
        for band in written:
            first += 1
            np.testing.assert_array_equal(high.read_masks(first) != 0, expected)
            wanted = back(bare.image[..., triple.index(band)], triple.index(band))
            got = high.read(first)
            if high.nodata is not None and np.isfinite(high.nodata):
                wanted = np.where(wanted == high.nodata, got, wanted)
                assert not (got[expected] == high.nodata).any()
            np.testing.assert_array_equal(got[expected], wanted[expected])


def validity(low: Any, samples: Any, written: list[int], window: Any) -> Any:
    valid = np.isfinite(samples).all(axis=-1)
    flags = low.mask_flag_enums[0]
    if MaskFlags.per_dataset in flags and not (MaskFlags.alpha in flags and low.count in written):
        valid &= low.read_masks(1, window=window) != 0
    if low.nodata is not None:
        absent = samples == low.nodata
        valid &= ~(absent.all(axis=-1) if samples.dtype == np.uint8 else absent.any(axis=-1))
    return valid


def travelling(samples: Any, valid: Any) -> tuple[Any, Callable[[Any, int], Any]]:
    """Samples as they travel, and the way back, as the guide has it."""
    if samples.dtype == np.int16:
        return (samples.astype(np.int32) + 32768).astype(np.uint16), lambda wire, _: wire.astype(np.int32) - 32768
    if samples.dtype.kind != "f":
        return samples, lambda wire, _: wire
    spans = [(samples[valid][:, band].min(), samples[valid][:, band].max()) for band in range(3)]
    low, high = (np.array(ends, np.float64) for ends in zip(*spans, strict=True))
    values = np.where(valid[..., None], samples.astype(np.float64), low)
    wire = np.floor((values - low) * 65535 / (high - low) + 0.5).astype(np.uint16)
    return wire, lambda each, band: (low[band] + each * (high - low)[band] / 65535).astype(samples.dtype)


def travelling_ranges(ranges: list[tuple[float, float]], samples: Any, valid: Any) -> list[tuple[float, float]]:
    if samples.dtype == np.int16:
        return [(low + 32768, high + 32768) for low, high in ranges]
    if samples.dtype.kind != "f":
        return ranges
    spans = [
        [Fraction(float(end)) for end in (samples[valid][:, i].min(), samples[valid][:, i].max())] for i in range(3)
    ]
    return [
        tuple(float((Fraction(end) - low) * 65535 / (high - low)) for end in ends)
        for ends, (low, high) in zip(ranges, spans, strict=True)
    ]


def nearest(valid: Any, size_px: tuple[int, int]) -> Any:
    """Which target pixels are valid: those whose nearest source pixel is."""
    sides = []
    for source_px, target_px in zip(valid.shape, size_px, strict=True):
        centres = [(2 * place + 1) * SCALE.denominator // (2 * SCALE.numerator) for place in range(target_px)]
        sides.append(np.minimum(source_px - 1, centres))
    return valid[np.ix_(*sides)]


def boxes(samples: Any, side: int) -> Any:
    """Means of squares."""
    height, width = samples.shape
    return samples.reshape(height // side, side, width // side, side).mean(axis=(1, 3))
