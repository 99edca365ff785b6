"""Pictures become files that say the same, and what a format cannot hold is refused."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.io import MemoryFile
from unit.gateway.images.files import NORTH_UP, ROTATED, difference, on_the_ground, picture, profile_of, read

from hndsr_gateway.errors import InvalidRequestError
from hndsr_gateway.images.encode import check_encoding, encode
from hndsr_gateway.images.picture import Encoding, ImageFormat, Picture
from hndsr_gateway.types import Raster

PNG, JPEG, WEBP, TIFF = ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.TIFF
BYTES = np.dtype(np.uint8)


def placed(source: Picture, terms: tuple[float, float, float, float, float, float] = NORTH_UP, **place: str) -> Picture:
    """A picture on the ground."""
    return replace(source, attributes=replace(source.attributes, georeference=on_the_ground(terms, **place)))


@pytest.mark.parametrize("image_format", [PNG, TIFF])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
@pytest.mark.parametrize("transparent", [False, True], ids=["opaque", "alpha"])
def test_encode_without_loss_is_undone_by_decode(
    image_format: ImageFormat, dtype: str, *, grey: bool, transparent: bool
) -> None:
    made = picture(dtype=dtype, grey=grey, transparent=transparent)
    assert difference(read(encode(made, Encoding(image_format))), made) == ""


@pytest.mark.parametrize("transparent", [False, True], ids=["opaque", "alpha"])
def test_encode_to_webp_is_undone_by_decode(*, transparent: bool) -> None:
    made = picture(transparent=transparent)
    assert difference(read(encode(made, Encoding(WEBP))), made) == ""


@pytest.mark.parametrize("terms", [NORTH_UP, ROTATED, (0.1, 0, 9, 0, 0.1, 47)], ids=["north-up", "rotated", "south-up"])
def test_encode_to_tiff_keeps_the_place(terms: tuple[float, float, float, float, float, float]) -> None:
    made = placed(picture(), terms)
    assert difference(read(encode(made, Encoding(TIFF))), made) == ""


def test_encode_to_tiff_keeps_a_transform_without_a_coordinate_system() -> None:
    made = placed(picture(), wkt="")
    assert difference(read(encode(made, Encoding(TIFF))), made) == ""


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_encode_to_tiff_of_a_large_picture_is_tiled_and_undone(dtype: str) -> None:
    made = picture(dtype=dtype, transparent=True, size=(40, 2100))
    encoded = encode(made, Encoding(TIFF))
    with MemoryFile(encoded) as file, rasterio.Env(), file_opened(file) as dataset:
        assert (dataset.block_shapes[0], difference(read(encoded), made)) == ((512, 512), "")


def file_opened(file: MemoryFile) -> rasterio.DatasetReader:
    """A file of no place, as GDAL warns."""
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        return file.open(driver="GTiff")


@pytest.mark.parametrize("image_format", ImageFormat)
def test_encode_of_grey_is_one_band_where_the_format_has_such(image_format: ImageFormat) -> None:
    with Image.open(io.BytesIO(encode(picture(grey=True), Encoding(image_format)))) as image:
        assert image.mode == ("RGB" if image_format is WEBP else "L")


@pytest.mark.parametrize("image_format", ImageFormat)
def test_encode_keeps_profile_and_exif_where_pillow_finds_them(image_format: ImageFormat) -> None:
    made = picture()
    with Image.open(io.BytesIO(encode(made, Encoding(image_format)))) as image:
        assert (image.info["icc_profile"], image.getexif()[0x010F]) == (made.attributes.icc, "Maker")


def test_encode_to_webp_drops_a_profile_for_grey() -> None:
    assert read(encode(picture(grey=True), Encoding(WEBP))).attributes.icc == b""


@pytest.mark.parametrize("image_format", [PNG, WEBP, TIFF])
def test_encode_of_a_mask_is_alpha(image_format: ImageFormat) -> None:
    source = picture()
    mask = source.raster.pixels[..., 0] > 99
    decoded = read(encode(replace(source, raster=Raster(source.raster.pixels, mask)), Encoding(image_format)))
    np.testing.assert_array_equal(decoded.alpha, np.where(mask, 255, 0))


def test_encode_of_a_mask_over_alpha_is_zero_where_either_says_so() -> None:
    source = picture(transparent=True)
    mask = source.raster.pixels[..., 0] > 99
    decoded = read(encode(replace(source, raster=Raster(source.raster.pixels, mask)), Encoding(PNG)))
    np.testing.assert_array_equal(decoded.alpha, np.where(mask, source.alpha, 0))


@pytest.mark.parametrize("image_format", ImageFormat)
def test_encode_makes_the_same_bytes_again(image_format: ImageFormat) -> None:
    assert encode(placed(picture()), Encoding(image_format)) == encode(placed(picture()), Encoding(image_format))


@pytest.mark.parametrize("image_format", [JPEG, WEBP])
def test_encode_of_less_quality_is_smaller(image_format: ImageFormat) -> None:
    low, high = (encode(picture(), Encoding(image_format, quality=quality)) for quality in (5, 95))
    assert len(low) < len(high)


def test_encode_to_jpeg_is_of_quality_95_unless_asked() -> None:
    assert encode(picture(), Encoding(JPEG)) == encode(picture(), Encoding(JPEG, quality=95))


def test_encode_to_lossy_webp_is_of_quality_95_unless_asked() -> None:
    assert encode(picture(), Encoding(WEBP, lossless=False)) == encode(picture(), Encoding(WEBP, quality=95))


def test_encode_to_jpeg_keeps_every_pixels_colour() -> None:
    with Image.open(io.BytesIO(encode(picture(), Encoding(JPEG)))) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_encode_keeps_a_profile_that_takes_several_segments() -> None:
    source = picture()
    made = replace(source, attributes=replace(source.attributes, icc=profile_of(b"RGB ", 150_000)))
    assert read(encode(made, Encoding(JPEG))).attributes.icc == made.attributes.icc


def check(encoding: Encoding, *, dtype: np.dtype = BYTES, masked: bool = False, height: int = 10) -> None:
    check_encoding(encoding, dtype=dtype, masked=masked, size=(height, 10))


@pytest.mark.parametrize(
    "encoding",
    [
        *map(Encoding, ImageFormat),
        *(Encoding(one, quality=quality) for one in (JPEG, WEBP) for quality in (1, 100)),
        *(Encoding(one, lossless=True) for one in (PNG, WEBP, TIFF)),
        *(Encoding(one, lossless=False, quality=50) for one in (JPEG, WEBP)),
    ],
    ids=str,
)
def test_check_encoding_takes_what_formats_hold(encoding: Encoding) -> None:
    check(encoding)


@pytest.mark.parametrize(
    ("encoding", "field"),
    [
        (Encoding(PNG, quality=90), "encoding.quality"),
        (Encoding(TIFF, quality=90), "encoding.quality"),
        (Encoding(PNG, lossless=False), "encoding.lossless"),
        (Encoding(TIFF, lossless=False), "encoding.lossless"),
        (Encoding(JPEG, lossless=True), "encoding.lossless"),
        (Encoding(WEBP, lossless=True, quality=90), "encoding.lossless"),
        (Encoding(JPEG, quality=0), "encoding.quality"),
        (Encoding(WEBP, quality=101), "encoding.quality"),
    ],
    ids=str,
)
def test_check_encoding_refuses_options_that_a_format_does_not_have(encoding: Encoding, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check(encoding)
    assert refused.value.field == field


@pytest.mark.parametrize("image_format", [JPEG, WEBP])
def test_check_encoding_refuses_16_bits_where_a_format_holds_8(image_format: ImageFormat) -> None:
    with pytest.raises(InvalidRequestError, match="16 bits"):
        check(Encoding(image_format), dtype=np.dtype(np.uint16))


def test_check_encoding_refuses_a_mask_for_jpeg() -> None:
    with pytest.raises(InvalidRequestError, match="transparent or invalid"):
        check(Encoding(JPEG), masked=True)


@pytest.mark.parametrize(("image_format", "limit"), [(JPEG, 65_500), (WEBP, 16_383)])
def test_check_encoding_refuses_a_side_over_the_formats_limit(image_format: ImageFormat, limit: int) -> None:
    check(Encoding(image_format), height=limit)
    with pytest.raises(InvalidRequestError, match=f"{limit:,} px"):
        check(Encoding(image_format), height=limit + 1)


def test_encode_to_jpeg_leaves_out_alpha_that_hides_nothing() -> None:
    source = picture()
    opaque = replace(source, alpha=np.full(source.raster.pixels.shape[:2], 255, np.uint8))
    assert encode(opaque, Encoding(JPEG)) == encode(source, Encoding(JPEG))


def test_encode_fails_rather_than_lose_alpha_that_hides_something() -> None:
    with pytest.raises(OSError, match="RGBA"):
        encode(picture(transparent=True), Encoding(JPEG))
