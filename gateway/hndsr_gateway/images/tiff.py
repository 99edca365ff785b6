"""TIFF files, read through GDAL a few rows at a time."""

from __future__ import annotations

import contextlib
import math

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from rasterio.enums import MaskFlags
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from hndsr_gateway.images import colour, gdal
from hndsr_gateway.images.content import Content
from hndsr_gateway.images.picture import Georeference
from hndsr_gateway.images.strips import strips
from hndsr_gateway.images.tiff_blocks import YCBCR
from hndsr_gateway.images.tiff_layout import (
    ASSOCIATED,
    CMYK,
    INDEXED,
    WHITE_IS_ZERO,
    Layout,
    damaged,
    inspect,
)

RAW = "GTIFF_RAW:"
"""Keeps GDAL from making RGB of CMYK, which it does without the profile."""


def read(encoded: bytes) -> Content:
    """The only page of the file.

    Raises:
        DamagedImageError: if it is cut off or contradicts itself.
        UnsupportedFormatError: if it is of a kind that is not read.
    """
    layout = inspect(encoded)
    with gdal.opened(encoded, "GTiff", prefix=RAW if layout.photometric == CMYK else "") as dataset:
        _check_agreement(dataset, layout)
        flags = dataset.mask_flag_enums[0]
        canvas = _Canvas(layout, masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags)
        with gdal.strictly():
            for rows in strips(layout.height, layout.width, multiple=dataset.block_shapes[0][0]):
                canvas.put(rows, dataset)
        return Content(
            canvas.pixels,
            grey=layout.colour_bands == 1 and layout.photometric != INDEXED,
            alpha=canvas.alpha,
            valid=canvas.valid,
            icc=b"" if layout.photometric == CMYK else layout.icc,
            exif=encoded,
            georeference=_georeference(dataset) if layout.upright else None,
        )


def _check_agreement(dataset: DatasetReader, layout: Layout) -> None:
    bands = {layout.bands, 4} if layout.photometric == YCBCR else {layout.bands}  # GDAL makes RGBA of YCbCr
    if (dataset.height, dataset.width) != (layout.height, layout.width) or dataset.count not in bands:
        raise damaged("says two different sizes")
    if set(dataset.dtypes) != {"uint16" if layout.bits == 16 else "uint8"}:
        raise damaged("says two different sample types")


class _Canvas:
    """The picture that is put together from strips."""

    def __init__(self, layout: Layout, *, masked: bool) -> None:
        shape, dtype = (layout.height, layout.width), np.uint16 if layout.bits == 16 else np.uint8
        self._layout, self._masked = layout, masked
        self._nodata = _nodata(layout)
        self._palette = _palette(layout)
        self._srgb = colour.cmyk_to_srgb(layout.icc)
        self.pixels = np.empty((*shape, 3), dtype=dtype)
        self.alpha = np.empty(shape, dtype=dtype) if layout.alpha else None
        self.valid = np.ones(shape, dtype=bool) if masked or self._nodata is not None else None

    def put(self, rows: slice, dataset: DatasetReader) -> None:
        """Read some rows."""
        raw = gdal.read_rows(dataset, rows)
        samples = raw[: self._layout.colour_bands]
        if self.valid is not None:
            self.valid[rows] = self._validity(samples)
            if self._masked:
                self.valid[rows] &= gdal.read_mask_rows(dataset, rows) != 0
        if self.alpha is not None:
            self.alpha[rows] = raw[-1]
            if self._layout.alpha == ASSOCIATED:
                samples = colour.divide_by_alpha(samples, raw[-1])
        self.pixels[rows] = self._rgb(samples)

    def _validity(self, samples: Shaped[np.ndarray, "bands h w"]) -> Bool[np.ndarray, "h w"]:
        """Valid is what is not nodata in every band, as for GDAL."""
        return np.ones(samples.shape[1:], dtype=bool) if self._nodata is None else (samples != self._nodata).any(axis=0)

    def _rgb(self, samples: Shaped[np.ndarray, "bands h w"]) -> Shaped[np.ndarray, "h w 3"]:
        if self._layout.photometric == INDEXED:
            return self._palette[samples[0]]
        if self._layout.photometric == CMYK:
            return self._srgb(np.moveaxis(samples, 0, 2))
        if self._layout.bits < 8:
            samples = colour.spread(samples, bits=self._layout.bits)
        if self._layout.photometric == WHITE_IS_ZERO:
            samples = np.iinfo(samples.dtype).max - samples
        return np.moveaxis(samples, 0, 2)


def _nodata(layout: Layout) -> int | None:
    """The value that GDAL's tag says is none, if a sample can have it."""
    with contextlib.suppress(ValueError):
        value = float(layout.nodata.rstrip(b"\0 ").decode("ascii"))
        if value.is_integer() and 0 <= value < 2**layout.bits:
            return int(value)
    return None


def _palette(layout: Layout) -> UInt8[np.ndarray, "entries 3"]:
    """Colours of 16 bits as 8; some writers put 8 into the lower half."""
    entries = 2**layout.bits if layout.photometric == INDEXED else 0
    if len(layout.palette) != 3 * entries or max(layout.palette, default=0) > np.iinfo(np.uint16).max:
        raise damaged("has a palette that cannot be")
    colours = np.array(layout.palette, dtype=np.uint16).reshape(3, entries).T
    return (colours >> 8 if colours.size and colours.max() > 255 else colours).astype(np.uint8)


def _georeference(dataset: DatasetReader) -> Georeference | None:
    """Where the file says so by coordinate system and affine transform; a broken system is left out."""
    transform = dataset.transform
    terms = (transform.a, transform.b, transform.c, transform.d, transform.e, transform.f)
    if transform.is_identity or transform.determinant == 0 or not all(map(math.isfinite, terms)):
        return None
    wkt = ""
    with contextlib.suppress(CRSError):
        wkt = dataset.crs.to_wkt(version="WKT2_2019") if dataset.crs else ""
    return Georeference(wkt, terms)
