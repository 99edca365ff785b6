"""What a file is, told from its first bytes."""

from __future__ import annotations

from hndsr_gateway.errors import EmptyImageError, UnsupportedFormatError
from hndsr_gateway.images.picture import ImageFormat

READ = (
    (0, b"\x89PNG", ImageFormat.PNG),
    (0, b"\xff\xd8\xff", ImageFormat.JPEG),
    (8, b"WEBP", ImageFormat.WEBP),
    (0, b"II*\0", ImageFormat.TIFF),
    (0, b"MM\0*", ImageFormat.TIFF),
    (0, b"II+\0", ImageFormat.TIFF),
    (0, b"MM\0+", ImageFormat.TIFF),
)
"""Offset, magic bytes, format."""

NOT_READ = (
    (0, b"GIF8", "a GIF file"),
    (0, b"BM", "a BMP file"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL file"),
    (0, b"\xff\x0a", "a JPEG XL codestream"),
    (4, b"ftypavif", "an AVIF file"),
    (4, b"ftypavis", "an AVIF file"),
    (4, b"ftyphei", "a HEIF file"),
    (4, b"ftyphev", "a HEIF file"),
    (4, b"ftypmif1", "a HEIF file"),
    (4, b"ftypmsf1", "a HEIF file"),
    (4, b"ftypcrx", "a camera's raw file"),
    (4, b"ftyp", "a video file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"%!PS", "a PostScript file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"v/1\x01", "an OpenEXR file"),
    (0, b"#?RADIANCE", "a Radiance HDR file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\x8aMNG", "an MNG file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 or NetCDF-4 file"),
    (0, b"CDF\x01", "a NetCDF file"),
    (0, b"CDF\x02", "a NetCDF file"),
    (0, b"NITF", "a NITF file"),
    (0, b"GRIB", "a GRIB file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"qoif", "a QOI file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x93NUMPY", "a NumPy array"),
    *((0, b"P%d" % kind, "a Netpbm file") for kind in range(1, 8)),
)
MARKUP = (b"<?xml", b"<svg", b"<!doctype", b"<html")


def sniff(encoded: bytes) -> ImageFormat:
    """The format of a file that is read.

    Raises:
        EmptyImageError: for no bytes at all.
        UnsupportedFormatError: for anything else, named where it is known.
    """
    if not encoded:
        raise EmptyImageError
    for offset, magic, image_format in READ:
        if encoded.startswith(magic, offset):
            return image_format
    raise UnsupportedFormatError(f"the file is {_name(encoded)}")


def _name(encoded: bytes) -> str:
    """What else a file may be, with its article."""
    head = encoded[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(MARKUP):
        return "an SVG file" if b"<svg" in head else "text, not an image file"
    return next(
        (name for offset, magic, name in NOT_READ if encoded.startswith(magic, offset)), "no image file that is known"
    )
