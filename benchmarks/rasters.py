"""Rasters: where the time goes from GeoTIFF to GeoTIFF, what that adds to the bare array, and how memory grows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from footprint import Watch
from rasterio.transform import Affine
from rasterio.windows import Window
from scale import gateway_process, growth

from hndsr_client import Client, RasterProgress

SCALE = 4
MEGAPIXELS = (16, 256)
"""Of the target, 2²⁰ px each."""
BLOCK_PX = 512
STAGES = ("measuring", "upscaling", "writing", "checking")


@dataclass
class Run:
    """What is told of a raster."""

    wall_s: float = 0.0
    array_s: float = 0.0
    tiles: int = 0
    size_bytes: int = 0
    stages_s: dict[str, float] = field(default_factory=dict)


def measure() -> dict[str, Any]:
    """A small and a large one."""
    sizes = [by_size(megapixels) for megapixels in MEGAPIXELS]
    return {"sizes": sizes, "growth_mib": growth(sizes)}


def by_size(megapixels: int) -> dict[str, Any]:
    """A target of so many megapixels, of 16 bits and smooth enough to be compressed, and the same as bare arrays."""
    side_px = int((megapixels * 2**20) ** 0.5) // SCALE
    with tempfile.TemporaryDirectory(prefix="hndsr-rasters-") as folder, gateway_process("bicubic") as gateway:
        write_waves(Path(folder), side_px)
        command = [sys.executable, __file__, gateway.address, folder]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
            Watch(gateway.pid) as of_gateway,
            Watch(process.pid) as of_sdk,
        ):
            told = json.loads(process.communicate()[0])
        return {"megapixels": megapixels, **told, "gateway_mib": asdict(of_gateway), "sdk_mib": asdict(of_sdk)}


def write_waves(folder: Path, side_px: int) -> None:
    """scene.tif and scene.npy of the same samples: waves with some noise, 16 bits, three bands."""
    generator = np.random.default_rng(side_px)
    array = np.lib.format.open_memmap(folder / "scene.npy", "w+", np.uint16, (side_px, side_px, 3))
    profile = {"driver": "GTiff", "width": side_px, "height": side_px, "count": 3, "dtype": "uint16", "nodata": 0}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    blocks = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate"}
    with rasterio.open(folder / "scene.tif", "w", **profile, **place, **blocks) as scene:
        for y in range(0, side_px, BLOCK_PX):
            height = min(BLOCK_PX, side_px - y)
            rows, columns, bands = np.ogrid[y : y + height, :side_px, :3]
            waves = 4000 + 1500 * np.sin(rows / 37 + bands) + 1500 * np.cos(columns / 53)
            samples = (waves + generator.integers(0, 64, (height, side_px, 3))).astype(np.uint16)
            array[y : y + height] = samples
            scene.write(np.moveaxis(samples, 2, 0), window=Window(0, y, side_px, height))


def upscale(address: str, folder: Path) -> Run:
    """The raster, then the bare array, each into files."""
    run, began_s = Run(stages_s=dict.fromkeys(STAGES, 0.0)), time.monotonic()
    last = [began_s, STAGES[0]]

    def note(progress: RasterProgress) -> None:
        now_s = time.monotonic()
        run.stages_s[last[1]] += now_s - last[0]
        last[:] = now_s, progress.stage

    with Client(address) as client:
        result = client.upscale_raster(
            folder / "scene.tif", folder / "made.tif", model="bicubic", scale=SCALE, on_progress=note
        )
        run.wall_s = time.monotonic() - began_s
        run.stages_s[last[1]] += began_s + run.wall_s - last[0]
        run.tiles, run.size_bytes = result.tiles, result.size_bytes
        began_s = time.monotonic()
        client.upscale_array(folder / "scene.npy", folder / "made.npy", model="bicubic", scale=SCALE)
        run.array_s = time.monotonic() - began_s
    return run


if __name__ == "__main__":
    print(json.dumps(asdict(upscale(sys.argv[1], Path(sys.argv[2])))), flush=True)
