"""Bicubic interpolation on the exact target grid: the second window model, and what out-of-range samples get.

Source: Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 4 with a = −1/2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int64, Shaped

from hndsr_ensemble.geometry import WindowGeometry, mirror
from hndsr_ensemble.scale import Scale

TAPS = 4

Taps = tuple[Int64[np.ndarray, "n"], Float64[np.ndarray, "4 n"]]
"""First source pixel of the four that each target pixel is made of, and their weights, which sum to 1."""


def cubic_taps(target: Int[np.ndarray, "n"], scale: Scale) -> Taps:
    """The taps of target pixels along one axis.

    Args:
        target: absolute target coordinates along one axis.
        scale: target pixels per source pixel; pixel centres are aligned as areas.
    """
    doubled = 2 * scale.numerator
    centre = (2 * target.astype(np.int64) + 1) * scale.denominator - scale.numerator
    first, fraction = centre // doubled - 1, (centre % doubled) / doubled
    return first, np.stack([_keys(np.abs(fraction + 1 - tap)) for tap in range(TAPS)])


def _keys(distance: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, far)


def enlarge(
    source: Shaped[np.ndarray, "c h w"],
    *,
    rows: Int[np.ndarray, "y"],
    columns: Int[np.ndarray, "x"],
    top: int,
    left: int,
    scale: Scale,
) -> Float64[np.ndarray, "c y x"]:
    """Interpolate a grid of target pixels from a source piece that holds all their taps.

    Sums run in a fixed order, tap by tap, and without a matrix product, so that a pixel's bits depend on nothing but
    its taps.

    Args:
        source: real samples whose corner lies at absolute source pixel (`top`, `left`).
        rows: absolute target rows.
        columns: absolute target columns.
        top: may be negative where the piece was mirrored.
        left: likewise.
        scale: of the image.
    """
    across = np.empty((len(source), source.shape[1], len(columns)), np.float64)
    target = np.empty((len(source), len(rows), len(columns)), np.float64)
    row_taps, column_taps = cubic_taps(rows, scale), cubic_taps(columns, scale)
    for band, samples in enumerate(source):
        # Both ways whole rows are gathered: columns as rows of the transposed samples.
        across[band] = _interpolate(samples.T.astype(np.float64, order="C"), column_taps, left).T
        target[band] = _interpolate(across[band], row_taps, top)
    return target


def _interpolate(rows: Float64[np.ndarray, "h w"], taps: Taps, first: int) -> Float64[np.ndarray, "y w"]:
    """Target rows from source rows, the first of which is source row `first`."""
    starts, weights = taps
    total, term = np.empty((2, len(starts), rows.shape[1]), np.float64)
    for tap in range(TAPS):
        gathered = total if tap == 0 else term
        np.take(rows, starts - first + tap, axis=0, out=gathered, mode="clip")
        gathered *= weights[tap][:, None]
        if tap > 0:
            total += term
    return total


def interpolate_points(
    samples: Shaped[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    *,
    rows: Int[np.ndarray, "n"],
    columns: Int[np.ndarray, "n"],
    top: int,
    left: int,
    image: tuple[int, int],
    scale: Scale,
) -> Float64[np.ndarray, "n"]:
    """Interpolate single target pixels of one band; taps are mirrored at the image's edges, invalid ones dropped.

    Without all its taps a point stays within the samples it is made of, since the rest may weigh next to nothing.

    Args:
        samples: a rectangle of the image whose corner lies at source pixel (`top`, `left`).
        valid: which of them may be used; at least one tap of each point must be.
        rows: absolute target rows of the points.
        columns: absolute target columns of the points.
        top: at least 0.
        left: at least 0.
        image: source height and width.
        scale: of the image.
    """
    first_row, row_weights = cubic_taps(rows, scale)
    first_column, column_weights = cubic_taps(columns, scale)
    total, norm = np.zeros(len(rows)), np.zeros(len(rows))
    low, high = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    whole = np.ones(len(rows), dtype=bool)
    for dy in range(TAPS):
        y = mirror(first_row + dy, image[0]) - top
        for dx in range(TAPS):
            x = mirror(first_column + dx, image[1]) - left
            weight = row_weights[dy] * column_weights[dx] * valid[y, x]
            total += weight * samples[y, x]
            norm += weight
            whole &= valid[y, x]
            low = np.where(valid[y, x], np.minimum(low, samples[y, x]), low)
            high = np.where(valid[y, x], np.maximum(high, samples[y, x]), high)
    return np.where(whole, total / norm, np.clip(total / norm, low, high))


def bicubic_windows(
    lr: Float32[np.ndarray, "n 3 s s"],
    positions: Int64[np.ndarray, "n 2"],
    *,
    scale: Scale,
    geometry: WindowGeometry,
) -> Float32[np.ndarray, "n 3 p p"]:
    """Interpolate windows whose source has a halo of two pixels; neighbouring windows agree to the last bit."""
    inside, halo = np.arange(geometry.window_px), geometry.source_halo_px
    starts = positions * scale.denominator // scale.numerator - halo
    windows = np.empty((len(lr), lr.shape[1], geometry.window_px, geometry.window_px), np.float32)
    for window, source, (y, x), (top, left) in zip(windows, lr, positions, starts, strict=True):
        window[:] = enlarge(source, rows=y + inside, columns=x + inside, top=int(top), left=int(left), scale=scale)
    return windows
