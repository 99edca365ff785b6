"""TIFF files as GDAL writes them: its compressions, overviews, masks and georeferences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
import rasterio
from corpus.case import DAMAGED, TIFF, UNSUPPORTED, Accepted, Case, constant, noise, refused, smooth
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.transform import Affine

RGB_8, RGB_16, PICTURE = noise((70, 90, 3)), noise((70, 90, 3), 16), smooth((64, 80))
NORTH_UP = Affine(0.3, 0, 500_000, 0, -0.3, 5_400_000)
ROTATED = Affine(0.26, 0.15, 500_000, 0.15, -0.26, 5_400_000)


def written(pixels: np.ndarray, **profile: object) -> bytes:
    """An array of (height, width, bands) as GDAL writes it."""
    height, width, bands = pixels.shape
    shape = {"height": height, "width": width, "count": bands, "dtype": pixels.dtype}
    with warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open(driver="GTiff", **{**shape, **profile}) as dataset:
            dataset.write(np.moveaxis(pixels, -1, 0))
        return bytes(file.read())


def cases() -> Iterator[Case]:
    """All of them."""
    for name, make, expected in [*_compressions(), *_places()]:
        yield Case(f"gdal/{name}", make, expected)
    yield Case("gdal/mask", _masked, Accepted(RGB_8, TIFF, mask=_MASK))
    yield Case("gdal/overviews", _with_overviews, Accepted(PICTURE, TIFF))
    floats = noise((9, 9, 3)).astype(np.float32)
    for dtype in ("float32", "float64", "int8", "int16", "int32", "uint32", "uint64", "complex64", "complex_int16"):
        pixels = floats if dtype == "complex_int16" else floats.astype(dtype)
        make = partial(written, pixels, dtype=dtype)
        yield refused(f"gdal/{dtype}", make, UNSUPPORTED)
    for bands in (5, 12, 200):
        yield refused(f"gdal/{bands}-bands", partial(written, noise((9, 9, bands))), UNSUPPORTED)
    for bands in (2, 4):
        make = partial(written, noise((9, 9, bands)), photometric="MINISBLACK", alpha="NO")
        yield refused(f"gdal/{bands}-bands-without-alpha", make, UNSUPPORTED)
    for percent in (5, 30, 60, 90, 99):
        yield refused(f"gdal/cog-at-{percent}-percent", partial(_part, percent))
    lossy = written(PICTURE, compress="JPEG", photometric="YCBCR", tiled=True, blockxsize=64, blockysize=64)
    frame = lossy.index(b"\xff\xc0")
    for name, size in {"65500x65500": b"\xff\xdc\xff\xdc", "0x0": bytes(4), "16x16": b"\0\x10\0\x10"}.items():
        content = lossy[: frame + 5] + size + lossy[frame + 9 :]
        yield refused(f"gdal/jpeg-tile-of-{name}", constant(content), DAMAGED, "DECOMPRESSION_BOMB")


def _compressions() -> Iterator[tuple[str, partial[bytes], Accepted]]:
    lossless = ("none", "lzw", "deflate", "packbits", "zstd", "lzma")
    for compress in lossless:
        for name, pixels in {"uint8": RGB_8, "uint16": RGB_16}.items():
            make = partial(written, pixels, compress=compress, tiled=True, blockxsize=32, blockysize=16)
            yield f"{compress}-{name}", make, Accepted(pixels, TIFF)
        if compress in {"lzw", "deflate", "zstd"}:
            make = partial(written, RGB_16, compress=compress, predictor=2, interleave="band")
            yield f"{compress}-predicted-planar", make, Accepted(RGB_16, TIFF)
    yield "bigtiff", partial(written, RGB_8, bigtiff="YES"), Accepted(RGB_8, TIFF)
    yield "big-endian", partial(written, RGB_16, endianness="BIG", compress="lzw"), Accepted(RGB_16, TIFF)
    for photometric in ("RGB", "YCBCR"):
        make = partial(written, PICTURE, compress="JPEG", jpeg_quality=95, photometric=photometric)
        yield f"jpeg-{photometric.lower()}", make, Accepted(PICTURE, TIFF, tolerance=14)


def _places() -> Iterator[tuple[str, partial[bytes], Accepted]]:
    places = {"north-up": NORTH_UP, "rotated": ROTATED}
    for name, transform in places.items():
        yield name, partial(written, RGB_16, crs="EPSG:32632", transform=transform), Accepted(RGB_16, TIFF)
    valid = (RGB_8 != 0).any(axis=-1)
    pixels = np.where(valid[..., None], RGB_8, 0)
    pixels[5:9, 5:60] = 0
    expected = Accepted(pixels, TIFF, mask=(pixels != 0).any(axis=-1))
    yield "nodata", partial(written, pixels, nodata=0, crs="EPSG:4326", transform=NORTH_UP), expected
    alpha = noise((70, 90, 4))
    alpha[10:30, 20:40, 3] = 0
    make = partial(written, alpha, photometric="RGB", alpha="YES", compress="deflate")
    yield "alpha", make, Accepted(alpha[..., :3], TIFF, alpha[..., 3])


_MASK = noise((70, 90), 1) == 1


def _masked() -> bytes:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open(driver="GTiff", height=70, width=90, count=3, dtype="uint8") as dataset:
            dataset.write(np.moveaxis(RGB_8, -1, 0))
            dataset.write_mask(_MASK)
        return bytes(file.read())


def _with_overviews() -> bytes:
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    with warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open(driver="GTiff", height=64, width=80, count=3, dtype="uint8", **tiles) as dataset:
            dataset.write(np.moveaxis(PICTURE, -1, 0))
            dataset.build_overviews([2, 4])
        return bytes(file.read())


def _part(percent: int) -> bytes:
    """A file whose directories come first, cut."""
    content = written(RGB_16, compress="deflate", tiled=True, blockxsize=16, blockysize=16, crs="EPSG:32632")
    return content[: len(content) * percent // 100]
