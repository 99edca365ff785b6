"""A raster in GDAL's virtual format: samples that lie in work files, and all that is said of them.

Source: GDAL's VRT driver, VRTRawRasterBand. A dataset of it can be opened by its text, so that no file is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from hndsr_client._raster.description import Band, Georeference, GroundPoint, Raster

_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32", "float64": "Float64"}
# rasterio's names of colours that GDAL calls otherwise.
_COLORS = {"Y": "YCbCr_Y", "Cb": "YCbCr_Cb", "Cr": "YCbCr_Cr", "rededge": "RedEdge", "other_ir": "OtherIR"}


@dataclass(frozen=True)
class WorkBand:
    """Where the samples of a band lie: sample (y, x), little-endian, at offset + y * row + x * pixel."""

    path: Path
    offset_bytes: int
    pixel_bytes: int
    row_bytes: int


def vrt_text(raster: Raster, bands: Sequence[WorkBand | None], mask: WorkBand | None, *, band_domain: str = "") -> str:
    """The text of the dataset; bands that lie nowhere are of zeros.

    Args:
        raster: What is said of it; its alpha band follows its other bands.
        bands: All of them, alpha too.
        mask: Of 0 and 255, where `raster` has a mask.
        band_domain: What domain of metadata the tags of bands are put in.
    """
    height_px, width_px = raster.size_px
    root = ET.Element("VRTDataset", rasterXSize=str(width_px), rasterYSize=str(height_px))
    _add_georeference(root, raster.georeference)
    _add_tags(root, "", raster.tags)
    for domain, tags in raster.domains.items():
        _add_tags(root, domain, tags)
    for number, (band, place) in enumerate(zip(all_bands(raster), bands, strict=True), 1):
        _add_band(root, band, place, number=number, domain=band_domain)
    if raster.validity == "mask":
        holder = ET.SubElement(root, "MaskBand")
        _add_place(ET.SubElement(holder, "VRTRasterBand", dataType="Byte"), mask)
    return ET.tostring(root, encoding="unicode")


def all_bands(raster: Raster) -> tuple[Band, ...]:
    """The bands of a target with its alpha band, if it has one."""
    if raster.validity != "alpha":
        return raster.bands
    return *raster.bands, Band(raster.dtype, raster.bands[0].nodata, "alpha")


def _add_georeference(root: ET.Element, georeference: Georeference) -> None:
    if georeference.crs is not None and (georeference.transform is not None or not georeference.points):
        ET.SubElement(root, "SRS").text = georeference.crs
    if georeference.transform is not None:
        a, b, c, d, e, f = georeference.transform
        ET.SubElement(root, "GeoTransform").text = ", ".join(repr(float(one)) for one in (c, a, b, f, d, e))
    if georeference.points:
        points = ET.SubElement(root, "GCPList", Projection=georeference.crs or "")
        for point in georeference.points:
            ET.SubElement(points, "GCP", _point(point))
    if georeference.rpcs:
        _add_tags(root, "RPC", georeference.rpcs)


def _point(point: GroundPoint) -> dict[str, str]:
    places = {"Pixel": point.column_px, "Line": point.row_px, "X": point.x, "Y": point.y, "Z": point.z}
    return {"Id": point.id, "Info": point.info, **{name: repr(float(place)) for name, place in places.items()}}


def _add_tags(parent: ET.Element, domain: str, tags: Mapping[str, str]) -> None:
    if not tags:
        return
    holder = ET.SubElement(parent, "Metadata", {"domain": domain} if domain else {})
    for name, text in tags.items():
        ET.SubElement(holder, "MDI", key=name).text = text


def _add_band(root: ET.Element, band: Band, place: WorkBand | None, *, number: int, domain: str) -> None:
    element = ET.SubElement(root, "VRTRasterBand", dataType=_TYPES[band.dtype], band=str(number))
    if band.name:
        ET.SubElement(element, "Description").text = band.name
    _add_tags(element, domain, band.tags)
    if band.unit:
        ET.SubElement(element, "UnitType").text = band.unit
    if band.offset != 0:
        ET.SubElement(element, "Offset").text = repr(float(band.offset))
    if band.scale != 1:
        ET.SubElement(element, "Scale").text = repr(float(band.scale))
    if band.nodata is not None:
        ET.SubElement(element, "NoDataValue").text = repr(float(band.nodata))
    if band.color != "undefined":
        ET.SubElement(element, "ColorInterp").text = _COLORS.get(band.color, band.color)
    _add_place(element, place)


def _add_place(element: ET.Element, place: WorkBand | None) -> None:
    if place is None:
        return
    element.set("subClass", "VRTRawRasterBand")
    ET.SubElement(element, "SourceFilename", relativetoVRT="0").text = str(place.path.absolute())
    ET.SubElement(element, "ImageOffset").text = str(place.offset_bytes)
    ET.SubElement(element, "PixelOffset").text = str(place.pixel_bytes)
    ET.SubElement(element, "LineOffset").text = str(place.row_bytes)
    ET.SubElement(element, "ByteOrder").text = "LSB"
