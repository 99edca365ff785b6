"""A file's kind is told from its first bytes, and what is not read is refused by its name."""

from __future__ import annotations

import pytest
from unit.gateway.images.files import refusal, samples, saved

from hndsr_gateway.errors import EmptyImageError
from hndsr_gateway.images.decode import decode
from hndsr_gateway.images.formats import sniff
from hndsr_gateway.images.picture import ImageFormat

TINY = samples(3, 4, 3)


@pytest.mark.parametrize("image_format", ImageFormat)
def test_sniff_tells_what_is_read(image_format: ImageFormat) -> None:
    assert sniff(saved(TINY, image_format.value.upper())) is image_format


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"], ids=["II", "MM", "big-II", "big-MM"])
def test_sniff_tells_every_kind_of_tiff(head: bytes) -> None:
    assert sniff(head) is ImageFormat.TIFF


@pytest.mark.parametrize(
    ("encoded", "named"),
    [
        (saved(TINY, "GIF"), "a GIF file"),
        (saved(TINY, "BMP"), "a BMP file"),
        (saved(TINY, "JPEG2000"), "a JPEG 2000 file"),
        (saved(TINY, "JPEG2000", no_jp2=True), "a JPEG 2000 codestream"),
        (saved(TINY, "AVIF"), "an AVIF file"),
        (saved(TINY, "PDF"), "a PDF file"),
        (saved(TINY, "PPM"), "a Netpbm file"),
        (b"\0\0\0\x18ftypheic", "a HEIF file"),
        (b"\xff\x0a\0\0", "a JPEG XL codestream"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG file"),
        (b"\xef\xbb\xbf<SVG/>", "an SVG file"),
        (b"<!DOCTYPE html><p>not found", "text, not an image file"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"v/1\x01\x02\0\0\0", "an OpenEXR file"),
        (bytes(100), "no image file that is known"),
        (b"\x89", "no image file that is known"),
        (b" " + saved(TINY, "PNG"), "no image file that is known"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "no image file that is known"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_decode_refuses_other_files_by_name(encoded: bytes, named: str) -> None:
    error = refusal(encoded)
    assert (error.reason, f"the file is {named};" in str(error)) == ("UNSUPPORTED_FORMAT", True)


def test_decode_refuses_no_bytes_as_an_empty_image() -> None:
    with pytest.raises(EmptyImageError):
        decode(b"", max_px=10)


@pytest.mark.parametrize("image_format", ImageFormat)
def test_decode_refuses_a_file_of_one_pixel_over_the_limit(image_format: ImageFormat) -> None:
    assert refusal(saved(TINY, image_format.value.upper()), max_px=11).reason == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize("image_format", ImageFormat)
def test_decode_reads_a_file_of_exactly_the_limit(image_format: ImageFormat) -> None:
    assert decode(saved(TINY, image_format.value.upper()), max_px=12).format is image_format
