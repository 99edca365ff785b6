"""Targets and unfinished jobs, compared with what was made."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasters
import rioxarray
import zarr
from unit.client.raster.composed import composed, raster_of, samples

from hndsr_client import (
    Client,
    JobInUseError,
    LocalFileError,
    RasterProgress,
    RasterSource,
    ServerError,
    Verification,
    verify_raster,
)
from hndsr_client._raster.choices import RasterTarget
from hndsr_client._raster.description import Georeference
from hndsr_client._raster.record import RECORD_TAG, Record, TripleRecord
from hndsr_client._raster.verify import verify
from hndsr_client.testing import FakeServer

ROWS_PX, COLUMNS_PX = (0, 128, 200), (0, 256, 301)
FORMATS = pytest.mark.parametrize("file_format", ["cog", "gtiff", "zarr"])


def _windows() -> list[tuple[slice, slice]]:
    return [(slice(*rows), slice(*columns)) for rows, columns in product(pairwise(ROWS_PX), pairwise(COLUMNS_PX))]


def _record(pixels: npt.NDArray[Any], bands: list[tuple[int, ...]], *, alpha: bool = False) -> Record:
    triples = []
    for index, numbers in enumerate(bands):
        planes = [number - 1 for number in numbers] + [pixels.shape[2] - 1] * (alpha and index == 0)
        sums = [zlib.crc32(np.ascontiguousarray(pixels[window][..., planes]).data) for window in _windows()]
        triples.append(TripleRecord(numbers, "digest", tuple(sums)))
    return Record("4/1", "hndsr", "ab", 3, 0.5, 1, ROWS_PX, COLUMNS_PX, tuple(triples), lossless=True)


def _made(
    folder: Path,
    file_format: Any,
    pixels: npt.NDArray[Any],
    record: Record,
    mask: npt.NDArray[np.uint8] | None = None,
    *,
    compress: Any = "deflate",
    **facts: Any,
) -> Path:
    raster = raster_of(pixels, tags={RECORD_TAG: record.text()}, **facts)
    target = RasterTarget("scene", format=file_format, block_px=128, compress=compress)
    return composed(folder, pixels, raster, target, mask)


def _mask() -> npt.NDArray[np.uint8]:
    return np.where(np.random.default_rng(3).random((200, 301)) < 0.7, np.uint8(255), np.uint8(0))


def _masked(record: Record, mask: npt.NDArray[np.uint8], *, lossless: bool = True) -> Record:
    sums = tuple(zlib.crc32(np.ascontiguousarray(mask[window]).data) for window in _windows())
    return replace(record, masks=sums, lossless=lossless)


@FORMATS
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_verify_finds_nothing_when_all_is_there(tmp_path: Path, file_format: Any, dtype: str) -> None:
    pixels = samples(dtype=dtype, bands=5)
    verified = verify(
        _made(tmp_path, file_format, pixels, _record(pixels, [(1, 2, 3), (4, 5)])), on_progress=lambda _: None
    )
    assert (verified.ok, verified.tiles, verified.lossy) == (True, 8, False)


@FORMATS
def test_verify_counts_alpha_to_the_first_triple(tmp_path: Path, file_format: Any) -> None:
    pixels = samples(bands=4)
    pixels[..., 3] = np.where(pixels[..., 3] > 100, 65535, 0)
    record = _record(pixels, [(1, 2), (3,)], alpha=True)
    assert verify(_made(tmp_path, file_format, pixels, record, validity="alpha"), on_progress=lambda _: None).ok


@FORMATS
def test_verify_names_tiles_that_were_changed(tmp_path: Path, file_format: Any) -> None:
    pixels = samples()
    record = _record(pixels, [(1, 2, 3)])
    pixels[150, 270, 1] += 1
    assert verify(_made(tmp_path, file_format, pixels, record), on_progress=lambda _: None).bad_tiles == ((1, 1),)


KEPT = pytest.mark.parametrize(
    ("file_format", "compress"),
    [(name, "deflate") for name in ("cog", "gtiff", "zarr")]
    + [(name, lossy) for name in ("cog", "gtiff") for lossy in ("jpeg", "webp")],
)


@KEPT
def test_verify_finds_nothing_when_the_mask_is_there(tmp_path: Path, file_format: Any, compress: Any) -> None:
    pixels, mask = samples(dtype="uint8"), _mask()
    record = _masked(_record(pixels, [(1, 2, 3)]), mask, lossless=compress == "deflate")
    part = _made(tmp_path, file_format, pixels, record, mask, compress=compress, validity="mask")
    verified = verify(part, on_progress=lambda _: None)
    assert (verified.ok, verified.lossy) == (True, compress != "deflate")


@KEPT
def test_verify_names_tiles_whose_mask_was_changed(tmp_path: Path, file_format: Any, compress: Any) -> None:
    pixels, mask = samples(dtype="uint8"), _mask()
    record = _masked(_record(pixels, [(1, 2, 3)]), mask, lossless=compress == "deflate")
    mask[150, 270] ^= 255
    part = _made(tmp_path, file_format, pixels, record, mask, compress=compress, validity="mask")
    assert verify(part, on_progress=lambda _: None).bad_tiles == ((1, 1),)


@FORMATS
def test_verify_names_all_tiles_when_the_mask_is_gone(tmp_path: Path, file_format: Any) -> None:
    pixels = samples()
    record = _masked(_record(pixels, [(1, 2, 3)]), _mask())
    verified = verify(_made(tmp_path, file_format, pixels, record), on_progress=lambda _: None)
    assert verified.bad_tiles == ((0, 0), (0, 1), (1, 0), (1, 1))


@FORMATS
def test_verify_is_silent_of_what_is_nowhere(tmp_path: Path, file_format: Any) -> None:
    pixels = samples()
    part = _made(tmp_path, file_format, pixels, _record(pixels, [(1, 2, 3)]), georeference=Georeference())
    assert verify(part, on_progress=lambda _: None).ok


def test_verify_names_tiles_whose_chunks_are_gone(tmp_path: Path) -> None:
    pixels = samples()
    part = _made(tmp_path, "zarr", pixels, _record(pixels, [(1, 2, 3)]))
    (part / "raster" / "1" / "1" / "2").unlink()
    assert verify(part, on_progress=lambda _: None).bad_tiles == ((1, 1),)


def test_verify_names_tiles_that_cannot_be_read(tmp_path: Path) -> None:
    pixels = samples()
    part = _made(tmp_path, "gtiff", pixels, _record(pixels, [(1, 2, 3)]))
    with rasterio.open(part) as made:
        offset = int(made.get_tag_item("BLOCK_OFFSET_2_1", "TIFF", bidx=1))
    with part.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 64)
    assert verify(part, on_progress=lambda _: None).bad_tiles == ((1, 1),)


# rioxarray's own way with a transform.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_record_is_text_to_rioxarray(tmp_path: Path) -> None:
    pixels = samples()
    record = _record(pixels, [(1, 2, 3)])
    with rioxarray.open_rasterio(_made(tmp_path, "cog", pixels, record)) as array:
        assert array.attrs[RECORD_TAG] == record.text()


def test_verify_tells_how_far_it_is(tmp_path: Path) -> None:
    pixels, told = samples(), list[int]()
    verify(_made(tmp_path, "cog", pixels, _record(pixels, [(1, 2, 3)])), on_progress=told.append)
    assert told == [128 * 256, 128 * 301, 128 * 301 + 72 * 256, 200 * 301]


def test_verify_takes_a_lossy_target_as_it_is(tmp_path: Path) -> None:
    pixels = samples(dtype="uint8")
    raster = raster_of(pixels, tags={RECORD_TAG: replace(_record(pixels, [(1, 2, 3)]), lossless=False).text()})
    part = composed(tmp_path, pixels, raster, RasterTarget("scene.tif", compress="jpeg"))
    verified = verify(part, on_progress=lambda _: None)
    assert (verified.ok, verified.lossy) == (True, True)


@FORMATS
def test_verify_refuses_what_has_no_record(tmp_path: Path, file_format: Any) -> None:
    pixels = samples()
    part = composed(tmp_path, pixels, raster_of(pixels), RasterTarget("scene", format=file_format))
    with pytest.raises(LocalFileError, match="has no record of its making"):
        verify(part, on_progress=lambda _: None)


@FORMATS
def test_verify_refuses_another_size(tmp_path: Path, file_format: Any) -> None:
    record = _record(samples(), [(1, 2, 3)])
    with pytest.raises(LocalFileError, match="is of 100 x 301 px of 3 bands, made were 200 x 301 px of 3"):
        verify(_made(tmp_path, file_format, samples()[:100], record), on_progress=lambda _: None)


def test_verify_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="no such file"):
        verify(tmp_path / "none.tif", on_progress=lambda _: None)


def test_verify_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="not of a raster in zarr"):
        verify(tmp_path, on_progress=lambda _: None)


def test_verify_refuses_zarr_that_has_no_record_in_it(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "store.zarr"), mode="w")
    with pytest.raises(LocalFileError, match="not of a raster in zarr"):
        verify(tmp_path / "store.zarr", on_progress=lambda _: None)


WITHOUT_ZARR = """
import sys

class Missing:
    def find_spec(name, *_):
        if name == "zarr":
            raise ModuleNotFoundError("No module named 'zarr'", name=name)

sys.meta_path.insert(0, Missing)
from hndsr_client import GeoNotInstalledError, verify_raster
try:
    verify_raster(sys.argv[1])
except GeoNotInstalledError as error:
    print(error)
"""


def test_verify_says_that_zarr_is_missing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_ZARR, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("rasters need the extra geo")


# Three tiles at scale 4, of one core.
SIZE_PX = (60, 140)
Left = Callable[..., Path]


@pytest.fixture
def left(tmp_path: Path, folder: Path) -> Left:
    """Leaves a job behind so many tiles, of a raster of 60 x 140 px; where its target was to appear."""

    def leave(scene: Path, *, after: int, bands: Any = None, job: Path | None = None) -> Path:
        target = folder / "made.tif"
        with FakeServer() as server, Client(server.target) as client:
            server.fail_tiles(reason="INTERNAL", after=after)
            with pytest.raises(ServerError):
                client.upscale_raster(RasterSource(scene, bands=bands), target, job=job, scale=4, cores_per_tile=1)
        return target

    return leave


def _two_triples(folder: Path) -> Path:
    return rasters.write(folder / "many.tif", rasters.pattern(6, SIZE_PX), photometric="minisblack")


def _with_nodata(folder: Path) -> Path:
    pixels = rasters.pattern(3, SIZE_PX)
    pixels[:, :20, :30] = 0
    return rasters.write(folder / "holes.tif", pixels, nodata=0, photometric="rgb")


def _first_byte(work: Path) -> int:
    """Where the samples begin, of three bands of bytes."""
    return work.stat().st_size - 240 * 560 * 3


def _spoil(file: Path, byte: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(byte)
        (before,) = opened.read(1)
        opened.seek(byte)
        opened.write(bytes([before ^ 255]))


def _counts(verified: Verification) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    return verified.tiles, verified.missing_tiles, verified.bad_tiles


@pytest.mark.parametrize("done", [0, 1, 2])
def test_verify_counts_what_a_job_misses(left: Left, tmp_path: Path, done: int) -> None:
    target = left(rasters.rgb(tmp_path, size_px=SIZE_PX), after=done)
    assert _counts(verify_raster(target)) == (3, 3 - done, ())


@pytest.mark.parametrize(("done", "missing"), [(1, 5), (3, 3), (4, 2)])
def test_verify_counts_what_several_triples_miss(left: Left, tmp_path: Path, done: int, missing: int) -> None:
    target = left(_two_triples(tmp_path), after=done, bands="all")
    assert _counts(verify_raster(target)) == (6, missing, ())


def test_verify_takes_the_path_of_a_job(left: Left, tmp_path: Path) -> None:
    job = tmp_path / "elsewhere"
    left(_two_triples(tmp_path), after=4, bands="all", job=job)
    assert _counts(verify_raster(job)) == (6, 2, ())


def test_verify_tells_how_far_it_is_over_all_triples(left: Left, tmp_path: Path) -> None:
    target, told = left(_two_triples(tmp_path), after=4, bands="all"), list[int]()
    verify_raster(target, on_progress=told.append)
    assert told == [224 * 240, 448 * 240, 560 * 240, 784 * 240]


def test_verify_names_tiles_of_a_damaged_work_file(left: Left, tmp_path: Path) -> None:
    target = left(rasters.rgb(tmp_path, size_px=SIZE_PX), after=2)
    work = target.with_name("made.tif.hndsr-work")
    _spoil(work, _first_byte(work) + (100 * 560 + 300) * 3)
    assert _counts(verify_raster(target)) == (3, 1, ((0, 1),))


def test_verify_names_tiles_of_a_damaged_work_file_of_the_second_triple(left: Left, tmp_path: Path) -> None:
    target = left(_two_triples(tmp_path), after=4, bands="all")
    work = target.with_name("made.tif.2.hndsr-work")
    _spoil(work, _first_byte(work))
    assert _counts(verify_raster(target)) == (6, 2, ((0, 0),))


def test_verify_finds_nothing_in_a_masked_job(left: Left, tmp_path: Path) -> None:
    target = left(_with_nodata(tmp_path), after=2)
    assert _counts(verify_raster(target)) == (3, 1, ())


def test_verify_names_tiles_of_a_damaged_mask(left: Left, tmp_path: Path) -> None:
    target = left(_with_nodata(tmp_path), after=2)
    _spoil(target.with_name("made.tif.hndsr-mask"), 0)
    assert _counts(verify_raster(target)) == (3, 1, ((0, 0),))


@pytest.mark.parametrize("kind", ["work", "mask"])
def test_verify_names_tiles_whose_file_is_gone(left: Left, tmp_path: Path, kind: str) -> None:
    target = left(_with_nodata(tmp_path), after=2)
    target.with_name(f"made.tif.hndsr-{kind}").unlink()
    assert _counts(verify_raster(target)) == (3, 1, ((0, 0), (0, 1)))


@pytest.mark.parametrize("kind", ["work", "mask"])
def test_verify_names_tiles_whose_file_is_torn(left: Left, tmp_path: Path, kind: str) -> None:
    target = left(_with_nodata(tmp_path), after=2)
    file = target.with_name(f"made.tif.hndsr-{kind}")
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    assert _counts(verify_raster(target)) == (3, 1, ((0, 0), (0, 1)))


def test_verify_leaves_a_job_as_it_was(left: Left, tmp_path: Path, folder: Path) -> None:
    target = left(_with_nodata(tmp_path), after=2)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    verify_raster(target)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_verify_refuses_a_job_that_is_in_use(tmp_path: Path, folder: Path) -> None:
    target, refused = folder / "made.tif", set[str]()

    def look(progress: RasterProgress) -> None:
        try:
            verify_raster(target)
        except JobInUseError:
            refused.add(progress.stage)
        except LocalFileError:  # no tile has been planned yet
            pass

    with FakeServer() as server, Client(server.target) as client:
        scene = rasters.rgb(tmp_path, size_px=SIZE_PX)
        client.upscale_raster(scene, target, scale=4, cores_per_tile=1, on_progress=look)
    assert refused == {"upscaling", "writing", "checking"}


def test_verify_finds_nothing_once_a_job_is_finished(left: Left, tmp_path: Path) -> None:
    scene = _two_triples(tmp_path)
    target = left(scene, after=4, bands="all")
    with FakeServer() as server, Client(server.target) as client:
        client.upscale_raster(RasterSource(scene, bands="all"), target, scale=4, cores_per_tile=1)
    assert _counts(verify_raster(target)) == (6, 0, ())
