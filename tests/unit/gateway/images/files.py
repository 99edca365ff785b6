"""Files with attributes, and pictures to compare them by."""

from __future__ import annotations

import functools
import io

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageCms
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from hndsr_gateway.errors import InvalidRequestError
from hndsr_gateway.images.decode import decode
from hndsr_gateway.images.exif import kept
from hndsr_gateway.images.picture import Attributes, Georeference, ImageFormat, Picture
from hndsr_gateway.types import Raster

MAX_PX = 1_000_000
SIZE = (21, 34)
NORTH_UP = (0.3, 0.0, 500_000.0, 0.0, -0.3, 6_000_000.0)
ROTATED = (0.3, 0.1, 500_000.0, 0.2, -0.3, 6_000_000.0)


def samples(*shape: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Random samples over the whole range of their type."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def saved(pixels: np.ndarray | Image.Image, file_format: str, **options: object) -> bytes:
    """A file as Pillow writes it."""
    target = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(target, format=file_format, **options)
    return target.getvalue()


def geotiff(bands: np.ndarray, **profile: object) -> bytes:
    """A file as GDAL writes it from (bands, height, width), on the ground unless the profile says otherwise."""
    _, height, width = bands.shape
    shape = {"height": height, "width": width, "count": len(bands), "dtype": bands.dtype.name}
    place = {"crs": CRS.from_epsg(32633), "transform": Affine(*NORTH_UP)}
    with MemoryFile() as file:
        with rasterio.open(file.name, "w", driver="GTiff", **(shape | place | profile)) as dataset:
            dataset.write(bands)
        return bytes(file.read())


def read(encoded: bytes) -> Picture:
    """A file that must be accepted."""
    return decode(encoded, max_px=MAX_PX)


def refusal(encoded: bytes, *, max_px: int = MAX_PX) -> InvalidRequestError:
    """Why a file is refused."""
    with pytest.raises(InvalidRequestError) as refused:
        decode(encoded, max_px=max_px)
    return refused.value


@functools.cache
def srgb_profile() -> bytes:
    """An ICC profile of RGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_of(space: bytes, size_bytes: int = 200) -> bytes:
    """Something that says it is an ICC profile for samples of a colour space."""
    return bytes(16) + space + bytes(16) + b"acsp" + bytes(size_bytes - 40)


def camera_exif(*, orientation: int = 1) -> bytes:
    """What a camera writes: what stays true of an enlarged picture and what does not."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Model 7", orientation
    exif[0x0100], exif[0x0101], exif[0x011A], exif[0x0128] = 4000, 3000, 72.0, 2
    exif.get_ifd(0x8769).update({0x9003: "2020:01:02 03:04:05", 0xA002: 4000, 0xA003: 3000, 0x927C: b"note" * 99})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 30.0, 1.5), 3: "E", 4: (9.0, 0.0, 2.25)})
    return exif.tobytes()


def picture(
    *, dtype: str = "uint8", grey: bool = False, transparent: bool = False, size: tuple[int, int] = SIZE
) -> Picture:
    """A picture with everything that a file can say of it, apart from its place."""
    pixels = samples(*size, 3, dtype=dtype)
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels
    alpha = samples(*size, dtype=dtype, seed=1) if transparent else None
    if alpha is not None:
        alpha[::3] = 0
    mask = None if alpha is None else alpha != 0
    icc = profile_of(b"GRAY") if grey else srgb_profile()
    attributes = Attributes(icc=icc, exif=kept(camera_exif()))
    return Picture(Raster(pixels, mask), ImageFormat.TIFF, grey, alpha, attributes)


@functools.cache
def utm_wkt() -> str:
    """A coordinate system in the words of GDAL when it reads a file."""
    with MemoryFile(geotiff(samples(1, 2, 2))) as file, file.open() as dataset:
        return dataset.crs.to_wkt(version="WKT2_2019")


def on_the_ground(
    terms: tuple[float, float, float, float, float, float] = NORTH_UP, wkt: str | None = None
) -> Georeference:
    """A place in Central Europe."""
    return Georeference(utm_wkt() if wkt is None else wkt, terms)


def difference(one: Picture, other: Picture) -> str:
    """The first thing in which two pictures differ beside their format, or nothing."""
    pairs = {
        "pixels": (one.raster.pixels, other.raster.pixels),
        "mask": (one.raster.mask, other.raster.mask),
        "alpha": (one.alpha, other.alpha),
        "grey": (one.grey, other.grey),
        "icc": (one.attributes.icc, other.attributes.icc),
        "exif": (one.attributes.exif, other.attributes.exif),
        "georeference": (one.attributes.georeference, other.attributes.georeference),
    }
    return next((name for name, (a, b) in pairs.items() if not _equal(a, b)), "")


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and one == other
