"""TIFF files: masks, nodata, alpha, places on the ground, attributes, and the kinds that are not read."""

from __future__ import annotations

import numpy as np
import pytest
from corpus import tiff_writer as w
from corpus.tiff_writer import page, tiff
from PIL import Image
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from unit.gateway.images.files import (
    NORTH_UP,
    ROTATED,
    SIZE,
    camera_exif,
    geotiff,
    on_the_ground,
    read,
    refusal,
    samples,
    saved,
    srgb_profile,
)

from hndsr_gateway.images import exif
from hndsr_gateway.images import tiff as tiff_reader

RGB = samples(3, *SIZE)
PIXEL_SCALE, TIE_POINTS = 33_550, 33_922


def upright(bands: np.ndarray) -> np.ndarray:
    """Bands last."""
    return np.moveaxis(bands, 0, 2)


def test_tiff_nodata_is_what_is_it_in_every_band() -> None:
    bands = samples(3, *SIZE) % 3
    mask = read(geotiff(bands, nodata=0)).raster.mask
    np.testing.assert_array_equal(mask, (bands != 0).any(axis=0))


@pytest.mark.parametrize("nodata", [b"-9999", b"nan", b"300", b"0.5", b"nothing", b"\xff"])
def test_tiff_nodata_that_no_sample_can_be_is_no_mask(nodata: bytes) -> None:
    encoded = tiff(page(upright(RGB), entries={w.GDAL_NODATA: (w.ASCII, nodata + b"\0")}))
    assert read(encoded).raster.mask is None


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_with_alpha_multiplied_in_is_divided_by_it(dtype: str) -> None:
    limit = np.iinfo(dtype).max
    stored = np.array([[[limit, limit // 2, 0, limit], [limit // 2, limit // 4, 0, limit // 2], [9, 9, 9, 0]]], dtype)
    encoded = tiff(page(stored, entries={w.EXTRA: (w.SHORT, [w.ASSOCIATED])}))
    expected = np.array([[limit, limit // 2, 0], [limit, limit / 2, 0], [0, 0, 0]])
    np.testing.assert_allclose(read(encoded).raster.pixels[0], expected, atol=2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [2, 4])
def test_tiff_keeps_alpha_and_what_is_behind_it(dtype: str, bands: int) -> None:
    made = samples(*SIZE, bands, dtype=dtype)
    decoded = read(tiff(page(made)))
    colours = decoded.raster.pixels[..., : bands - 1]
    np.testing.assert_array_equal(np.dstack([colours, decoded.alpha]), made)


def test_tiff_alpha_is_not_read_again_as_a_mask() -> None:
    assert tiff_reader.read(tiff(page(samples(*SIZE, 4)))).valid is None


@pytest.mark.parametrize("terms", [NORTH_UP, ROTATED], ids=["north-up", "rotated"])
def test_tiff_keeps_its_place(terms: tuple[float, float, float, float, float, float]) -> None:
    assert read(geotiff(RGB, transform=Affine(*terms))).attributes.georeference == on_the_ground(terms)


def test_tiff_names_the_coordinate_system_that_the_file_does() -> None:
    place = read(geotiff(RGB)).attributes.georeference
    assert place is not None
    assert CRS.from_wkt(place.crs_wkt) == CRS.from_epsg(32633)


@pytest.mark.parametrize(("orientation", "terms"), [(1, (0.5, 0, 7, 0, -0.5, 9)), (6, None)], ids=["upright", "turned"])
def test_tiff_keeps_its_place_only_when_it_is_upright(orientation: int, terms: tuple[float, ...] | None) -> None:
    entries = {
        w.ORIENTATION: (w.SHORT, [orientation]),
        PIXEL_SCALE: (w.DOUBLE, [0.5, 0.5, 0.0]),
        TIE_POINTS: (w.DOUBLE, [0.0, 0.0, 0.0, 7.0, 9.0, 0.0]),
    }
    place = read(tiff(page(upright(RGB), entries=entries))).attributes.georeference
    assert (None if place is None else place.transform) == terms


def test_tiff_with_a_coordinate_system_alone_has_no_place() -> None:
    with pytest.warns(NotGeoreferencedWarning):
        encoded = geotiff(RGB, transform=Affine.identity())
    assert read(encoded).attributes.georeference is None


def test_tiff_keeps_its_colour_profile() -> None:
    assert read(saved(upright(RGB), "TIFF", icc_profile=srgb_profile())).attributes.icc == srgb_profile()


def test_tiff_keeps_what_stays_true_of_its_tags() -> None:
    tags, found = Image.Exif(), Image.Exif()
    tags.load(exif.kept(camera_exif()))
    found.load(read(saved(upright(RGB), "TIFF", exif=tags)).attributes.exif)
    assert [found[0x0110], found.get_ifd(0x8769), found.get_ifd(0x8825)] == [
        *(tags[0x0110], tags.get_ifd(0x8769), tags.get_ifd(0x8825)),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_tiff_tags_are_kept_in_their_byte_order(order: str, *, big: bool) -> None:
    encoded = tiff(
        page(upright(RGB), order=order, entries={w.DESCRIPTION: (w.ASCII, b"a field\0")}), order=order, big=big
    )
    block = read(encoded).attributes.exif
    assert (exif.parse(block).order, exif.parse(block).main[w.DESCRIPTION].value) == (order, b"a field\0")


@pytest.mark.parametrize("compress", ["none", "lzw", "deflate", "packbits", "zstd", "jpeg", "webp"])
@pytest.mark.parametrize("tiled", [False, True], ids=["strips", "tiles"])
def test_tiff_is_refused_wherever_it_is_cut(compress: str, *, tiled: bool) -> None:
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    encoded = geotiff(RGB, compress=compress, **layout)
    cuts = range(4, len(encoded), max(1, len(encoded) // 200))
    assert {refusal(encoded[:length]).reason for length in cuts} == {"IMAGE_DAMAGED"}


@pytest.mark.parametrize(
    ("encoded", "named"),
    [
        (geotiff(RGB[:1].astype("float32")), "32-bit floating-point samples"),
        (geotiff(RGB[:1].astype("int16")), "16-bit signed integer samples"),
        (geotiff(RGB[:1].astype("uint32")), "32-bit unsigned integer samples"),
        (geotiff(RGB[:1].astype("complex64")), "64-bit complex samples"),
        (geotiff(RGB[:1].astype("uint16"), nbits=12), "12-bit unsigned integer samples"),
        (geotiff(samples(5, *SIZE)), "has 5 bands;"),
        (geotiff(samples(4, *SIZE), photometric="RGB", alpha="NO"), "4 bands of which none is alpha"),
        (geotiff(RGB[:2], alpha="NO"), "2 bands of which none is alpha"),
        (geotiff(RGB, photometric="CIELAB"), "CIE L*a*b* colours"),
        (saved(upright(RGB), "TIFF", save_all=True, append_images=[Image.new("L", (3, 3))]), "more than one page"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_tiff_of_another_kind_is_refused_by_name(encoded: bytes, named: str) -> None:
    assert (refusal(encoded).reason, named in str(refusal(encoded))) == ("UNSUPPORTED_FORMAT", True)


def test_tiff_with_a_tile_far_larger_than_itself_is_refused() -> None:
    side = {w.TILE_WIDTH: (w.LONG, [16_000]), w.TILE_HEIGHT: (w.LONG, [16_000])}
    assert refusal(tiff(page(upright(RGB), tile=16, lies=side))).reason == "IMAGE_DAMAGED"


@pytest.mark.parametrize(
    ("scheme", "name"), [(34_712, "JPEG 2000"), (50_002, "JPEG XL"), (6, "old-style JPEG"), (47, "the scheme 47")]
)
def test_tiff_of_a_compression_that_is_not_read_is_refused_by_its_name(scheme: int, name: str) -> None:
    lies = {w.COMPRESSION: (w.SHORT, [scheme])}
    error = refusal(tiff(page(RGB, lies=lies)))
    assert f"is compressed by {name}" in str(error)
