"""Seamless joining of overlapping windows with integer weights, whose sums do not depend on the order of addition."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt16, UInt32

from hndsr_ensemble.geometry import Axis

FULL_WEIGHT = 256
"""The weights of all windows that cover a pixel sum to this along each axis, to its square in the plane."""

ROWS_AT_ONCE = 32
"""Rows that are finished together, so that they stay in the processor's cache."""

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
    """The part of a target that one tile yields, summed up window by window.

    Result: `(Σ w·v + 32768) >> 16`; 65536 · 65535 + 32768 fits in 32 bits.
    """

    def __init__(self, *, top: int, left: int, height: int, width: int) -> None:
        self._top, self._left = top, left
        self._sums: UInt32[np.ndarray, "h w 3"] = np.zeros((height, width, 3), dtype=np.uint32)

    def add(
        self,
        window: Shaped[np.ndarray, "p p 3"],
        *,
        top: int,
        left: int,
        row_weights: UInt16[np.ndarray, "p"],
        column_weights: UInt16[np.ndarray, "p"],
    ) -> None:
        """Add a window of unsigned integers with its corner at target pixel (`top`, `left`); what is outside is cut."""
        rows, window_rows = _overlap(top - self._top, window.shape[0], self._sums.shape[0])
        columns, window_columns = _overlap(left - self._left, window.shape[1], self._sums.shape[1])
        inside = window[window_rows, window_columns].astype(np.uint32)
        # As rows of samples: three bands a pixel would make very short inner loops.
        weighted = inside.reshape(inside.shape[0], 3 * inside.shape[1])
        weighted *= np.repeat(column_weights[window_columns].astype(np.uint32), 3)
        weighted *= row_weights[window_rows, None].astype(np.uint32)
        sums = self._sums.reshape(self._sums.shape[0], -1)
        sums[rows, 3 * columns.start : 3 * columns.stop] += weighted

    def finish(self, dtype: np.dtype[np.unsignedinteger]) -> Shaped[np.ndarray, "h w 3"]:
        """The blended pixels."""
        pixels = np.empty(self._sums.shape, dtype)
        for start in range(0, len(pixels), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            sums = self._sums[rows] + np.uint32(FULL_WEIGHT**2 // 2)
            sums >>= np.uint32(16)
            pixels[rows] = sums
        return pixels


def _overlap(offset: int, size: int, limit: int) -> tuple[slice, slice]:
    """Where `size` elements from `offset` lie within `limit`, and which of them those are."""
    start, stop = max(0, offset), max(0, min(limit, offset + size))
    return slice(start, stop), slice(start - offset, stop - offset)
