"""What the right answer is: the tiling model in this process, the whole image as one tile."""

from __future__ import annotations

from functools import cache

import numpy as np

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Options, model_repository, read_manifests
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import Tile, TileGeometry, UpscaledTile
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.values import full_ranges


@cache
def tiler(model: str) -> Tiler:
    """A model of the repository, without Triton and without a cache."""
    repository = model_repository()
    manifest = read_manifests(repository)[model]
    run = load_pipeline(repository, manifest, ServingSettings.from_environment({}))
    return Tiler(manifest, revision="oracle", run=run, batch=1, cache=WindowCache(0))


def upscale(
    pixels: np.ndarray,
    *,
    model: str,
    scale: str,
    options: Options = Options(0, 0.0, 0),  # noqa: B008 - frozen
    mask: np.ndarray | None = None,
    ranges: np.ndarray | None = None,
) -> UpscaledTile:
    """The whole target of a small image."""
    geometry = read_manifests(model_repository())[model].geometry
    rows, columns = (Axis(length, Scale.parse(scale), geometry) for length in pixels.shape[:2])
    place = TileGeometry.of(rows, columns, rows.span(0, rows.windows), columns.span(0, columns.windows))
    wanted = full_ranges(pixels.dtype) if ranges is None else ranges
    return tiler(model).run(Tile(pixels, place, wanted, options, mask), cancelled=lambda: False)
