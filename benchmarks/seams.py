"""How well neighbouring windows agree, and whether the eye could find their borders."""

from __future__ import annotations

from typing import Any

import numpy as np

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.metrics import gradient_ratio_at
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.evaluation.seams import window_edges
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest, Options, model_repository, read_manifests
from hndsr_ensemble.pipeline import HndsrWindows
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import Tile, TileGeometry
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.values import full_ranges, quantise
from hndsr_ensemble.windows import WindowBatch

SIDE_PX = 1024
SCALE = Scale(4, 1)
UINT8 = np.dtype(np.uint8)


def measure() -> dict[str, dict[str, float]]:
    """Disagreement and border gradients of a rendered scene, by number of steps."""
    truth = render_scene(SIDE_PX, SIDE_PX, seed=7)
    source = reduce_bicubic(truth, SCALE.numerator, SCALE.denominator)
    return {f"{steps} steps": _measure(source, Options(steps, 1.0, 0)) for steps in (0, 4)}


def _measure(source: np.ndarray, options: Options) -> dict[str, float]:
    manifest = read_manifests(model_repository())["hndsr"]
    recorder = _Recorder(HndsrWindows(model_repository(), ServingSettings.from_environment({})))
    axis = Axis(source.shape[0], SCALE, manifest.geometry)
    place = TileGeometry.of(axis, axis, axis.span(0, axis.windows), axis.span(0, axis.windows))
    tiler = Tiler(manifest, revision="bench", run=recorder, batch=1, cache=WindowCache(0))
    tile = tiler.run(Tile(source, place, full_ranges(UINT8), options), cancelled=lambda: False)
    borders = window_edges(axis)
    return {
        "disagreement": _disagreement(recorder.windows, manifest, axis.windows),
        "gradient_ratio": gradient_ratio_at(tile.pixels, borders, borders),
    }


class _Recorder:
    """A window function that keeps what it returned, by position."""

    def __init__(self, run: HndsrWindows) -> None:
        self._run = run
        self.windows: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, batch: WindowBatch) -> np.ndarray:
        result = self._run(batch)
        place = (int(batch.positions[0, 0]), int(batch.positions[0, 1]))
        self.windows[place] = quantise(result[0], full_ranges(UINT8), UINT8).astype(np.float64)
        return result


def _disagreement(windows: dict[tuple[int, int], Any], manifest: Manifest, count: int) -> float:
    """Mean absolute difference of neighbours in their overlap, in grey levels."""
    stride, overlap = manifest.geometry.stride_px, manifest.geometry.overlap_px
    differences = []
    for row in range(count):
        for column in range(1, count):
            left, right = windows[row * stride, (column - 1) * stride], windows[row * stride, column * stride]
            above, below = windows[(column - 1) * stride, row * stride], windows[column * stride, row * stride]
            differences.append(np.abs(left[:, -overlap:] - right[:, :overlap]).mean())
            differences.append(np.abs(above[-overlap:] - below[:overlap]).mean())
    return float(np.mean(differences))
