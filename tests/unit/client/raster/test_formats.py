"""What is refused of a target before any work is spent on it, and the room it takes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.client.raster.composed import POINTS, ROTATED, UTM, composed, raster_of, samples

from hndsr_client import ArgumentError
from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.description import Band, Georeference
from hndsr_client._raster.formats import check_target, format_of, is_lossless, needed_bytes

UINT8 = raster_of(samples(dtype="uint8"))
UINT16 = raster_of(samples())


@pytest.mark.parametrize(("name", "expected"), [("a.tif", "cog"), ("a.b.TIFF", "cog"), ("a.zarr", "zarr")])
def test_format_is_that_of_the_extension(name: str, expected: str) -> None:
    assert format_of(RasterTarget(name)) == expected


def test_format_is_what_is_asked_for() -> None:
    assert format_of(RasterTarget("a.png", format="gtiff")) == "gtiff"


def test_format_is_refused_when_the_extension_says_none() -> None:
    with pytest.raises(ArgumentError, match=r"a.png: the extension says no format of rasters, accepted are .tif"):
        format_of(RasterTarget("a.png"))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"path": "/vsis3/bucket/a.tif"}, "write it here, then copy it there"),
        ({"path": "s3://bucket/a.tif"}, "write it here, then copy it there"),
        ({"format": "png"}, "the format is 'png', accepted are"),
        ({"compress": "packbits"}, "the compression is 'packbits', accepted are"),
        ({"level": 13}, "the level is 13, accepted of deflate is 1 to 12"),
        ({"compress": "lzw", "level": 5}, "the level is of deflate and zstd, the compression is lzw"),
        ({"quality": 90}, "the quality is of jpeg and webp, the compression is deflate"),
        ({"compress": "jpeg", "quality": 101}, "the quality is 101, accepted is 1 to 100"),
        ({"block_px": 100}, "multiples of 16 from 128 to 4096"),
        ({"block_px": 8192}, "multiples of 16 from 128 to 4096"),
        ({"resampling": "best"}, "the resampling is 'best', accepted are"),
        ({"format": "zarr", "compress": "lzw"}, "accepted are deflate, zstd and none"),
        ({"format": "zarr", "level": 12}, "accepted of deflate in zarr is 1 to 9"),
        ({"format": "zarr", "compress": "zstd", "level": 10}, "accepted of zstd in zarr is 1 to 9"),
    ],
)
def test_target_is_refused(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        check_target(UINT8, RasterTarget(**{"path": "a.tif", **choice}))


@pytest.mark.parametrize(
    ("raster", "compress", "said"),
    [
        (UINT16, "jpeg", "jpeg keeps uint8 alone, the samples are uint16"),
        (replace(UINT8, validity="nodata"), "webp", "nodata would not be known again"),
        (replace(UINT8, validity="alpha"), "jpeg", "jpeg does not keep alpha as it is"),
        (raster_of(samples(dtype="uint8", bands=5)), "jpeg", "jpeg keeps 1 or 3 bands, there are 5"),
        (raster_of(samples(dtype="uint8", bands=1)), "webp", "webp keeps 3 bands"),
    ],
)
def test_lossy_target_is_refused(raster: Any, compress: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        check_target(raster, RasterTarget("a.tif", compress=compress))


@pytest.mark.parametrize("file_format", ["cog", "gtiff", "zarr"])
@pytest.mark.parametrize("compress", ["deflate", "zstd", "none"])
def test_target_is_accepted(file_format: Any, compress: Any) -> None:
    check_target(UINT16, RasterTarget("a.tif", format=file_format, compress=compress))


WITHOUT_ZARR = """
import sys

class Missing:
    def find_spec(name, *_):
        if name == "zarr":
            raise ModuleNotFoundError("No module named 'zarr'", name=name)

sys.meta_path.insert(0, Missing)
from hndsr_client import GeoNotInstalledError
from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.description import Band, Raster
from hndsr_client._raster.formats import check_target
try:
    check_target(Raster((100, 100), (Band("uint8"),), "all"), RasterTarget(sys.argv[1]))
except GeoNotInstalledError as error:
    print(error)
"""


@pytest.mark.parametrize(("name", "said"), [("a.zarr", "rasters need the extra geo"), ("a.tif", "")])
def test_target_is_refused_when_what_writes_it_is_missing(name: str, said: str) -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_ZARR, name], capture_output=True, text=True, check=True)
    assert run.stdout[: len(said) or None] == said


def test_target_is_refused_when_the_format_would_lose_something() -> None:
    raster = replace(UINT16, georeference=Georeference(UTM, ROTATED, POINTS))
    with pytest.raises(ArgumentError, match="GeoTIFF cannot keep the ground control points; format zarr can"):
        check_target(raster, RasterTarget("a.tif"))


WITHOUT_FILES = """
import resource, sys
from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.description import Band, Raster
from hndsr_client._raster.formats import check_target

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
bands = tuple(Band("uint16", color=color, tags={"k": "v"}) for color in ("red", "green", "blue"))
raster = Raster((100, 100), bands, "mask", domains={"IMAGERY": {"k": "v"}})
check_target(raster, RasterTarget("a.tif", format=sys.argv[1]))
"""


@pytest.mark.parametrize("file_format", ["cog", "gtiff"])
def test_target_is_checked_without_a_file(file_format: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_FILES, file_format], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_target_that_is_nowhere_is_accepted() -> None:
    check_target(replace(UINT16, georeference=Georeference()), RasterTarget("a.tif"))


def test_target_of_zarr_keeps_all() -> None:
    check_target(replace(UINT16, georeference=Georeference(UTM, ROTATED, POINTS)), RasterTarget("a.zarr"))


def test_target_is_checked_with_the_tags_of_its_bands() -> None:
    bands = tuple(Band("uint8", color=color, tags={"k": "v"}) for color in ("red", "green", "blue"))
    check_target(replace(UINT8, bands=bands, domains={"IMAGERY": {"k": "v"}}), RasterTarget("a.tif"))


@pytest.mark.parametrize("file_format", ["cog", "gtiff", "zarr"])
def test_room_is_enough_uncompressed(tmp_path: Path, file_format: Any) -> None:
    pixels = samples((300, 500), dtype="float64")
    target = RasterTarget("a.tif", format=file_format, compress="none", block_px=128)
    part = composed(tmp_path, pixels, raster_of(pixels), target)
    files = [one for one in (part, *part.rglob("*")) if one.is_file()]
    assert sum(one.stat().st_size for one in files) <= needed_bytes(raster_of(pixels), target)


HEAD_BYTES = 1 << 20
LARGE = replace(raster_of(samples((8, 8), dtype="uint8")), size_px=(40_960, 40_960))
LARGE_BYTES = 3 * 40_960**2


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"compress": "none"}, 1 + 2 / 3),
        ({"compress": "none", "overviews": False}, 1),
        ({"compress": "none", "format": "gtiff"}, 1 + 1 / 3),
        ({"compress": "none", "format": "zarr"}, 1),
        ({"compress": "deflate"}, 1 + 1 / 3),
        ({"compress": "zstd", "overviews": False}, 1),
        ({"compress": "jpeg"}, (1 + 1 / 3) / 3),
        ({"compress": "webp", "overviews": False}, 1 / 3),
    ],
    ids=str,
)
def test_room_is_that_of_what_is_there_at_a_time(choice: dict[str, Any], expected: float) -> None:
    needed = needed_bytes(LARGE, RasterTarget(**{"path": "a.tif", **choice})) - HEAD_BYTES
    assert needed / LARGE_BYTES == pytest.approx(expected, rel=0.01)


def test_room_is_taken_by_a_mask_too() -> None:
    masked = needed_bytes(replace(LARGE, validity="mask"), RasterTarget("a.tif", overviews=False)) - HEAD_BYTES
    assert masked / LARGE_BYTES == pytest.approx(4 / 3, rel=1e-3)


@pytest.mark.parametrize(
    ("compress", "expected"), [("deflate", True), ("none", True), ("jpeg", False), ("webp", False)]
)
def test_lossless_is_all_but_jpeg_and_webp(compress: Any, expected: bool) -> None:  # noqa: FBT001  a case
    assert is_lossless(RasterTarget("a.tif", compress=compress)) is expected
