"""The examples against a real gateway: the picture that the SDK gets, and the reason of a refusal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasters
from PIL import Image

from hndsr_client import Client

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TOOLS = ROOT / "tools" / "node_modules" / ".bin"
NODE_PACKAGES = EXAMPLES / "node" / "node_modules"
PATH = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"


def needs(what: str, *, missing: bool) -> pytest.MarkDecorator:
    """Skip where something is missing, and name it."""
    return pytest.mark.skipif(missing, reason=f"{what} is missing; where npm is there, `make test` installs all")


NEEDS_NODE = needs("node", missing=shutil.which("node") is None)
PYTHON = [sys.executable, str(EXAMPLES / "python" / "upscale.py")]
ASYNC = [sys.executable, str(EXAMPLES / "python" / "upscale_async.py")]
SCENE = [sys.executable, str(EXAMPLES / "python" / "scene.py")]
RASTER = [sys.executable, str(EXAMPLES / "python" / "raster.py")]
CURL = pytest.param(
    ["bash", str(EXAMPLES / "curl" / "upscale.sh")],
    id="curl",
    marks=[NEEDS_NODE, needs("buf", missing=shutil.which("buf", path=PATH) is None)],
)
NODE = pytest.param(
    ["node", str(EXAMPLES / "node" / "upscale.mjs")],
    id="node",
    marks=[NEEDS_NODE, needs("examples/node/node_modules", missing=not NODE_PACKAGES.is_dir())],
)
SINGLE = [pytest.param(PYTHON, id="python"), CURL, NODE]


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Three small PNGs."""
    paths = [tmp_path / f"source{number}.png" for number in range(3)]
    for seed, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return paths


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run an example as its README says."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH})


def pixels(path: Path) -> np.ndarray:
    """What a picture file holds."""
    with Image.open(path) as image:
        return np.asarray(image)


def by_sdk(address: str, source: Path, scale: str) -> np.ndarray:
    """What the SDK answers."""
    with Client(address) as client:
        return client.upscale(source, scale=scale).image


@pytest.mark.parametrize("example", SINGLE)
def test_example_writes_the_picture_that_the_sdk_gets(
    example: list[str], address: str, sources: list[Path], tmp_path: Path
) -> None:
    result = run(*example, address, sources[0], tmp_path / "target.png", "2.5")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(pixels(tmp_path / "target.png"), by_sdk(address, sources[0], "2.5"))


@pytest.mark.parametrize("example", SINGLE)
def test_example_names_the_model_and_its_scales(
    example: list[str], address: str, sources: list[Path], tmp_path: Path
) -> None:
    result = run(*example, address, sources[0], tmp_path / "target.png")
    assert result.stdout.startswith("bicubic: scales 1.5 to 8, "), result.stderr


@pytest.mark.parametrize("example", SINGLE)
def test_example_says_the_reason_when_it_is_refused(
    example: list[str], address: str, sources: list[Path], tmp_path: Path
) -> None:
    result = run(*example, address, sources[0], tmp_path / "target.png", "9")
    assert (result.returncode, result.stderr.partition(":")[0]) == (1, "SCALE_OUT_OF_RANGE"), result.stderr


@pytest.mark.parametrize("example", SINGLE)
def test_example_leaves_no_file_when_it_is_refused(
    example: list[str], address: str, sources: list[Path], tmp_path: Path
) -> None:
    run(*example, address, sources[0], tmp_path / "target.png", "9")
    assert not (tmp_path / "target.png").exists()


def test_scene_example_writes_the_pixels_that_the_sdk_gets(address: str, tmp_path: Path) -> None:
    source = np.random.default_rng(0).integers(0, 65_536, (150, 170, 3), dtype=np.uint16)
    np.save(tmp_path / "source.npy", source)
    result = run(*SCENE, address, tmp_path / "source.npy", tmp_path / "target.npy", "3.5")
    assert result.returncode == 0, result.stderr
    with Client(address) as client:
        np.testing.assert_array_equal(np.load(tmp_path / "target.npy"), client.upscale(source, scale=3.5).image)


def test_raster_example_writes_the_pixels_that_the_sdk_gets(address: str, tmp_path: Path) -> None:
    source = rasters.rgb(tmp_path)
    result = run(*RASTER, address, source, tmp_path / "target.tif", "2.5")
    assert result.returncode == 0, result.stderr
    with Client(address) as client, rasterio.open(source) as before, rasterio.open(tmp_path / "target.tif") as after:
        pixels = np.ascontiguousarray(before.read().transpose(1, 2, 0))
        np.testing.assert_array_equal(after.read().transpose(1, 2, 0), client.upscale(pixels, scale=2.5).image)


def test_raster_example_says_that_all_is_as_it_was_made(address: str, tmp_path: Path) -> None:
    result = run(*RASTER, address, rasters.rgb(tmp_path), tmp_path / "target.tif", "4")
    assert result.stdout.splitlines()[-1] == "all of it is as it was made", result.stderr


def test_raster_example_says_the_remedy_when_the_raster_is_refused(address: str, tmp_path: Path) -> None:
    result = run(*RASTER, address, rasters.palette(tmp_path), tmp_path / "target.tif")
    assert result.returncode == 1
    assert "gdal_translate" in result.stderr


def test_async_example_writes_the_pictures_that_the_sdk_gets(address: str, sources: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "enlarged"
    result = run(*ASYNC, address, folder, *sources)
    assert result.returncode == 0, result.stderr
    for source in sources:
        np.testing.assert_array_equal(pixels(folder / source.name), by_sdk(address, source, "4"))


def test_async_example_says_the_reason_and_goes_on_when_one_file_is_refused(
    address: str, sources: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "enlarged"
    sources[1].write_bytes(sources[1].read_bytes()[:100])
    result = run(*ASYNC, address, folder, *sources)
    written = sorted(path.name for path in folder.iterdir())
    assert (result.returncode, written) == (1, [sources[0].name, sources[2].name])
    assert f"{sources[1]}: IMAGE_DAMAGED: " in result.stderr
