"""The parts of streams that need no server: digests, strips, plans, files and their room."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from unit.client.stream_gateway import random_mask, scene

import hndsr_client
from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import AnswerError, JobInUseError, JobMismatchError, LocalFileError, SourceChangedError, Span
from hndsr_client._core.digest import plan_digest
from hndsr_client._exit_codes import LOCAL_FILE, exit_code
from hndsr_client._stream.asked import Pin
from hndsr_client._stream.journal import Entry, Header, Journal
from hndsr_client._stream.npy import NpyReader, npy_header
from hndsr_client._stream.planes import Layout, Plane
from hndsr_client._stream.strips import MAX_STRIP_BYTES, checksum, cut
from hndsr_client._stream.tiles import Tiles
from hndsr_client._stream.windows import Source, SourceTile
from hndsr_client.results import Options, Plan

# Of the contract's own words, spelled out by hand.
DIGESTED = (
    "source=5x7\ntarget=16x22\nscale=22/7\nmodel=hndsr\nrevision=ab\nsteps=3\ntexture=0.699999988\nseed=9\n"
    "ranges=0.10000000000000001:3000.5,0:1,0:1\nsamples=uint16\ncores=2\nrows=0:1:0:5:0:16\ncolumns=0:1:0:7:0:22\n"
)


def test_digest_is_that_of_the_contract() -> None:
    plan = pb.Plan(
        source_height_px=5,
        source_width_px=7,
        target_height_px=16,
        target_width_px=22,
        scale_numerator=22,
        scale_denominator=7,
        model="hndsr",
        revision="ab",
        row_spans=[pb.Span(core_stop=1, source_stop_px=5, target_stop_px=16)],
        column_spans=[pb.Span(core_stop=1, source_stop_px=7, target_stop_px=22)],
        cores_per_tile=2,
        options=pb.UpscaleOptions(steps=3, texture=0.7, seed=9),
    )
    ranges = [pb.ValueRange(minimum=0.1, maximum=3000.5), *[pb.ValueRange(maximum=1)] * 2]
    digest = plan_digest(plan, value_ranges=ranges, sample_type="uint16")
    assert digest == hashlib.sha256(DIGESTED.encode()).hexdigest()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))), st.booleans())
def test_strips_carry_the_tile(pixels: np.ndarray, masked: bool) -> None:  # noqa: FBT001  a case
    mask = random_mask(pixels.shape[:2]) if masked else None
    (request,) = cut(SourceTile(pixels, mask), (2, 3))
    strip = request.strip
    assert (strip.row, strip.column, strip.y_px, strip.last) == (2, 3, 0, True)
    assert strip.pixels == pixels.tobytes()
    assert strip.mask == (b"" if mask is None or mask.all() else np.packbits(mask).tobytes())


def test_strips_are_of_whole_rows_and_limited() -> None:
    pixels = scene((1000, 1000), "uint16")
    strips = [request.strip for request in cut(SourceTile(pixels, None), (0, 0))]
    assert [strip.y_px for strip in strips] == [0, 349, 698]
    assert all(len(strip.pixels) <= MAX_STRIP_BYTES for strip in strips)
    assert b"".join(strip.pixels for strip in strips) == pixels.tobytes()
    assert [strip.last for strip in strips] == [False, False, True]


def test_strip_of_a_row_that_is_too_long_is_that_row() -> None:
    strips = [request.strip for request in cut(SourceTile(np.zeros((2, 700_000, 3), np.uint8), None), (0, 0))]
    assert [len(strip.pixels) for strip in strips] == [2_100_000, 2_100_000]


def test_checksum_of_the_contract() -> None:
    strip = pb.SourceStrip(row=1, column=2, y_px=3, last=True, pixels=b"abc", mask=b"\x80")
    content = bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]) + b"abc\x80"
    assert checksum(strip) == int.from_bytes(_crc32(content), "big")


def _crc32(content: bytes) -> bytes:
    """CRC-32 bit by bit, as the PNG specification writes it."""
    rest = 0xFFFFFFFF
    for byte in content:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0xEDB88320 if rest & 1 else 0)
    return (rest ^ 0xFFFFFFFF).to_bytes(4, "big")


def plan_of(rows: tuple[Span, ...]) -> Plan:
    columns = (Span(0, 1, 0, 7, 0, 28),)
    return Plan(5, 7, 20, 28, 4, "m", "r", rows, columns, "d", 1, Options(0, 0.0, 0), 1, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (Span(0, 1, 0, 5, 0, 19),),
        (Span(0, 1, 0, 5, 1, 20),),
        (Span(0, 1, 0, 6, 0, 20),),
        (Span(0, 1, 3, 3, 0, 20),),
        (Span(0, 1, 0, 5, 0, 10), Span(1, 2, 0, 5, 9, 20)),
        (Span(0, 1, 0, 5, 0, 10), Span(1, 2, 0, 5, 11, 20)),
        (Span(0, 1, 0, 5, 0, 20), Span(1, 2, 0, 5, 20, 20)),
    ],
)
def test_tiles_refuse_a_plan_that_does_not_cut_the_image(rows: tuple[Span, ...]) -> None:
    with pytest.raises(AnswerError, match="the server's plan"):
        Tiles(plan_of(rows))


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy_reader_reads_windows(tmp_path: Path, dtype: str, version: tuple[int, int]) -> None:
    array = scene((9, 8), "uint16").astype(dtype)
    with (tmp_path / "array.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version)
    reader = NpyReader(tmp_path / "array.npy")
    assert np.array_equal(reader[slice(2, 7), slice(3, 8)], array[2:7, 3:8])
    reader.close()


def test_npy_header_is_that_of_numpy(tmp_path: Path) -> None:
    array = scene((9, 8), "uint16")
    (tmp_path / "array.npy").write_bytes(npy_header(array.shape, np.dtype("<u2")) + array.tobytes())
    assert np.array_equal(np.load(tmp_path / "array.npy"), array)


def test_source_is_known_again_by_pixels_and_mask() -> None:
    pixels, mask = scene((9, 8)), random_mask((9, 8))
    tiles = [SourceTile(pixels, mask), SourceTile(pixels, ~mask), SourceTile(pixels[::-1].copy(), mask)]
    assert len({tile.checksum for tile in tiles}) == 3


def test_source_reads_in_the_order_of_the_wire() -> None:
    source = Source(scene((9, 8), "uint16").astype(">u2"))
    assert source.read((slice(0, 9), slice(0, 8))).pixels.dtype == np.dtype("<u2")


def test_plane_keeps_what_was_written(tmp_path: Path) -> None:
    layout, window = Layout((20, 30), 6, b"header"), (slice(5, 9), slice(7, 11))
    pixels = scene((4, 4), "uint16")
    plane = Plane(tmp_path / "plane", layout)
    plane.write(window, pixels)
    plane.close()
    again = Plane(tmp_path / "plane", layout)
    assert again.read(window) == pixels.tobytes()
    again.close()
    assert (tmp_path / "plane").stat().st_size == 6 + 20 * 30 * 6


def test_plane_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match=r"takes 6,000,000,000,000,000 bytes, [\d,]+ are free"):
        Plane(tmp_path / "plane", Layout((10**8, 10**7), 6))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def header() -> Header:
    pin = Pin("d", "r", "m", "4/1", 3, 0.7, 2**64 - 1, 1)
    return Header(pin, (5, 7), (0, 5), (0, 4, 7), {"seed": 2**64 - 1, "texture": 0.7})


def test_journal_is_read_as_it_was_written(tmp_path: Path, header: Header) -> None:
    entries = [Entry(0, 1, 5, 2**32 - 1), Entry(3, 4, 0, 0)]
    with Journal.created(tmp_path / "journal", header) as journal:
        for entry in entries:
            journal.add(entry)
    with Journal.opened(tmp_path / "journal") as journal:
        assert journal.header == header
        assert list(journal.entries().values()) == entries


@given(cut_bytes=st.integers(0, 300), noise=st.binary(max_size=40))
def test_journal_passes_over_what_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, cut_bytes: int, noise: bytes
) -> None:
    header = Header(Pin("d", "r", "m", "4/1", 3, 0.7, 5, 1), (5, 7), (0, 5), (0, 4, 7), {})
    path = tmp_path_factory.mktemp("journal") / "journal"
    with Journal.created(path, header) as journal:
        first = path.stat().st_size
        for column in range(4):
            journal.add(Entry(0, column, column, column))
    content = path.read_bytes()
    kept = content[: max(first, len(content) - cut_bytes)]
    path.write_bytes(kept + noise)
    with Journal.opened(path) as journal:
        journal.add(Entry(9, 9, 9, 9))
        whole = [Entry(0, column, column, column) for column in range(4) if f'"column": {column}' in kept.decode()]
        found = list(journal.entries().values())
    assert found[-1] == Entry(9, 9, 9, 9)
    assert [entry for entry in found[:-1] if entry not in whole] == []
    assert len(found) - 1 >= len(whole) - 1


def test_journal_cannot_be_opened_twice(tmp_path: Path, header: Header) -> None:
    with Journal.created(tmp_path / "journal", header), pytest.raises(JobInUseError):
        Journal.opened(tmp_path / "journal")


def test_journal_cannot_be_created_twice(tmp_path: Path, header: Header) -> None:
    with Journal.created(tmp_path / "journal", header), pytest.raises(JobInUseError):
        Journal.created(tmp_path / "journal", header)
    assert list(tmp_path.iterdir()) == [tmp_path / "journal"]


def test_journal_that_is_missing_is_none(tmp_path: Path) -> None:
    assert Journal.opened(tmp_path / "journal") is None


@pytest.mark.parametrize(
    "error",
    [
        JobInUseError(path="job"),
        JobMismatchError(path="job", what="scale", journal="4/1", asked=None),
        SourceChangedError(path="job", tile=(1, 2)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_job_errors_are_of_files_and_can_be_pickled(error: hndsr_client.JobError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert (exit_code(error), str(again), vars(again)) == (LOCAL_FILE, str(error), vars(error))


def test_npy_reader_refuses_a_file_that_ends_early(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", np.zeros((4, 5, 3), np.uint8))
    (tmp_path / "short.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-1])
    with pytest.raises(LocalFileError, match="ends before its last pixel"):
        NpyReader(tmp_path / "short.npy")


def test_npy_reader_refuses_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(LocalFileError, match="is no regular file"):
        NpyReader(tmp_path / "pipe.npy")
