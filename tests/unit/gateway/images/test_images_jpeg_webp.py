"""JPEG and WebP files: what the corpus does not ask for, attributes and what belongs to further pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from corpus import webp_writer
from PIL import Image
from unit.gateway.images.files import SIZE, camera_exif, profile_of, read, refusal, samples, saved, srgb_profile

from hndsr_gateway.images import exif

PIXELS = samples(*SIZE, 3)
EOI = b"\xff\xd9"


def pillow_pixels(encoded: bytes) -> np.ndarray:
    """A file as everybody else decodes it."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=str
)
def test_jpeg_is_decoded_as_pillow_does(options: dict[str, object]) -> None:
    encoded = saved(PIXELS, "JPEG", **options)
    np.testing.assert_array_equal(read(encoded).raster.pixels, pillow_pixels(encoded))


def test_jpeg_of_one_band_says_that_it_is_grey() -> None:
    assert read(saved(PIXELS[..., 0], "JPEG")).grey


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_lossy_file_keeps_its_colour_profile(file_format: str) -> None:
    assert read(saved(PIXELS, file_format, icc_profile=srgb_profile())).attributes.icc == srgb_profile()


def test_jpeg_puts_a_profile_together_from_its_pieces() -> None:
    profile = profile_of(b"RGB ", 150_000)
    assert read(saved(PIXELS, "JPEG", icc_profile=profile)).attributes.icc == profile


def test_jpeg_of_grey_drops_a_profile_for_rgb() -> None:
    assert read(saved(PIXELS[..., 0], "JPEG", icc_profile=srgb_profile())).attributes.icc == b""


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG"])
def test_file_keeps_what_stays_true_of_its_exif(file_format: str) -> None:
    encoded = saved(PIXELS, file_format, exif=camera_exif())
    assert read(encoded).attributes.exif == exif.kept(camera_exif())


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_file_with_a_broken_exif_is_read_without_it(file_format: str) -> None:
    broken = b"Exif\0\0II*\0\xff\xff\0\0" if file_format != "TIFF" else b""
    assert read(saved(PIXELS, file_format, **({"exif": broken} if broken else {}))).attributes.exif == b""


def test_jpeg_with_a_second_picture_behind_it_is_the_first() -> None:
    first, second = Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())
    encoded = saved(first, "MPO", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read(encoded).raster.pixels, pillow_pixels(encoded))


def test_jpeg_with_stray_bytes_before_its_end_is_read() -> None:
    encoded = saved(PIXELS, "JPEG")
    assert read(encoded.removesuffix(EOI) + b"stray" + EOI).raster.height == SIZE[0]


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}], ids=["plain", "restarts"])
def test_jpeg_is_refused_when_its_scan_is_cut_and_closed_again(options: dict[str, int]) -> None:
    encoded = saved(PIXELS, "JPEG", **options)
    assert refusal(encoded[: len(encoded) * 3 // 4] + EOI).reason == "IMAGE_DAMAGED"


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_lossy_file_is_refused_wherever_it_is_cut(file_format: str) -> None:
    encoded = saved(PIXELS, file_format)
    assert {refusal(encoded[:length]).reason for length in range(12, len(encoded))} == {"IMAGE_DAMAGED"}


def test_webp_without_loss_is_decoded_to_its_samples() -> None:
    made = samples(*SIZE, 4)
    decoded = read(saved(made, "WEBP", lossless=True, exact=True))
    np.testing.assert_array_equal(np.dstack([decoded.raster.pixels, decoded.alpha]), made)


def test_webp_of_several_frames_is_refused_by_name() -> None:
    encoded = saved(PIXELS, "WEBP", save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert "the WebP file is animated" in str(refusal(encoded))


def test_webp_that_says_two_sizes_is_refused() -> None:
    frame = webp_writer.chunks(saved(PIXELS, "WEBP", lossless=True))[-1]
    assert refusal(webp_writer.riff(webp_writer.extended((SIZE[0] + 1, SIZE[1])), frame)).reason == "IMAGE_DAMAGED"
