"""TIFF files, written through GDAL, with the tags that GDAL does not write put in behind it."""

from __future__ import annotations

import struct

import numpy as np
from jaxtyping import Shaped
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from hndsr_gateway.images import exif, gdal
from hndsr_gateway.images.ifd import UNDEFINED, Field, is_inline, pack_header, pack_record
from hndsr_gateway.images.picture import Attributes, Picture
from hndsr_gateway.images.strips import strips
from hndsr_gateway.images.tiff_layout import ICC

TILE_PX = 512
TILED_FROM_PX = 2048
"""Sides from which on a file is tiled, so that a part of it can be read without the rest."""
RECORD_BYTES = 12


def write_tiff(planes: Shaped[np.ndarray, "h w bands"], picture: Picture) -> bytes:
    """Deflated, predicted, with unassociated alpha; what is known of place, colour and origin is kept."""
    attributes = picture.attributes
    order = exif.parse(attributes.exif).order if attributes.exif else "<"
    with MemoryFile() as target:
        with gdal.created(target, **_profile(planes, attributes, order=order)) as dataset:
            for rows in strips(*planes.shape[:2], multiple=TILE_PX):
                gdal.write_rows(dataset, rows, planes[rows])
        return _with_attributes(memoryview(target.getbuffer()), attributes, order)


def _profile(planes: Shaped[np.ndarray, "h w bands"], attributes: Attributes, *, order: str) -> dict[str, object]:
    height, width, bands = planes.shape
    profile: dict[str, object] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": planes.dtype.name,
        "photometric": "RGB" if bands >= 3 else "MINISBLACK",
        "interleave": "pixel",
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 6,
        "bigtiff": "NO",
        "endianness": "LITTLE" if order == "<" else "BIG",
    }
    if bands in {2, 4}:
        profile["alpha"] = "NON-PREMULTIPLIED"
    if max(height, width) >= TILED_FROM_PX:
        profile |= {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX}
    if attributes.georeference is not None:
        profile["transform"] = Affine(*attributes.georeference.transform)
        profile["crs"] = CRS.from_wkt(attributes.georeference.crs_wkt) if attributes.georeference.crs_wkt else None
    return profile


def _with_attributes(written: memoryview, attributes: Attributes, order: str) -> bytes:
    """A first directory with the tags for colour and origin, behind all else; the one that GDAL wrote is left unused.

    The directory comes last so that no part of the file can be cut off unseen. What was written is copied once: large
    pictures hardly fit into a worker's memory a few times.
    """
    if not attributes.icc and not attributes.exif:
        return bytes(written)
    padding = bytes(len(written) % 2)
    added, values = _added(attributes, order, offset=len(written) + len(padding))
    records = _records(written, order) | added
    header = pack_header(order, len(written) + len(padding) + len(values))
    directory = struct.pack(order + "H", len(records)) + b"".join(records[tag] for tag in sorted(records)) + bytes(4)
    return b"".join([header, written[len(header) :], padding, values, directory])


def _added(attributes: Attributes, order: str, *, offset: int) -> tuple[dict[int, bytes], bytes]:
    """Records of the tags for colour and origin, and their values, which lie at `offset`."""
    fields, values = dict[int, Field](), b""
    if attributes.exif:
        fields, values = exif.parse(attributes.exif).located(offset)
    if attributes.icc:
        fields[ICC] = Field(UNDEFINED, len(attributes.icc), attributes.icc)
    records = dict[int, bytes]()
    for tag, field in fields.items():
        records[tag] = pack_record(tag, field, order, offset=offset + len(values))
        if not is_inline(field):
            values += field.value + bytes(len(field.value) % 2)
    return records, values


def _records(written: memoryview, order: str) -> dict[int, bytes]:
    """The records of the only directory, by tag."""
    (start,) = struct.unpack_from(order + "I", written, 4)
    (count,) = struct.unpack_from(order + "H", written, start)
    positions = range(start + 2, start + 2 + RECORD_BYTES * count, RECORD_BYTES)
    return {
        struct.unpack_from(order + "H", written, position)[0]: bytes(written[position : position + RECORD_BYTES])
        for position in positions
    }
