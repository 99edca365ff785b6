"""Work files with a target's samples, and what is composed of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.composition import Composition
from hndsr_client._raster.convert import converted
from hndsr_client._raster.description import Band, Georeference, GroundPoint, Raster
from hndsr_client._raster.vrt import WorkBand

UTM = CRS.from_epsg(32633).to_wkt(version="WKT2_2019")
LONGITUDE_LATITUDE = CRS.from_epsg(4326).to_wkt(version="WKT2_2019")
ROTATED = (0.5, 0.125, 500_000.1234567, 0.1, -0.55, 5_000_000.7654321)
# An oblique Mercator with parameters of its own, on a sphere that no authority knows.
CUSTOM = CRS.from_wkt(
    'PROJCS["over the hills",GEOGCS["ball",DATUM["ball",SPHEROID["ball",6371007,0]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Hotine_Oblique_Mercator_Azimuth_Center"],'
    'PARAMETER["latitude_of_center",47.1],PARAMETER["longitude_of_center",8.3],PARAMETER["azimuth",31.5],'
    'PARAMETER["rectified_grid_angle",29],PARAMETER["scale_factor",0.9997],PARAMETER["false_easting",12345],'
    'PARAMETER["false_northing",54321],UNIT["metre",1]]'
).to_wkt(version="WKT2_2019")
POINTS = (
    GroundPoint(0.0, 0.0, 8.0, 47.0, 1.5, "p0", "north west"),
    GroundPoint(0.25, 300.5, 8.1, 47.01, 2.5, "p1"),
    GroundPoint(200.0, 0.0, 8.02, 46.9, 3.5, "p2"),
    GroundPoint(123.456789, 77.777777777, 8.03, 46.95, 4.5, "p3"),
)
RPCS = {
    "LINE_OFF": "100.123456789",
    "SAMP_OFF": "200.5",
    "LAT_OFF": "47.1",
    "LONG_OFF": "8.3",
    "HEIGHT_OFF": "500",
    "LINE_SCALE": "100",
    "SAMP_SCALE": "200",
    "LAT_SCALE": "0.1",
    "LONG_SCALE": "0.1",
    "HEIGHT_SCALE": "500",
    "LINE_NUM_COEFF": " ".join(["0.001"] * 20),
    "LINE_DEN_COEFF": " ".join(["1"] + ["0.0002"] * 19),
    "SAMP_NUM_COEFF": " ".join(["-0.003"] * 20),
    "SAMP_DEN_COEFF": " ".join(["1"] + ["0"] * 19),
}
SIZE_PX = (200, 301)


def samples(size_px: tuple[int, int] = SIZE_PX, *, dtype: str = "uint16", bands: int = 3) -> npt.NDArray[Any]:
    """Noise, of values that every type has."""
    return np.random.default_rng(7).integers(1, 250, (*size_px, bands)).astype(np.dtype(dtype).newbyteorder("<"))


def raster_of(pixels: npt.NDArray[Any], **facts: Any) -> Raster:
    """A raster of such samples, of which the last are alpha if that says what is valid."""
    alpha = facts.get("validity") == "alpha"
    band = Band(pixels.dtype.name, facts.pop("nodata", None))
    colours = ("red", "green", "blue") if pixels.shape[2] - alpha == 3 else ("undefined",) * (pixels.shape[2] - alpha)
    facts.setdefault("bands", tuple(replace(band, color=colour) for colour in colours))
    facts.setdefault("validity", "all")
    facts.setdefault("georeference", Georeference(UTM, ROTATED))
    height_px, width_px = pixels.shape[:2]
    return Raster(size_px=(height_px, width_px), **facts)


def work_bands(path: Path, pixels: npt.NDArray[Any]) -> tuple[WorkBand, ...]:
    """A work file, a .npy file whose samples lie pixel by pixel."""
    np.save(path, pixels)
    begin, item = path.stat().st_size - pixels.nbytes, pixels.itemsize
    _, width_px, count = pixels.shape
    return tuple(WorkBand(path, begin + band * item, count * item, width_px * count * item) for band in range(count))


def composition_of(
    folder: Path, pixels: npt.NDArray[Any], raster: Raster, target: RasterTarget, mask: npt.NDArray[Any] | None = None
) -> Composition:
    """What is to be composed of work files made for it."""
    work = work_bands(folder / "scene.tif.hndsr-work.npy", pixels)
    place = None
    if mask is not None:
        path = folder / "scene.tif.hndsr-mask"
        mask.astype(np.uint8).tofile(path)
        place = WorkBand(path, 0, 1, mask.shape[1])
    return Composition(raster, work, place, target)


def composed(
    folder: Path, pixels: npt.NDArray[Any], raster: Raster, target: RasterTarget, mask: npt.NDArray[Any] | None = None
) -> Path:
    """The target under its temporary name, made as the child makes it of what it is told."""
    part = folder / "scene.tif.hndsr-part"
    assert converted(Composition.of(composition_of(folder, pixels, raster, target, mask).text()), part) is None
    return part
