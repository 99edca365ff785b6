"""What is true of a target beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from hndsr_client._raster.bands import Triple, band_of
from hndsr_client._raster.description import Raster, Validity
from hndsr_client._raster.georeference import scaled, true_tags
from hndsr_client._raster.values import as_sample
from hndsr_client.errors import ArgumentError

_ALPHA_TYPES = ("uint8", "uint16")
_ALPHA_COUNTS = (1, 3)
_KEPT_DOMAINS = ("IMAGERY",)


def target_raster(
    source: Raster,
    triples: Sequence[Triple],
    *,
    scale: Fraction,
    origin_px: tuple[int, int],
    size_px: tuple[int, int],
    validity: Validity,
    nodata: float | None,
    tags: Mapping[str, str],
) -> Raster:
    """The target of a source.

    Args:
        source: All of it.
        triples: What is upscaled; their written bands are the target's, in this order.
        scale: Target pixels per source pixel.
        origin_px: Row and column of the source where the target begins.
        size_px: The target's height and width.
        validity: What says which of its pixels are valid.
        nodata: What invalid samples are, as `target_validity` says.
        tags: More to say of the target; they replace those of the source.

    Raises:
        ArgumentError: The georeference is damaged.
    """
    bands = [band_of(source, number) for triple in triples for number in triple.written]
    domains = {name: true_tags(source.domains[name]) for name in _KEPT_DOMAINS if name in source.domains}
    return Raster(
        size_px=size_px,
        bands=tuple(replace(band, nodata=nodata, tags=true_tags(band.tags)) for band in bands),
        validity=validity,
        georeference=scaled(source.georeference, scale=scale, origin_px=origin_px),
        tags={**true_tags(source.tags), **tags},
        domains={name: kept for name, kept in domains.items() if kept},
    )


def target_validity(
    source: Raster, triples: Sequence[Triple], nodata_choice: float | None, *, polygons: bool, lossy: bool
) -> tuple[Validity, float | None]:
    """What says which pixels of a target are valid, and the nodata value that it declares, None for none.

    GDAL looks for alpha in uint8 and uint16 alone, beside one or three bands, and not where a nodata value is declared;
    and a value is none any more once a lossy compression has changed it.

    Args:
        source: All of it.
        triples: What is upscaled.
        nodata_choice: What the caller says is no data, None for what the source says.
        polygons: Whether pixels may be outside of what was asked for.
        lossy: Whether the target's format changes samples.

    Raises:
        ArgumentError: The type of the samples has no such nodata.
    """
    nodata = target_nodata(source, triples, nodata_choice)
    dtype, count = band_of(source, triples[0].written[0]).dtype, sum(len(triple.written) for triple in triples)
    if source.validity == "alpha" and dtype in _ALPHA_TYPES and count in _ALPHA_COUNTS:
        return "alpha", None
    kept = None if lossy else nodata
    if source.validity in {"alpha", "mask"}:
        return "mask", kept
    if nodata is not None:
        return ("mask" if lossy else "nodata"), kept
    return ("mask" if polygons else "all"), None


def target_nodata(source: Raster, triples: Sequence[Triple], nodata_choice: float | None) -> float | None:
    """The one nodata value of all bands: the caller's, else that of the first written band that has one; NaN for
    floating point without any, None for integers.

    What a source declares and its type does not have is no sample, and so no nodata.

    Raises:
        ArgumentError: The type of the samples does not have the caller's.
    """
    bands = [band_of(source, number) for triple in triples for number in triple.written]
    dtype = bands[0].dtype
    if nodata_choice is not None:
        chosen = as_sample(nodata_choice, dtype)
        if chosen is None:
            raise ArgumentError(f"nodata is {nodata_choice:g} (hndsr: --nodata), accepted is a value that {dtype} has")
        return float(chosen)
    declared = (as_sample(band.nodata, dtype) for band in bands if band.nodata is not None)
    first = next((sample for sample in declared if sample is not None), None)
    if first is not None:
        return float(first)
    return float("nan") if np.dtype(dtype).kind == "f" else None
