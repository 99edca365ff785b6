"""Targets composed of work files: what GeoTIFF keeps, and what is left when it cannot be made."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rio_cogeo.cogeo import cog_validate
from unit.client.raster.composed import (
    CUSTOM,
    LONGITUDE_LATITUDE,
    POINTS,
    ROTATED,
    RPCS,
    SIZE_PX,
    UTM,
    composed,
    composition_of,
    raster_of,
    samples,
)

from hndsr_client import LocalFileError
from hndsr_client._raster.choices import RasterTarget, Resampling
from hndsr_client._raster.composition import Composition, WorkBand, compose
from hndsr_client._raster.convert import converted
from hndsr_client._raster.description import Band, Georeference

COG = RasterTarget("scene.tif", format="cog", block_px=128)
GTIFF = RasterTarget("scene.tif", format="gtiff", block_px=128)
EACH = pytest.mark.parametrize("target", [COG, GTIFF], ids=["cog", "gtiff"])
PLACES = {
    "rotated": Georeference(UTM, ROTATED),
    "custom": Georeference(CUSTOM, (0.5, 0.0, 1.5, 0.0, -0.5, 2.5)),
    "longitude and latitude": Georeference(LONGITUDE_LATITUDE, (1e-5, 0, 8, 0, -1e-5, 47)),
    "points": Georeference(LONGITUDE_LATITUDE, points=POINTS),
    "rpcs": Georeference(rpcs=RPCS),
    "none": Georeference(),
}


@EACH
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_compose_keeps_samples(tmp_path: Path, target: RasterTarget, dtype: str) -> None:
    pixels = samples(dtype=dtype)
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels), target)) as made:
        assert made.dtypes == (dtype,) * 3
        np.testing.assert_array_equal(made.read(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw", "none", "jpeg", "webp"])
def test_compose_makes_a_valid_cog(tmp_path: Path, compress: Any) -> None:
    pixels = samples((700, 900), dtype="uint8")
    part = composed(tmp_path, pixels, raster_of(pixels), replace(COG, compress=compress))
    is_valid, errors, warnings = cog_validate(part, strict=True)
    assert (is_valid, errors, warnings) == (True, [], [])


@EACH
def test_compose_makes_overviews(tmp_path: Path, target: RasterTarget) -> None:
    pixels = samples((700, 900))
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels), target)) as made:
        assert made.overviews(1) == [2, 4, 8]
        # Its block cache holds nothing larger: what is said here of blocks is what the file says.
        assert made.block_shapes == [(128, 128)] * 3


@EACH
@pytest.mark.parametrize("resampling", get_args(Resampling))
def test_compose_makes_overviews_by_every_resampling(tmp_path: Path, target: RasterTarget, resampling: Any) -> None:
    pixels = samples((140, 150), dtype="uint8")
    part = composed(tmp_path, pixels, raster_of(pixels), replace(target, resampling=resampling))
    with rasterio.open(part, overview_level=0) as reduced:
        assert reduced.shape == (70, 75)
        is_nearest = bool((reduced.read(1)[1:-1, 1:-1] == pixels[2:-2:2, 2:-2:2, 0]).all())
    # Of four values of noise most are there once, and then the first of them is taken for the commonest.
    assert is_nearest == (resampling == "nearest") or resampling == "mode"


@EACH
def test_compose_makes_no_overviews_where_none_are_wanted(tmp_path: Path, target: RasterTarget) -> None:
    pixels = samples((700, 900))
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels), replace(target, overviews=False))) as made:
        assert made.overviews(1) == []


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@EACH
@pytest.mark.parametrize("place", PLACES)
def test_compose_keeps_the_place(tmp_path: Path, target: RasterTarget, place: str) -> None:
    pixels, georeference = samples(), PLACES[place]
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels, georeference=georeference), target)) as made:
        points, points_crs = made.gcps
        crs = points_crs if georeference.points else made.crs
        assert crs == (None if georeference.crs is None else CRS.from_wkt(georeference.crs))
        wanted = georeference.transform or (1, 0, 0, 0, 1, 0)
        np.testing.assert_allclose(made.transform[:6], wanted, rtol=1e-15, atol=1e-12)
        kept = [(one.row, one.col, one.x, one.y, one.z) for one in points]
        expected = [(one.row_px, one.column_px, one.x, one.y, one.z) for one in georeference.points]
        np.testing.assert_allclose(kept, expected, rtol=1e-14)
        rpcs = made.tags(ns="RPC")
        for name, text in (georeference.rpcs or {}).items():
            assert [float(one) for one in rpcs[name].split()] == [float(one) for one in text.split()]


@EACH
def test_compose_keeps_what_bands_say(tmp_path: Path, target: RasterTarget) -> None:
    pixels = samples(bands=4)
    bands = (
        Band("uint16", 7.0, "nir", "near infrared", "W/m2", 0.1, -0.5, {"wavelength": "842"}),
        Band("uint16", 7.0, "rededge", "edge", "W/m2", 0.2, 0.25, {"wavelength": "705"}),
        Band("uint16", 7.0, "undefined", None, None, 1.0, 0.0, {}),
        Band("uint16", 7.0, "blue", "blau & grün <3>", None, 1e-4, 0.0, {"a b": 'x="y"'}),
    )
    raster = raster_of(pixels, bands=bands, validity="nodata", domains={"IMAGERY": {"SATELLITEID": "X"}})
    with rasterio.open(composed(tmp_path, pixels, raster, target)) as made:
        assert made.tags(ns="IMAGERY") == {"SATELLITEID": "X"}
        assert [made.tags(number) for number in range(1, 5)] == [dict(band.tags) for band in bands]
        assert made.descriptions == tuple(band.name for band in bands)
        assert made.units == tuple(band.unit for band in bands)
        assert made.scales == tuple(band.scale for band in bands)
        assert made.offsets == tuple(band.offset for band in bands)
        assert [one.name for one in made.colorinterp] == ["nir", "rededge", "undefined", "blue"]
        assert made.nodatavals == (7.0,) * 4


def test_compose_keeps_the_layout_of_a_cog_with_tags_of_bands_and_domains(tmp_path: Path) -> None:
    pixels = samples((700, 900))
    bands = tuple(Band("uint16", color=color, tags={"k": "v"}) for color in ("red", "green", "blue"))
    part = composed(tmp_path, pixels, raster_of(pixels, bands=bands, domains={"IMAGERY": {"k": "v"}}), COG)
    assert cog_validate(part, strict=True) == (True, [], [])


@EACH
def test_compose_keeps_tags(tmp_path: Path, target: RasterTarget) -> None:
    pixels = samples()
    tags = {"HNDSR_RECORD": '{"a": 1}' * 50_000, "AREA_OR_POINT": "Point", "grüße": "<&> 'x'", "TIFFTAG_ARTIST": "me"}
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels, tags=tags), target)) as made:
        assert made.tags().items() >= tags.items()


@EACH
@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0.0), ("int16", -32768.0), ("float32", float("nan"))])
def test_compose_keeps_nodata(tmp_path: Path, target: RasterTarget, dtype: str, nodata: float) -> None:
    pixels = samples(dtype=dtype)
    pixels[:50, :60] = nodata
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels, nodata=nodata, validity="nodata"), target)) as made:
        np.testing.assert_equal(made.nodatavals, (nodata,) * 3)
        valid = np.ones(SIZE_PX, np.bool_)
        valid[:50, :60] = False
        np.testing.assert_array_equal(made.dataset_mask() > 0, valid)


@EACH
def test_compose_keeps_a_mask_inside(tmp_path: Path, target: RasterTarget) -> None:
    pixels, mask = samples(), np.full(SIZE_PX, 255, np.uint8)
    mask[10:90, 20:70] = 0
    part = composed(tmp_path, pixels, raster_of(pixels, validity="mask"), target, mask)
    with rasterio.open(part) as made:
        assert made.mask_flag_enums == ([MaskFlags.per_dataset],) * 3
        np.testing.assert_array_equal(made.dataset_mask(), mask)


@EACH
@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65535)])
def test_compose_keeps_alpha(tmp_path: Path, target: RasterTarget, dtype: str, opaque: int) -> None:
    pixels = samples(dtype=dtype, bands=4)
    pixels[..., 3] = opaque
    pixels[:20, :30, 3] = 0
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels, validity="alpha"), target)) as made:
        assert made.colorinterp[-1].name == "alpha"
        np.testing.assert_array_equal(made.read(4), pixels[..., 3])
        assert made.mask_flag_enums[:3] == ([MaskFlags.per_dataset, MaskFlags.alpha],) * 3


@EACH
@pytest.mark.parametrize(("dtype", "bands", "nodata"), [("float32", 4, None), ("uint16", 5, None), ("uint16", 4, 7.0)])
def test_compose_refuses_alpha_that_gdal_takes_for_none(
    tmp_path: Path, target: RasterTarget, dtype: str, bands: int, nodata: float | None
) -> None:
    pixels = samples(dtype=dtype, bands=bands)
    composition = composition_of(tmp_path, pixels, raster_of(pixels, validity="alpha", nodata=nodata), target)
    said = "GeoTIFF cannot keep which pixels are valid, as alpha; format zarr can"
    assert converted(composition, tmp_path / "part") == said


@EACH
@pytest.mark.parametrize("size_px", [(1, 70_000), (70_000, 1), (1, 1)])
def test_compose_makes_narrow_rasters(tmp_path: Path, target: RasterTarget, size_px: tuple[int, int]) -> None:
    pixels = samples(size_px, bands=1)
    with rasterio.open(composed(tmp_path, pixels, raster_of(pixels), target)) as made:
        np.testing.assert_array_equal(made.read(1), pixels[..., 0])


def test_compose_takes_bands_of_several_work_files(tmp_path: Path) -> None:
    first, second = samples(), samples(bands=2)
    one = composition_of(tmp_path, first, raster_of(first), COG)
    (tmp_path / "2").mkdir()
    other = composition_of(tmp_path / "2", second, raster_of(second), COG)
    both = np.concatenate([first, second], axis=2)
    part = tmp_path / "part"
    compose(Composition(raster_of(both), one.bands + other.bands, None, COG), part, on_progress=lambda _: None)
    with rasterio.open(part) as made:
        np.testing.assert_array_equal(made.read(), both.transpose(2, 0, 1))


def test_compose_tells_how_much_was_written_of_many_files(tmp_path: Path) -> None:
    pixels, told = samples((700, 900)), list[int]()
    target = RasterTarget("scene.zarr", compress="none", block_px=128)
    compose(composition_of(tmp_path, pixels, raster_of(pixels), target), tmp_path / "part", on_progress=told.append)
    files = [one for one in (tmp_path / "part").rglob("*") if one.is_file()]
    assert told == sorted(told)
    assert told[-1] == sum(one.stat().st_size for one in files)


def test_compose_tells_how_much_was_written(tmp_path: Path) -> None:
    pixels, told = samples((600, 600)), list[int]()
    composition = composition_of(tmp_path, pixels, raster_of(pixels), replace(COG, compress="none"))
    compose(composition, tmp_path / "part", on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] >= (tmp_path / "part").stat().st_size


def _large(folder: Path) -> Composition:
    """Zeros of 288 MB, which take no room."""
    size_px, work = (8000, 12_000), folder / "work"
    with work.open("wb") as file:
        file.truncate(6 * size_px[0] * size_px[1])
    bands = tuple(WorkBand(work, 2 * band, 6, 6 * size_px[1]) for band in range(3))
    raster = replace(raster_of(samples((8, 8))), size_px=size_px)
    target = replace(COG, block_px=512, compress="zstd", level=1, resampling="nearest")
    return Composition(raster, bands, None, target)


def test_compose_holds_little_memory(tmp_path: Path) -> None:
    composition, held_bytes = _large(tmp_path), list[int]()

    def look(_: int) -> None:
        held_bytes.extend(child.memory_info().rss for child in psutil.Process().children())

    compose(composition, tmp_path / "part", on_progress=look)
    assert 0 < max(held_bytes) < composition.bands[0].path.stat().st_size


def test_compose_names_what_the_format_loses(tmp_path: Path) -> None:
    pixels = samples()
    raster = raster_of(pixels, georeference=Georeference(UTM, ROTATED, POINTS))
    composition = composition_of(tmp_path, pixels, raster, COG)
    with pytest.raises(LocalFileError, match="GeoTIFF cannot keep the ground control points; format zarr can"):
        compose(composition, tmp_path / "part", on_progress=lambda _: None)
    assert not list(tmp_path.glob("*part*"))


def test_compose_removes_what_an_earlier_child_left(tmp_path: Path) -> None:
    pixels = samples()
    composition, part = composition_of(tmp_path, pixels, raster_of(pixels), COG), tmp_path / "part"
    part.mkdir()
    for name in ("ovr.tmp", "msk.ovr.tmp", "aux.xml"):
        part.with_name(f"{part.name}.{name}").write_bytes(b"left")
    compose(composition, part, on_progress=lambda _: None)
    assert part.is_file()
    assert sorted(path.name for path in tmp_path.glob("*part*")) == [part.name]


class _Interrupted:
    """Interrupts at the first word of progress."""

    def __init__(self) -> None:
        self.children: list[psutil.Process] = []

    def __call__(self, _: int) -> None:
        self.children = psutil.Process().children()
        raise KeyboardInterrupt


def test_compose_ends_the_child_and_leaves_nothing_when_it_is_interrupted(tmp_path: Path) -> None:
    interrupted = _Interrupted()
    with pytest.raises(KeyboardInterrupt):
        compose(_large(tmp_path), tmp_path / "part", on_progress=interrupted)
    assert interrupted.children
    assert not any(child.is_running() for child in interrupted.children)
    assert not list(tmp_path.glob("*part*"))


PARENT = """
import sys
from pathlib import Path
from hndsr_client._raster.composition import Composition, WorkBand, compose
compose(
    Composition.of(sys.stdin.read()), Path(sys.argv[1]), on_progress=lambda size: print(size, flush=True)
)
"""


def test_child_ends_when_its_parent_was_killed(tmp_path: Path) -> None:
    composition, part = _large(tmp_path), tmp_path / "part"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent:
        parent.stdin.write(composition.text())
        parent.stdin.close()
        parent.stdout.readline()
        children = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
    assert len(children) == 1
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_child_keeps_what_is_held(tmp_path: Path) -> None:
    pixels = samples((1200, 1200))
    composition = composition_of(tmp_path, pixels, raster_of(pixels), COG)
    lock = tmp_path / "lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    seen: list[str] = []

    def look(_: int) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(OSError):  # it has just ended
                seen.append(str(Path(f"/proc/{child.pid}/fd/{descriptor}").readlink()))

    compose(composition, tmp_path / "part", held=[descriptor], on_progress=look)
    os.close(descriptor)
    assert set(seen) == {str(lock)}


# Of a COG overviews are made first, of any other file last.
@pytest.mark.parametrize(
    ("file_format", "overviews"), [("cog", True), ("cog", False), ("gtiff", True), ("zarr", False)]
)
def test_compose_says_how_much_room_was_needed(
    tmp_path: Path,
    full: Path,
    file_format: Any,
    overviews: bool,  # noqa: FBT001  a case
) -> None:
    pixels = samples((1000, 1000))
    target = RasterTarget("scene.tif", format=file_format, overviews=overviews)
    composition = composition_of(tmp_path, pixels, raster_of(pixels), target)
    with pytest.raises(LocalFileError, match=r"scene.tif: no space left on device, about [\d,]+ bytes were needed"):
        compose(composition, full / "part", on_progress=lambda _: None)
    assert not list(full.iterdir())


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 2 MiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("target", "overviews"), [(COG, True), (COG, False), (GTIFF, True)])
def test_compose_says_what_the_system_said(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    target: RasterTarget,
    overviews: bool,  # noqa: FBT001  a case
) -> None:
    pixels = samples((1000, 1000))
    composition = composition_of(tmp_path, pixels, raster_of(pixels), replace(target, overviews=overviews))
    request.getfixturevalue("small_files")
    with pytest.raises(LocalFileError, match=r"scene.tif: file too large: (GDAL|.*TIFF)"):
        compose(composition, tmp_path / "part", on_progress=lambda _: None)
    assert not list(tmp_path.glob("*part*"))


def test_child_imports_nothing_that_it_does_not_need() -> None:
    said = "import sys, hndsr_client._raster.convert; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.split()
    assert not {"zarr", "numcodecs", "grpc", "asyncio", "xarray", "PIL"} & set(imported)
