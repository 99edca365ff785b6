"""Rasters of every kind, opened, read, lost and refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasters

from hndsr_client._raster.choices import RasterSource
from hndsr_client._raster.dataset import Dataset
from hndsr_client.errors import ArgumentError, LocalFileError, SourceChangedError

WHOLE = slice(0, 90), slice(0, 120)
LARGE_PX = 300, 400
ALL_OF_LARGE = slice(0, 300), slice(0, 400)


def opened(path: str | os.PathLike[str]) -> Dataset:
    return Dataset(RasterSource(path))


def noise(folder: Path, name: str, **profile: object) -> Path:
    """A file that cannot be made smaller, so that cutting it loses samples."""
    samples = np.random.default_rng(0).integers(1, 256, (3, *LARGE_PX), np.uint8)
    return rasters.write(folder / name, samples, **profile)


TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}
LOSSLESS = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": "64", "BLOCKYSIZE": "64"}
CUT: dict[str, Callable[[Path], Path]] = {
    "strips": lambda folder: noise(folder, "a.tif"),
    "planar strips": lambda folder: noise(folder, "a.tif", interleave="band"),
    "tiles": lambda folder: noise(folder, "a.tif", **TILED),
    "deflated strips": lambda folder: noise(folder, "a.tif", compress="deflate"),
    "deflated tiles": lambda folder: noise(folder, "a.tif", compress="deflate", **TILED),
    "jpeg tiles": lambda folder: noise(folder, "a.tif", compress="jpeg", **TILED),
    "cog": lambda folder: rasters.copy(noise(folder, "b.tif"), folder / "a.tif", driver="COG", BLOCKSIZE=128),
    "jpeg2000": lambda folder: rasters.copy(noise(folder, "b.tif"), folder / "a.jp2", driver="JP2OpenJPEG", **LOSSLESS),
    "png": lambda folder: noise(folder, "a.png", driver="PNG", crs=None, transform=None),
    "jpeg": lambda folder: noise(folder, "a.jpg", driver="JPEG"),
    "envi": lambda folder: noise(folder, "a.envi", driver="ENVI"),
    "netcdf": lambda folder: rasters.copy(
        rasters.write(folder / "b.tif", rasters.pattern(1, LARGE_PX)), folder / "a.nc", driver="netCDF"
    ),
}


@pytest.mark.parametrize("make", CUT.values(), ids=CUT)
def test_dataset_says_that_a_file_is_cut_off(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = rasters.truncate(make(tmp_path))
    bands = (1,) if path.suffix == ".nc" else (1, 2, 3)
    with (
        pytest.raises(LocalFileError, match=r"a\.\w+: (cannot be read at rows 0:300, columns 0:400: |is cut off)"),
        opened(path) as dataset,
    ):
        dataset.read(ALL_OF_LARGE, bands)


def test_dataset_reads_what_is_left_of_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = noise(tmp_path, "a.tif", **TILED)
    with opened(path) as dataset:
        there = dataset.read((slice(0, 64), slice(0, 400)), (1, 2, 3))
    with opened(rasters.truncate(path)) as dataset:
        assert np.array_equal(dataset.read((slice(0, 64), slice(0, 400)), (1, 2, 3)), there)


@pytest.mark.parametrize(
    "make",
    [
        rasters.rgb, rasters.rotated, rasters.planar, rasters.virtual, rasters.png, rasters.jpeg2000,
        rasters.custom_crs, rasters.ground_points, rasters.plain, rasters.naip, rasters.geolocated,
    ],
)  # fmt: skip
def test_dataset_reads_windows(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    if make is rasters.geolocated:
        path = path.with_name("virtual.vrt")
    with opened(path) as dataset:
        read = dataset.read((slice(7, 60), slice(3, 100)), (3, 1, 1))
    assert np.array_equal(read, np.moveaxis(rasters.pattern(4), 0, -1)[7:60, 3:100, [2, 0, 0]])


def test_dataset_tells_all_of_a_raster(tmp_path: Path) -> None:
    with opened(rasters.uint16(tmp_path)) as dataset:
        raster = dataset.raster
    band = raster.bands[0]
    assert (raster.size_px, raster.dtype, raster.validity, raster.alpha) == ((90, 120), "uint16", "all", None)
    assert (band.name, band.unit, band.scale, band.offset) == ("B01", "reflectance", 0.0001, -0.1)
    assert band.tags["WAVELENGTH_NM"] == "490"
    assert raster.tags["AREA_OR_POINT"] == "Point"
    assert raster.domains["IMAGERY"]["CLOUDCOVER"] == "3"
    assert set(raster.domains) == {"IMAGERY"}
    assert dataset.block_px == (48, 64)


def test_dataset_tells_the_place_of_a_rotated_raster(tmp_path: Path) -> None:
    with opened(rasters.rotated(tmp_path)) as dataset, rasterio.open(tmp_path / "rotated.tif") as known:
        assert dataset.raster.georeference.transform == tuple(known.transform)[:6]
        assert rasterio.crs.CRS.from_wkt(dataset.raster.georeference.crs) == known.crs


def test_dataset_tells_a_custom_crs_as_wkt_2(tmp_path: Path) -> None:
    with opened(rasters.custom_crs(tmp_path)) as dataset:
        wkt = dataset.raster.georeference.crs
    assert wkt is not None
    assert wkt.startswith("PROJCRS[")
    assert "500000.25" in wkt


def test_dataset_tells_ground_points_and_their_crs(tmp_path: Path) -> None:
    with opened(rasters.ground_points(tmp_path)) as dataset:
        place = dataset.raster.georeference
    assert place.transform is None
    assert "UTM zone 33N" in str(place.crs)
    assert [(point.row_px, point.column_px, point.x, point.y) for point in place.points] == [
        (row, column, 500_000 + 10 * column + row, 5_000_000 - 9 * row)
        for row, column in [(0, 0), (0, 120), (90, 0), (90, 120)]
    ]


def test_dataset_tells_rational_polynomials(tmp_path: Path) -> None:
    with opened(rasters.rational_polynomial(tmp_path)) as dataset:
        place = dataset.raster.georeference
    assert place.rpcs is not None
    assert float(place.rpcs["LINE_OFF"]) == 44.5
    assert (place.crs, place.transform, place.points) == (None, None, ())


def test_dataset_knows_no_place_of_a_plain_picture(tmp_path: Path) -> None:
    with opened(rasters.plain(tmp_path)) as dataset:
        assert (dataset.raster.georeference.crs, dataset.raster.georeference.transform) == (None, None)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_dataset_takes_alpha_for_the_mask(dtype: str, tmp_path: Path) -> None:
    with opened(rasters.alpha(tmp_path, dtype=dtype)) as dataset:
        raster, mask = dataset.raster, dataset.read_mask(WHOLE)
    assert (raster.alpha, len(raster.bands), raster.validity) == (4, 3, "alpha")
    assert mask is not None
    assert np.array_equal(np.argwhere(~mask), [(row, column) for row in range(30, 60) for column in range(40)])


@pytest.mark.parametrize("external", [False, True])
def test_dataset_reads_the_mask_of_the_whole_raster(tmp_path: Path, *, external: bool) -> None:
    with opened(rasters.internal_mask(tmp_path, external=external)) as dataset:
        mask = dataset.read_mask((slice(49, 90), slice(59, 120)))
        assert dataset.raster.validity == "mask"
    assert mask is not None
    assert (mask.sum(), mask[1:, 1:41].any()) == (mask.size - 40 * 40, False)


def test_dataset_has_no_mask_where_nodata_says_what_is_valid(tmp_path: Path) -> None:
    with opened(rasters.nodata_islands(tmp_path)) as dataset:
        assert dataset.raster.validity == "nodata"
        assert dataset.raster.bands[2].nodata == 0
        assert dataset.read_mask(WHOLE) is None


def test_dataset_ignores_nodata_that_no_sample_can_be(tmp_path: Path) -> None:
    path = rasters.virtual(tmp_path)
    path.write_text(path.read_text().replace("<ColorInterp>", "<NoDataValue>-9999</NoDataValue><ColorInterp>"))
    with opened(path) as dataset:
        assert (dataset.raster.validity, dataset.raster.bands[0].nodata) == ("all", None)


def test_dataset_opens_a_folder_of_zarr(tmp_path: Path) -> None:
    with opened(rasters.zarr_store(tmp_path)) as dataset:
        read = dataset.read(WHOLE, (1, 2, 3))
        assert dataset.path == tmp_path / "store.zarr"
    assert np.array_equal(read, np.moveaxis(rasters.pattern(3, dtype="uint16"), 0, -1))


def test_dataset_opens_a_part_of_a_container(tmp_path: Path) -> None:
    container = rasters.container(tmp_path)
    with opened(rasters.container_part(container, 2)) as dataset:
        assert np.array_equal(dataset.read(WHOLE, (1,))[..., 0], rasters.pattern(3)[1])
        assert (dataset.path, dataset.files) == (None, (container,))


@pytest.mark.parametrize("name", ["/vsizip/{archive}/rgb.tif", "/vsizip/{{{archive}}}/rgb.tif"])
def test_dataset_watches_the_archive_that_it_reads(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "rgb.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(rasters.rgb(tmp_path), "rgb.tif")
    with opened(name.format(archive=archive)) as dataset:
        assert dataset.files == (archive,)


def test_dataset_opens_the_address_of_a_local_file(tmp_path: Path) -> None:
    path = rasters.rgb(tmp_path, name="with a blank.tif")
    with opened(path.as_uri()) as dataset:
        assert (dataset.path, dataset.files) == (path, (path,))


def test_dataset_does_not_expand_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rasters.rgb(tmp_path / "~")
    monkeypatch.chdir(tmp_path)
    with opened("~/rgb.tif") as dataset:
        assert (dataset.name, dataset.path) == ("~/rgb.tif", tmp_path / "~" / "rgb.tif")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (rasters.palette, "gdal_translate -expand rgb"),
        (rasters.geolocated, "warp it first"),
        (rasters.container, "holds 3 rasters; name one of them: netcdf:.*Band1, .*Band2, .*Band3$"),
        (lambda folder: rasters.write(folder / "a.tif", np.ones((1, 9, 9), np.complex64)), "is complex"),
        (lambda folder: rasters.write(folder / "a.tif", np.ones((1, 9, 9), np.int32)), "gdal_translate -ot Float32"),
    ],
    ids=["palette", "geolocation", "container", "complex", "int32"],
)
def test_dataset_refuses_what_is_not_read(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        opened(make(tmp_path))


@pytest.mark.parametrize("name", ["missing.tif", "text.tif", "file:///missing.tif"])
def test_dataset_says_that_a_file_cannot_be_opened(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.tif").write_text("no raster")
    with pytest.raises(LocalFileError, match=rf"^{name}: cannot be opened: "):
        opened(name)


def rewrite(path: Path) -> None:
    """Change the time alone."""
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    """Another file of the same content and time."""
    state, content = path.stat(), path.read_bytes()
    path.rename(path.with_suffix(".before"))
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def add(path: Path) -> None:
    path.with_name("9.9.9").write_bytes(b"another")


def rename(path: Path) -> None:
    path.rename(path.with_name("9.9.9"))


@pytest.mark.parametrize("change", [rewrite, replace, Path.unlink, rasters.truncate])
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (rasters.rgb, "rgb.tif"),
        (rasters.virtual, "virtual_source.tif"),
        (lambda folder: rasters.internal_mask(folder, external=True), "external_mask.tif.msk"),
        (rasters.zarr_store, "store.zarr/store/0.0.0"),
    ],
    ids=["file", "source of a VRT", "mask beside it", "chunk"],
)
def test_dataset_notices_a_change(
    change: Callable[[Path], object], make: Callable[[Path], Path], part: str, tmp_path: Path
) -> None:
    with opened(make(tmp_path)) as dataset:
        dataset.check_unchanged()
        change(tmp_path / part)
        with pytest.raises(SourceChangedError):
            dataset.check_unchanged()


@pytest.mark.parametrize("change", [add, rename])
def test_dataset_notices_chunks_that_come_and_go(change: Callable[[Path], object], tmp_path: Path) -> None:
    with opened(rasters.zarr_store(tmp_path)) as dataset:
        change(tmp_path / "store.zarr/store/0.0.0")
        with pytest.raises(SourceChangedError):
            dataset.check_unchanged()


def test_dataset_is_shared_by_threads(tmp_path: Path) -> None:
    known = np.moveaxis(rasters.pattern(3, (600, 700)), 0, -1)
    wrong: list[object] = []
    with opened(rasters.cog(tmp_path)) as dataset:

        def read(number: int) -> None:
            try:
                for row in range(number, 500, 37):
                    window = slice(row, row + 90), slice(number, 690)
                    if not np.array_equal(dataset.read(window, (1, 2, 3)), known[window]):
                        wrong.append(window)
            except Exception as error:  # noqa: BLE001 -- told to the test
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.fixture
def server(tmp_path: Path) -> rasters.RangeServer:
    rasters.cog(tmp_path / "bucket", COMPRESS="NONE")
    with rasters.RangeServer(tmp_path) as server, rasterio.Env(**server.options("s3")):
        yield server


@pytest.mark.parametrize("name", ["{url}/bucket/cog.tif", "/vsicurl/{url}/bucket/cog.tif", "s3://bucket/cog.tif"])
def test_dataset_reads_over_the_network(name: str, server: rasters.RangeServer) -> None:
    window = slice(100, 400), slice(50, 650)
    with opened(name.format(url=server.url)) as dataset:
        read = dataset.read(window, (1, 2, 3))
        assert (dataset.path, dataset.files) == (None, ())
        dataset.check_unchanged()
    assert np.array_equal(read, np.moveaxis(rasters.pattern(3, (600, 700)), 0, -1)[window])


def test_dataset_refuses_zarr_on_another_machine(tmp_path: Path) -> None:
    rasters.zarr_store(tmp_path)
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    # GDAL holds the interpreter's lock while it looks for chunks, so no thread of this process could answer.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        try:
            with pytest.raises(ArgumentError, match="copy it here first"):
                opened(f'ZARR:"/vsicurl/http://127.0.0.1:{port}/store.zarr"')
        finally:
            server.kill()


def test_dataset_refuses_raw_samples_on_another_machine(
    server: rasters.RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(tmp_path / "bucket", "a.img", driver="ENVI")
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "TRUE")
    with pytest.raises(ArgumentError, match="is ENVI on another machine"):
        opened(f"{server.url}/bucket/a.img")


def test_dataset_reads_no_more_of_a_remote_raster_than_the_window(server: rasters.RangeServer) -> None:
    with opened(f"{server.url}/bucket/cog.tif") as dataset:
        dataset.read((slice(0, 9), slice(0, 9)), (1, 2, 3))
    asked = [part for _, _, part in server.requests if part]
    assert 0 < sum(int(part.split("-")[1]) - int(part.split("=")[1].split("-")[0]) + 1 for part in asked) < 300_000


@pytest.mark.parametrize("how", ["dies", "fails", "cuts", "has no file"])
def test_dataset_says_that_a_server_was_lost(how: str, server: rasters.RangeServer) -> None:
    with opened(f"{server.url}/bucket/cog.tif") as dataset:
        {
            "dies": server.die,
            "fails": server.fail,
            "cuts": lambda: server.cut(after_bytes=1000),
            "has no file": lambda: server.fail(status=HTTPStatus.NOT_FOUND),
        }[how]()
        with pytest.raises(LocalFileError, match="cannot be read at rows 500:600, columns 0:700: "):
            dataset.read((slice(500, 600), slice(0, 700)), (1, 2, 3))


SECRET = "hunter2"  # noqa: S105 -- of nothing


@pytest.mark.parametrize(
    "name",
    [
        "http://ann:{secret}@127.0.0.1:{port}/bucket/{file}",
        "http://127.0.0.1:{port}/bucket/{file}?X-Amz-Credential={secret}&X-Amz-Signature={secret}",
        "/vsicurl/http://ann:{secret}@127.0.0.1:{port}/bucket/{file}?sig={secret}",
        "/vsicurl?max_retry=0&url=http%3A%2F%2Fann%3A{secret}%40127.0.0.1%3A{port}%2Fbucket%2F{file}",
    ],
)
@pytest.mark.parametrize("file", ["cog.tif", "missing.tif"])
def test_dataset_keeps_credentials_to_itself(name: str, file: str, server: rasters.RangeServer) -> None:
    said = ""
    try:
        with opened(name.format(secret=SECRET, port=server.port, file=file)) as dataset:
            said = dataset.name
            server.fail()
            dataset.read((slice(500, 600), slice(0, 700)), (1, 2, 3))
    except LocalFileError as error:
        said += f"{error} {error.__cause__}"
    assert "cannot be " in said
    assert SECRET not in said


def test_dataset_leaves_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "9")
    with opened(rasters.rgb(tmp_path)) as dataset:
        assert "GDAL_HTTP_MAX_RETRY" not in dataset._environment().options
