"""Whether a GeoTIFF says of itself what it was to say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError

from hndsr_client._raster.depiction import is_mask
from hndsr_client._raster.description import Georeference, Raster
from hndsr_client._raster.geotiff import OPTIONS, opened
from hndsr_client._raster.vrt import all_bands

# Of a pixel, anywhere in the raster.
_PLACE_PX = 1e-6
_RPC_NAMES = (
    *("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"),
    *("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"),
    *("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"),
)


def lost_facts(path: str, raster: Raster) -> list[str]:
    """What of a raster a file does not say, in words for people; empty if all is there.

    Raises:
        rasterio.errors.RasterioError: It cannot be opened.
    """
    with rasterio.Env(**OPTIONS), opened(path) as dataset:
        if lost := list(_lost_pixels(dataset, raster)):
            return lost
        return [*_lost_places(dataset, raster), *_lost_of_bands(dataset, raster), *_lost_tags(dataset, raster)]


def _lost_pixels(dataset: Any, raster: Raster) -> Iterator[str]:
    bands = all_bands(raster)
    if (dataset.height, dataset.width) != raster.size_px:
        yield f"the size {raster.size_px[0]} x {raster.size_px[1]}"
    if dataset.count != len(bands):
        yield f"the {len(bands)} bands"
    elif list(dataset.dtypes) != [band.dtype for band in bands]:
        yield f"the type {raster.dtype}"


def _lost_places(dataset: Any, raster: Raster) -> Iterator[str]:
    georeference = raster.georeference
    points, points_crs = dataset.gcps
    crs = points_crs if georeference.points and georeference.transform is None else dataset.crs
    if not _is_same_crs(georeference.crs, crs):
        yield f"the CRS {_name(georeference.crs)}"
    if not _is_same_transform(georeference, dataset.transform, raster.size_px):
        yield "the transform"
    if not _are_same_points(georeference, points):
        yield "the ground control points"
    rpcs = georeference.rpcs or {}
    kept = dataset.tags(ns="RPC")
    if any(not _are_same_numbers(rpcs[name], kept.get(name, "")) for name in _RPC_NAMES if name in rpcs):
        yield "the RPCs"


def _lost_of_bands(dataset: Any, raster: Raster) -> Iterator[str]:
    bands = all_bands(raster)
    if not _is_same_validity(dataset, raster):
        yield f"which pixels are valid, as {raster.validity}"
    for number, band in enumerate(bands, 1):
        facts = {
            f"nodata {band.nodata}": _is_same_number(band.nodata, dataset.nodatavals[number - 1]),
            f"the colour {band.color}": _is_same_color(band.color, dataset.colorinterp[number - 1]),
            f"the description {band.name!r}": (band.name or "").strip()
            == (dataset.descriptions[number - 1] or "").strip(),
            f"the unit {band.unit!r}": (band.unit or "").strip() == (dataset.units[number - 1] or "").strip(),
            f"the scale {band.scale}": _is_same_number(band.scale, dataset.scales[number - 1]),
            f"the offset {band.offset}": _is_same_number(band.offset, dataset.offsets[number - 1]),
        }
        yield from (f"{fact} of band {number}" for fact, is_kept in facts.items() if not is_kept)


def _lost_tags(dataset: Any, raster: Raster) -> Iterator[str]:
    yield from (f"the tag {name}" for name in _missing(raster.tags, dataset.tags()))
    for domain, tags in raster.domains.items():
        yield from (f"the tag {name} of {domain}" for name in _missing(tags, dataset.tags(ns=domain)))
    for number, band in enumerate(raster.bands, 1):
        yield from (f"the tag {name} of band {number}" for name in _missing(band.tags, dataset.tags(number)))


def _missing(wanted: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    # XML, in which tags are kept, does not tell spaces around a text.
    return [name for name, text in wanted.items() if kept.get(name, "").strip() != text.strip()]


def _is_same_crs(wanted: str | None, kept: CRS | None) -> bool:
    if wanted is None or not kept:
        return wanted is None and not kept
    try:
        return bool(CRS.from_wkt(wanted) == kept)
    except RasterioError:
        return False


def _name(crs: str | None) -> str:
    """What a CRS in WKT calls itself."""
    parts = (crs or "").split('"')
    return parts[1] if len(parts) > 1 else "there is none"


def _is_same_transform(georeference: Georeference, kept: Any, size_px: tuple[int, int]) -> bool:
    wanted = georeference.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    side_px = max(size_px)
    scales = (math.hypot(wanted[0], wanted[3]), math.hypot(wanted[1], wanted[4]))
    limit = _PLACE_PX * (min(scales) or 1.0)
    reaches = (side_px, side_px, 1, side_px, side_px, 1)
    return all(
        abs(one - other) * reach <= limit for one, other, reach in zip(wanted, tuple(kept)[:6], reaches, strict=True)
    )


def _are_same_points(georeference: Georeference, kept: Any) -> bool:
    wanted = georeference.points
    return len(wanted) == len(kept) and all(
        abs(one.row_px - other.row) <= _PLACE_PX
        and abs(one.column_px - other.col) <= _PLACE_PX
        and all(
            math.isclose(value, other_value or 0.0, rel_tol=1e-12, abs_tol=1e-12)
            for value, other_value in ((one.x, other.x), (one.y, other.y), (one.z, other.z))
        )
        for one, other in zip(wanted, kept, strict=True)
    )


def _are_same_numbers(wanted: str, kept: str) -> bool:
    try:
        pairs = list(zip(map(float, wanted.split()), map(float, kept.split()), strict=True))
    except ValueError:
        return False
    return all(math.isclose(one, other, rel_tol=1e-12) for one, other in pairs)


def _is_same_number(wanted: float | None, kept: float | None) -> bool:
    if wanted is None or kept is None:
        return wanted is kept
    return wanted == kept or (math.isnan(wanted) and math.isnan(kept))


def _is_same_color(wanted: str, kept: ColorInterp) -> bool:
    # So a TIFF calls its first band, and the others, where nothing was said of them.
    return wanted == kept.name or wanted in {"undefined", "gray"}


def _is_same_validity(dataset: Any, raster: Raster) -> bool:
    flags = dataset.mask_flag_enums[0]
    if raster.validity == "mask":
        return is_mask(flags)
    if raster.validity == "alpha":
        # What GDAL does not take for a mask, no reader does; the band itself has none.
        has_alpha = all(MaskFlags.alpha in each for each in dataset.mask_flag_enums[:-1])
        return has_alpha and dataset.colorinterp[-1] == ColorInterp.alpha
    return (MaskFlags.nodata if raster.validity == "nodata" else MaskFlags.all_valid) in flags
