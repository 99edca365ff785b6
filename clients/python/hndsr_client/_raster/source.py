"""Three bands of a raster, as they are upscaled together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr_client._core.pixels import BANDS
from hndsr_client._raster.bands import band_of
from hndsr_client._raster.choices import NodataRule
from hndsr_client._raster.dataset import Dataset
from hndsr_client._raster.region import Region
from hndsr_client._raster.values import OutOfSpanError, Transfer, as_sample
from hndsr_client._stream.windows import WIRE_DTYPES, Window
from hndsr_client.errors import SourceChangedError

Samples = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]


class TripleSource:
    """Samples of a region as they travel, a windowed source. Threads may share it.

    Attributes:
        shape: (height, width, 3).
        dtype: uint8 or uint16.
        mask: Which pixels are valid, a windowed source too; None where all of them must be.
    """

    def __init__(
        self,
        dataset: Dataset,
        bands: tuple[int, int, int],
        *,
        region: Region,
        nodata: Mapping[int, float | None],
        rule: NodataRule,
        transfer: Transfer,
        masked: bool = False,
    ) -> None:
        """Choose what is read; nothing is.

        Args:
            dataset: Where the bands are.
            bands: Their numbers in the file, from 1.
            region: What part of it.
            nodata: Which value is no data, by the numbers of the bands that decide which pixels are valid: those above,
                and perhaps others.
            rule: Whether one band that is nodata makes a pixel invalid.
            transfer: How samples travel.
            masked: Whether there is to be a mask even if every pixel must be valid.
        """
        self._dataset, self._bands, self._region = dataset, bands, region
        self._rule, self._transfer = rule, transfer
        types = {band: np.dtype(band_of(dataset.raster, band).dtype) for band in nodata}
        self._floating = any(dtype.kind == "f" for dtype in types.values())
        self._nodata = {
            band: None if value is None else as_sample(value, types[band]) for band, value in nodata.items()
        }
        self._masked = masked
        self.shape = (region.height_px, region.width_px, BANDS)
        self.dtype = WIRE_DTYPES[transfer.wire]
        self._lock = threading.Lock()
        self._last: tuple[tuple[int, ...], Samples, Valid] | None = None
        self.mask: TripleMask | None = TripleMask(self) if self._is_masked() else None

    def __getitem__(self, window: Window, /) -> Samples:
        """The samples of a window; they are not to be written to."""
        return self._read(window)[0]

    def valid(self, window: Window) -> Valid:
        """Which pixels of a window are valid.

        Raises:
            LocalFileError: The raster cannot be read.
            SourceChangedError: Its samples are not what they were when they were measured.
        """
        return self._read(window)[1]

    def native(self, window: Window) -> tuple[Samples, Valid]:
        """The samples (height, width, 3) of the raster's own type, and which pixels are valid.

        Raises:
            LocalFileError: The raster cannot be read.
        """
        there = self._in_raster(window)
        # The bands to upscale come first; others only say what is valid.
        numbers = (*self._bands, *(band for band in self._nodata if band not in self._bands))
        samples = self._dataset.read(there, numbers)
        valid = self._without_nodata({band: samples[..., numbers.index(band)] for band in self._nodata})
        samples = samples[..., : len(self._bands)]
        for mask in (self._dataset.read_mask(there), self._region.mask(window)):
            if mask is not None:
                valid &= mask
        return samples, valid

    def _read(self, window: Window) -> tuple[Samples, Valid]:
        """Samples and mask of a window are asked for one after the other, and read once."""
        there = self._in_raster(window)
        key = tuple(edge for side in there for edge in (side.start, side.stop))
        with self._lock:
            if self._last is None or self._last[0] != key:
                self._last = None
                samples, valid = self.native(window)
                wire = self._to_wire(samples, valid)
                wire.flags.writeable = valid.flags.writeable = False
                self._last = key, wire, valid
            return self._last[1:]

    def _to_wire(self, samples: Samples, valid: Valid) -> Samples:
        try:
            return self._transfer.to_wire(samples, valid)
        except OutOfSpanError as error:
            raise SourceChangedError(path=self._dataset.name) from error

    def _without_nodata(self, planes: Mapping[int, Samples]) -> Valid:
        absent = [_is(plane, self._nodata[band]) for band, plane in planes.items()]
        invalid = np.logical_and.reduce(absent) if self._rule == "all" else np.logical_or.reduce(absent)
        if self._floating:
            for plane in planes.values():
                invalid |= ~np.isfinite(plane)
        return ~invalid

    def _in_raster(self, window: Window) -> Window:
        (row, row_end, _), (column, column_end, _) = (
            side.indices(size) for side, size in zip(window, self.shape[:2], strict=True)
        )
        top, left = self._region.row_px, self._region.column_px
        return slice(top + row, top + row_end), slice(left + column, left + column_end)

    def _is_masked(self) -> bool:
        says = self._masked or self._dataset.raster.validity in {"alpha", "mask"} or self._region.has_polygons
        return says or self._floating or any(value is not None for value in self._nodata.values())


class TripleMask:
    """Which pixels of a source are valid, a windowed source of bool.

    Attributes:
        shape: (height, width).
        dtype: bool.
    """

    def __init__(self, source: TripleSource) -> None:
        self._source = source
        self.shape = source.shape[:2]
        self.dtype = np.dtype(np.bool_)

    def __getitem__(self, window: Window, /) -> Valid:
        """What of a window is valid; it is not to be written to."""
        return self._source.valid(window)


def _is(plane: Samples, value: Any) -> Valid:
    """Where samples are a value, which may be NaN or none at all."""
    if value is None:
        return np.zeros(plane.shape, np.bool_)
    return np.isnan(plane) if value != value else np.asarray(plane == value)  # noqa: PLR0124 -- NaN of any type
