"""Seamless joining of overlapping windows with integer weights, whose sums do not depend on the order of addition."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt16, UInt32

from hndsr_ensemble.geometry import Axis

FULL_WEIGHT = 256
"""The weights of all windows that cover a pixel sum to this along each axis, to its square in the plane."""

RAMPS: dict[int, tuple[int, ...]] = {
    32: (
        *(0, 1, 4, 7, 12, 18, 25, 33, 42, 52, 62, 73, 85, 97, 109, 122),
        *(134, 147, 159, 171, 183, 194, 204, 214, 223, 231, 238, 244, 249, 252, 255, 256),
    ),
}
"""Rising ramps by overlap: committed numbers, so that no libm decides about bytes."""


def blend_ramp(overlap_px: int) -> UInt16[np.ndarray, "overlap"]:
    """Rising half of an integer Hann ramp; it and its mirror image sum to 256 everywhere.

    `w[i] = floor(256·sin²(π(2i+1)/(4L)) + 1/2)` for the first half, `w[L−1−i] = 256 − w[i]`, an odd middle 128.

    Source: overlap-add with a Hann window, Harris 1978, "On the use of windows", quantised so that sums are exact.

    Raises:
        ValueError: if no ramp of that length is tabulated.
    """
    if overlap_px not in RAMPS:
        raise ValueError(f"no blending ramp of {overlap_px} px is tabulated, only {sorted(RAMPS)}")
    return np.array(RAMPS[overlap_px], dtype=np.uint16)


def window_weights(axis: Axis, index: int) -> UInt16[np.ndarray, "window"]:
    """Weights of one window along an axis: ramps where it has a neighbour in the image, 256 elsewhere."""
    ramp = blend_ramp(axis.window.overlap_px)
    weights = np.full(axis.window.window_px, FULL_WEIGHT, dtype=np.uint16)
    if index > 0:
        weights[: ramp.size] = ramp
    if index < axis.windows - 1:
        weights[-ramp.size :] = ramp[::-1]
    return weights


class Canvas:
    """The part of a target that one tile yields.

    What one window covers alone is copied; where windows overlap they are summed up, which comes to
    `(Σ w·v + 32768) >> 16`; 65536 · 65535 + 32768 fits in 32 bits.

    Args:
        top: first row of the part, in target pixels.
        left: its first column.
        height: its rows.
        width: its columns.
        overlap_px: of windows that are neighbours.
        dtype: of its samples.
    """

    def __init__(
        self, *, top: int, left: int, height: int, width: int, overlap_px: int, dtype: np.dtype[np.unsignedinteger]
    ) -> None:
        self._top, self._left, self._overlap_px = top, left, overlap_px
        self._pixels: Shaped[np.ndarray, "h w 3"] = np.zeros((height, width, 3), dtype)
        self._row_seams, self._column_seams = dict[int, _Sums](), dict[int, _Sums]()

    def add(
        self,
        window: Shaped[np.ndarray, "p p 3"],
        *,
        top: int,
        left: int,
        row_weights: UInt16[np.ndarray, "p"],
        column_weights: UInt16[np.ndarray, "p"],
    ) -> None:
        """Add a window with its corner at target pixel (`top`, `left`); what is outside is cut."""
        (height, width), overlap = self._pixels.shape[:2], self._overlap_px
        top, left = top - self._top, left - self._left
        rows, row_seams = _parts(row_weights, overlap)
        columns, column_seams = _parts(column_weights, overlap)
        self._paste(window[rows, columns], top=top + rows.start, left=left + columns.start)
        for seam in row_seams:
            start = top + seam.start
            if -overlap < start < height:
                sums = self._row_seams.get(start) or self._row_seams.setdefault(start, _Sums(overlap, width))
                sums.add(window[seam], 0, left, row_weights[seam], column_weights)
        for seam in column_seams:
            start = left + seam.start
            if -overlap < start < width:
                sums = self._column_seams.get(start) or self._column_seams.setdefault(start, _Sums(height, overlap))
                sums.add(window[rows, seam], top + rows.start, 0, row_weights[rows], column_weights[seam])

    def finish(self) -> Shaped[np.ndarray, "h w 3"]:
        """The blended pixels."""
        dtype = self._pixels.dtype
        for left, sums in self._column_seams.items():
            self._paste(sums.blended(dtype), top=0, left=left)
        for top, sums in self._row_seams.items():  # the crossings are theirs
            self._paste(sums.blended(dtype), top=top, left=0)
        return self._pixels

    def _paste(self, pixels: Shaped[np.ndarray, "y x 3"], *, top: int, left: int) -> None:
        rows, seen_rows = _overlap(top, pixels.shape[0], self._pixels.shape[0])
        columns, seen_columns = _overlap(left, pixels.shape[1], self._pixels.shape[1])
        self._pixels[rows, columns] = pixels[seen_rows, seen_columns]


class _Sums:
    """Weighted sums over a rectangle."""

    def __init__(self, height: int, width: int) -> None:
        self._sums: UInt32[np.ndarray, "y x 3"] = np.zeros((height, width, 3), dtype=np.uint32)

    def add(
        self,
        window: Shaped[np.ndarray, "v u 3"],
        top: int,
        left: int,
        row_weights: UInt16[np.ndarray, "v"],
        column_weights: UInt16[np.ndarray, "u"],
    ) -> None:
        rows, window_rows = _overlap(top, window.shape[0], self._sums.shape[0])
        columns, window_columns = _overlap(left, window.shape[1], self._sums.shape[1])
        inside = window[window_rows, window_columns].astype(np.uint32)
        # As rows of samples: three bands a pixel would make very short inner loops.
        weighted = inside.reshape(inside.shape[0], 3 * inside.shape[1])
        weighted *= np.repeat(column_weights[window_columns].astype(np.uint32), 3)
        weighted *= row_weights[window_rows, None].astype(np.uint32)
        sums = self._sums.reshape(self._sums.shape[0], -1)
        sums[rows, 3 * columns.start : 3 * columns.stop] += weighted

    def blended(self, dtype: np.dtype[np.unsignedinteger]) -> Shaped[np.ndarray, "y x 3"]:
        sums = self._sums + np.uint32(FULL_WEIGHT**2 // 2)
        sums >>= np.uint32(16)
        return sums.astype(dtype)


def _parts(weights: UInt16[np.ndarray, "p"], overlap_px: int) -> tuple[slice, list[slice]]:
    """What a window covers alone along an axis, and its seams with the windows before and after it."""
    size = len(weights)
    before, after = (overlap_px * bool(weights[end] < FULL_WEIGHT) for end in (0, -1))
    seams = [slice(0, before), slice(size - after, size)]
    return slice(before, size - after), [seam for seam in seams if seam.start < seam.stop]


def _overlap(offset: int, size: int, limit: int) -> tuple[slice, slice]:
    """Where `size` elements from `offset` lie within `limit`, and which of them those are."""
    start, stop = max(0, offset), max(0, min(limit, offset + size))
    return slice(start, stop), slice(start - offset, stop - offset)
