"""Georeferenced rasters of any size: `upscale_raster` and `plan_raster` of both kinds of client, and what they take.

Needs the extra `geo`.

with Client("127.0.0.1:50051") as client:
    client.upscale_raster("scene.tif", "scene_x4.tif", scale=4)
    client.upscale_raster(
        RasterSource("scene.jp2", bands=[(4, 3, 2)], nodata=0, region="field.geojson"),
        RasterTarget("scene_x4.tif", compress="zstd", overwrite=True),
        scale=4,
    )
print(verify_raster("scene_x4.tif").ok)
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hndsr_client._geo import geo
from hndsr_client._raster.choices import RasterSource, RasterTarget
from hndsr_client._raster.results import RasterPlan, RasterProgress, RasterResult, Verification

__all__ = [
    "RasterPlan",
    "RasterProgress",
    "RasterResult",
    "RasterSource",
    "RasterTarget",
    "Verification",
    "verify_raster",
]


def verify_raster(path: str | os.PathLike[str], *, on_progress: Callable[[int], object] | None = None) -> Verification:
    """Whether a raster that was made by `upscale_raster` is, sample by sample, what was made; or how far its job is.

    Args:
        path: The target, or where it will appear; of a job with a place of its own, that.
        on_progress: Told how many target pixels were read.

    Raises:
        GeoNotInstalledError: The extra is missing.
        LocalFileError: It cannot be read, or nothing says what was made.
    """
    verified: Verification = geo("verify").verify(path, on_progress=on_progress or (lambda _: None))
    return verified
