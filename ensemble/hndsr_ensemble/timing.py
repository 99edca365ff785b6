"""How long windows take, measured as they will run: many at once."""

from __future__ import annotations

import time

import numpy as np

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import Tile, TileGeometry, TileRunner
from hndsr_ensemble.values import full_ranges

STEPS = 2
UINT8 = np.dtype(np.uint8)


def window_times_s(manifest: Manifest, runner: TileRunner, *, windows: int) -> tuple[float, float]:
    """Seconds that a window takes without diffusion, and that each of its steps adds.

    Args:
        manifest: of the window model.
        runner: of its tiles, without a cache.
        windows: that keep the device busy.
    """
    _timed(runner, _row_of_windows(manifest, windows, Options(1, 1.0, 0)))  # warms it up
    prior_s = _timed(runner, _row_of_windows(manifest, windows, Options(0, 0.0, 0)))
    drawn_s = _timed(runner, _row_of_windows(manifest, windows, Options(STEPS, 1.0, 0)))
    return prior_s / windows, max(0.0, drawn_s - prior_s) / STEPS / windows


def _row_of_windows(manifest: Manifest, windows: int, options: Options) -> Tile:
    """An image of one row of windows, no two of them alike, as one tile."""
    scale, window = Scale.parse(manifest.default_scale), manifest.geometry
    widths = (window.window_px, window.window_px + (windows - 1) * window.stride_px)
    rows, columns = (Axis(px * scale.denominator // scale.numerator, scale, window) for px in widths)
    geometry = TileGeometry.of(rows, columns, rows.span(0, rows.windows), columns.span(0, columns.windows))
    pixels = np.random.default_rng(0).integers(0, 256, (rows.length, columns.length, 3), UINT8)
    return Tile(pixels, geometry, full_ranges(UINT8), options)


def _timed(runner: TileRunner, tile: Tile) -> float:
    start = time.perf_counter()
    runner.run(tile, cancelled=lambda: False)
    return time.perf_counter() - start
