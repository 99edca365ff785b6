"""What an open raster says of itself, in our words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags, WktVersion

from hndsr_client._raster.description import Band, Georeference, GroundPoint, Raster, Validity
from hndsr_client._raster.values import SAMPLE_DTYPES
from hndsr_client.errors import ArgumentError

_OWN_DOMAINS = {"RPC", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "COLOR_PROFILE", "GEOLOCATION", "GCPS"}


def depicted(dataset: Any, name: str, *, named: Collection[int] = ()) -> Raster:
    """All of it.

    Args:
        dataset: As rasterio opened it.
        name: What it is called before people.
        named: Bands that the caller wants upscaled, and that are no alpha, whatever the file calls them.

    Raises:
        ArgumentError: It is of a kind that is not read; the remedy is said.
    """
    colors = ["undefined" if n in named and color == "alpha" else color for n, color in enumerate(_colors(dataset), 1)]
    alpha = next((number for number, color in enumerate(colors, 1) if color == "alpha"), None)
    numbers = [number for number in range(1, dataset.count + 1) if number != alpha]
    dtypes = dataset.dtypes
    _check(name, [dtypes[number - 1] for number in numbers], [colors[number - 1] for number in numbers])
    georeference = _georeference(dataset)
    if georeference.transform is None and "GEOLOCATION" in dataset.tag_namespaces():
        raise ArgumentError(f"{name} is placed by geolocation arrays; warp it first: gdalwarp -geoloc SOURCE WARPED")
    bands = tuple(_bands(dataset, numbers, colors))
    return Raster(
        size_px=(dataset.height, dataset.width),
        bands=bands,
        validity=_validity(dataset, bands, alpha),
        georeference=georeference,
        tags=dataset.tags(),
        domains=_domains(dataset),
        alpha=alpha,
    )


def _colors(dataset: Any) -> list[str]:
    return [color.name.lower() if isinstance(color, ColorInterp) else "undefined" for color in dataset.colorinterp]


def _check(name: str, dtypes: Sequence[str], colors: Sequence[str]) -> None:
    if not dtypes:
        raise ArgumentError(f"{name} has no bands beside alpha")
    if "palette" in colors:
        raise ArgumentError(
            f"{name} holds numbers of colours; expand them first: gdal_translate -expand rgb SOURCE EXPANDED"
        )
    if any(dtype.startswith("complex") for dtype in dtypes):
        raise ArgumentError(f"{name} is complex ({dtypes[0]}), accepted are {', '.join(SAMPLE_DTYPES)}")
    # Where some bands are of another type, who chooses bands may choose others.
    if not set(dtypes) & set(SAMPLE_DTYPES):
        raise ArgumentError(
            f"the samples of {name} are {dtypes[0]}, accepted are {', '.join(SAMPLE_DTYPES)};"
            " convert them first: gdal_translate -ot Float32 SOURCE CONVERTED"
        )


def _bands(dataset: Any, numbers: Sequence[int], colors: Sequence[str]) -> Iterator[Band]:
    # Each of these asks GDAL about all bands, of which there may be thousands.
    dtypes, nodata, names, units = dataset.dtypes, dataset.nodatavals, dataset.descriptions, dataset.units
    scales, offsets = dataset.scales, dataset.offsets
    for number in numbers:
        index = number - 1
        yield Band(
            dtype=dtypes[index],
            nodata=_nodata(nodata[index], dtypes[index]),
            color=colors[index],
            name=names[index],
            unit=units[index] or None,
            scale=float(scales[index]),
            offset=float(offsets[index]),
            tags=dataset.tags(number),
        )


def _nodata(value: float | None, dtype: str) -> float | None:
    """What is said, unless no sample of the type can be that."""
    if value is None or np.dtype(dtype).kind not in "iu":
        return value
    limits = np.iinfo(dtype)
    return float(value) if limits.min <= value <= limits.max and float(value).is_integer() else None


def _validity(dataset: Any, bands: Sequence[Band], alpha: int | None) -> Validity:
    if alpha is not None:
        return "alpha"
    if any(is_mask(flags) for flags in dataset.mask_flag_enums):
        return "mask"
    return "nodata" if any(band.nodata is not None for band in bands) else "all"


def is_mask(flags: Sequence[MaskFlags]) -> bool:
    """Whether a band has a mask, other than an alpha band, that says which pixels of the raster are valid."""
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _georeference(dataset: Any) -> Georeference:
    found, points_crs = dataset.gcps
    points = tuple(
        GroundPoint(point.row, point.col, point.x, point.y, point.z or 0.0, point.id or "", point.info or "")
        for point in found
    )
    transform = None if dataset.transform.is_identity else tuple(dataset.transform)[:6]
    crs = dataset.crs if transform is not None or dataset.crs else points_crs
    return Georeference(
        crs=crs.to_wkt(version=WktVersion.WKT2_2019) if crs else None,
        transform=transform,
        points=points,
        rpcs=dataset.tags(ns="RPC") or None,
    )


def _domains(dataset: Any) -> dict[str, dict[str, str]]:
    """Those that hold names with texts; documents, as of XML, speak of one file."""
    names = [name for name in dataset.tag_namespaces() if name not in _OWN_DOMAINS and ":" not in name]
    return {name: tags for name in names if (tags := dataset.tags(ns=name))}
