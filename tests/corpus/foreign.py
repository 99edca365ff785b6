"""Files of other kinds, whatever their name may have said, and what some readers would make of them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from corpus.case import DAMAGED, EMPTY, SIZE, UNSUPPORTED, Case, constant, noise, refused
from PIL import Image

PICTURE = noise((*SIZE, 3))


def cases() -> Iterator[Case]:
    """All of them."""
    yield refused("foreign/nothing", constant(b""), EMPTY)
    for name, (content, named) in {**_written(), **_pictures()}.items():
        yield refused(f"foreign/{name}", constant(content), UNSUPPORTED, named=named)
    for name, content in {**_documents(), **_instructions(), **_anything()}.items():
        yield refused(f"foreign/{name}", constant(content), UNSUPPORTED)
    for name, magic in {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "tiff": b"II*\0"}.items():
        yield refused(f"foreign/{name}-signature-alone", constant(magic), DAMAGED, UNSUPPORTED)
        yield refused(f"foreign/{name}-signature-and-zeros", constant(magic + bytes(5000)), DAMAGED, UNSUPPORTED)
        yield refused(
            f"foreign/{name}-signature-and-noise", constant(magic + noise((5000,)).tobytes()), DAMAGED, UNSUPPORTED
        )


def _written() -> dict[str, tuple[bytes, str]]:
    """What Pillow writes, with the name that the refusal says."""
    named = {
        "GIF": "GIF",
        "BMP": "BMP",
        "JPEG2000": "JPEG 2000",
        "AVIF": "AVIF",
        "ICO": "icon",
        "PPM": "Netpbm",
        "PDF": "PDF",
    }
    named |= {"QOI": "QOI", "EPS": "PostScript", "TGA": "", "DDS": "", "ICNS": "", "PCX": "", "SGI": "", "MSP": ""}
    return {name.lower(): (_saved(name), said) for name, said in named.items()}


def _saved(kind: str) -> bytes:
    target, image = io.BytesIO(), Image.fromarray(np.kron(PICTURE, np.ones((4, 4, 1), np.uint8)))
    image = image.convert("1") if kind == "MSP" else image.resize((32, 32)) if kind in {"ICO", "ICNS"} else image
    image.save(target, format=kind)
    return target.getvalue()


def _pictures() -> dict[str, tuple[bytes, str]]:
    """What other programs write, as far as anybody looks."""
    box = struct.pack(">I", 24)
    return {
        "heic": (box + b"ftypheic" + bytes(100), "HEIF"),
        "heif": (box + b"ftypmif1" + bytes(100), "HEIF"),
        "jpeg-2000-codestream": (b"\xff\x4f\xff\x51" + bytes(100), "JPEG 2000"),
        "jpeg-xl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL"),
        "jpeg-xl-codestream": (b"\xff\x0a" + bytes(100), "JPEG XL"),
        "jpeg-xr": (b"II\xbc\x01" + bytes(100), ""),
        "open-exr": (b"v/1\x01" + bytes(100), "EXR"),
        "radiance": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n", "HDR"),
        "photoshop": (b"8BPS\0\x01" + bytes(100), "Photoshop"),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        "svg-behind-a-declaration": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        "mng": (b"\x8aMNG\r\n\x1a\n" + bytes(100), ""),
        "fits": (b"SIMPLE  =                    T".ljust(2880), ""),
        "nitf": (b"NITF02.10" + bytes(400), ""),
        "hdf-5": (b"\x89HDF\r\n\x1a\n" + bytes(100), ""),
        "netcdf": (b"CDF\x01" + bytes(100), ""),
        "grib": (b"GRIB" + bytes(100), ""),
        "dicom": (bytes(128) + b"DICM" + bytes(100), ""),
        "mp4": (box + b"ftypisom" + bytes(100), ""),
        "float-map": (b"PF\n1 1\n-1.0\n" + bytes(12), ""),
    }


def _documents() -> dict[str, bytes]:
    archive = io.BytesIO()
    np.savez(archive, PICTURE)
    array = io.BytesIO()
    np.save(array, PICTURE)
    return {
        "text": b"This is no picture.\n",
        "text-of-one-byte": b"x",
        "json": b'{"type": "FeatureCollection"}',
        "html": b"<!doctype html><title>404 Not Found</title>",
        "csv": b"x,y,z\n1,2,3\n",
        "elf": b"\x7fELF\x02\x01\x01" + bytes(100),
        "windows-program": b"MZ" + bytes(100),
        "script": b"#!/bin/sh\nexit 1\n",
        "zip": archive.getvalue(),
        "gzip": b"\x1f\x8b\x08" + bytes(7) + zlib.compress(PICTURE.tobytes())[2:-4],
        "numpy-array": array.getvalue(),
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "shell-in-postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(%pipe%true) (w) file\n",
        "xbm": b"#define x_width 8\n#define x_height 1\nstatic char x_bits[] = { 0xff };\n",
        "xpm": b'/* XPM */\nstatic char *x[] = {"1 1 1 1", "a c #ff0000", "a"};\n',
    }


def _instructions() -> dict[str, bytes]:
    """What GDAL would follow to other files and machines."""
    source = '<SourceFilename relativeToVRT="0">{}</SourceFilename>'
    band = '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>{}'
    tail = "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    places = {"file": "/etc/passwd", "net": "/vsicurl/http://127.0.0.1:9/x.tif", "itself": "/vsimem/x.tif"}
    vrt = {f"gdal-vrt-of-{name}": (band.format(source.format(place)) + tail).encode() for name, place in places.items()}
    python = (
        '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1" subClass='
        '"VRTDerivedRasterBand"><PixelFunctionLanguage>Python</PixelFunctionLanguage></VRTRasterBand></VRTDataset>'
    )
    return {
        **vrt,
        "gdal-vrt-of-python": python.encode(),
        "gdal-wms": b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>',
        "path": b"/etc/passwd",
        "address": b"http://127.0.0.1:9/picture.png",
        "gdal-name": b"GTIFF_DIR:1:/etc/passwd",
        "magick-script": b"push graphic-context\nfill 'url(https://127.0.0.1/x.jpg\"|true\")'\npop graphic-context\n",
        "xml-that-grows": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>',
    }


def _anything() -> dict[str, bytes]:
    behind = io.BytesIO()
    Image.fromarray(PICTURE).save(behind, format="PNG")
    png = behind.getvalue()
    return {
        "zero": b"\0",
        "zeros": bytes(10_000),
        "ones": b"\xff" * 10_000,
        "noise": noise((10_000,), seed=5).tobytes(),
        "raw-pixels": PICTURE.tobytes(),
        "png-behind-a-space": b" " + png,
        "png-behind-a-byte-order-mark": b"\xef\xbb\xbf" + png,
        "png-in-base-64-address": b"data:image/png;base64,iVBORw0KGgo=",
        "png-read-as-text": png.decode("latin-1").encode("utf-8"),
        "png-backwards": png[::-1],
    }
