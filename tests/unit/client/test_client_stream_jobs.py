"""Jobs that outlive their process: resumed where they ended, or refused by name."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeBackend
from unit.client.stream_gateway import (
    QUICK,
    After,
    Pixels,
    StreamGateway,
    gateway,
    raising,
    streaming,
)
from unit.client.stream_jobs import (
    DONE,
    MASK,
    MODEL,
    SOURCE,
    TILES,
    LeaveError,
    files,
    journal,
    leave,
    resume,
    sink,
    work,
)

from hndsr_client import (
    AsyncClient,
    Client,
    HndsrError,
    InvalidRequestError,
    JobError,
    JobInUseError,
    JobMismatchError,
    LocalFileError,
    PreconditionError,
    Progress,
    SourceChangedError,
)

__all__ = ["gateway", "sink", "streaming"]


def test_job_leaves_its_files_and_no_sink(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    assert files(sink) == [f"target.npy.hndsr-{kind}" for kind in ("journal", "mask", "work")]


def test_job_without_a_mask_has_no_mask_file(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, mask=None)
    assert files(sink) == ["target.npy.hndsr-journal", "target.npy.hndsr-work"]


def test_job_has_a_line_for_each_tile_that_is_done(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    assert len(journal(sink).read_bytes().splitlines()) == 1 + DONE


def test_job_is_resumed(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    result = resume(streaming, sink)
    assert (result.tiles, result.resumed_tiles) == (TILES, DONE)
    assert np.array_equal(np.load(sink), streaming.upscale(SOURCE, mask=MASK, **MODEL).image)
    assert files(sink) == ["target.npy"]


def test_job_counts_the_invalid_pixels_of_all_runs(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    one = streaming.upscale(SOURCE, mask=MASK, **MODEL)
    assert resume(streaming, sink).invalid_px == np.count_nonzero(~one.mask)


def test_job_tells_its_progress_from_where_it_was(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    told: list[Progress] = []
    resume(streaming, sink, on_progress=told.append)
    assert [one.tiles_done for one in told] == list(range(DONE, TILES + 1))
    assert {one.resumed_tiles for one in told} == {DONE}
    assert told[-1].target_px_done == told[-1].target_px_total


def test_job_of_which_all_is_done_is_published(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, tiles=TILES)
    assert resume(streaming, sink).resumed_tiles == TILES
    assert np.array_equal(np.load(sink), streaming.upscale(SOURCE, mask=MASK, **MODEL).image)


def test_job_fills_sinks_when_all_is_done(streaming: Client, tmp_path: Path) -> None:
    image, mask = Pixels(np.zeros((800, 680, 3), ">u2")), np.zeros((800, 680), np.bool_)
    with pytest.raises(LeaveError):
        streaming.upscale_array(
            SOURCE, image, job=tmp_path / "job", on_progress=After(3, raising(LeaveError())), mask=MASK, **MODEL
        )
    assert image.windows == []
    result = streaming.upscale_array(SOURCE, image, mask=MASK, mask_sink=mask, job=tmp_path / "job", **MODEL)
    one = streaming.upscale(SOURCE, mask=MASK, **MODEL)
    assert result.resumed_tiles == 3
    assert np.array_equal(image.array, one.image)
    assert np.array_equal(mask, one.mask)
    assert list(tmp_path.iterdir()) == []


def test_job_fills_an_array(streaming: Client, tmp_path: Path) -> None:
    result = streaming.upscale_array(SOURCE, mask=MASK, job=tmp_path / "job", **MODEL)
    one = streaming.upscale(SOURCE, mask=MASK, **MODEL)
    assert np.array_equal(result.image, one.image)
    assert np.array_equal(result.mask, one.mask)


def test_job_begins_anew_if_told(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    result = resume(streaming, sink, resume=False, source=SOURCE[::-1])
    assert result.resumed_tiles == 0
    assert np.array_equal(np.load(sink), streaming.upscale(SOURCE[::-1], mask=MASK, **MODEL).image)


MISMATCHES = {
    "source size": {"source": SOURCE[:-1], "mask": MASK[:-1]},
    "sample type": {"source": SOURCE.astype(np.uint8)},
    "mask": {"mask": None},
    "scale": {"scale": 3},
    "model": {"model": "hndsr"},
    "steps": {"steps": 7},
    "texture": {"texture": 0.7},
    "seed": {"seed": 7},
    "value ranges": {"value_ranges": [(0, 3000)] * 3},
    "cores_per_tile": {"cores_per_tile": 3},
    "revision": {"required_revision": "other"},
}


@pytest.mark.parametrize(("what", "change"), MISMATCHES.items(), ids=MISMATCHES)
def test_job_refuses_another(streaming: Client, sink: Path, what: str, change: dict[str, Any]) -> None:
    leave(streaming, sink)
    with pytest.raises(JobMismatchError, match=rf"with {what} .*resume=False") as caught:
        resume(streaming, sink, **change)
    assert caught.value.what == what
    assert len(files(sink)) == 3


def test_job_without_a_tile_is_begun_anew_for_another(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, tiles=0)
    assert resume(streaming, sink, scale=3, cores_per_tile=2, seed=7).resumed_tiles == 0
    assert files(sink) == ["target.npy"]


def test_job_without_a_tile_that_cannot_be_read_is_refused(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, tiles=0)
    journal(sink).write_bytes(b"{}\n")
    with pytest.raises(JobError, match="is damaged, or of another version"):
        resume(streaming, sink)


def test_job_names_both_sides_of_a_mismatch(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, seed=3)
    with pytest.raises(JobMismatchError, match="seed 3, asked for is the server's choice") as caught:
        resume(streaming, sink)
    assert (caught.value.journal, caught.value.asked) == (3, None)


def test_job_accepts_by_name_what_the_server_had_chosen(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, model=None)
    assert resume(streaming, sink, model="hndsr", cores_per_tile=1, scale="8/2").resumed_tiles == DONE


def test_job_keeps_the_cores_of_its_plan(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, cores_per_tile=2, tiles=2)
    assert resume(streaming, sink).resumed_tiles == 2


@pytest.mark.parametrize("what", ["pixels", "mask"])
def test_job_refuses_a_source_that_has_changed(streaming: Client, sink: Path, what: str) -> None:
    leave(streaming, sink)
    source, mask = SOURCE.copy(), MASK.copy()
    (source if what == "pixels" else mask)[1, 1] ^= 1
    with pytest.raises(SourceChangedError, match=r"source of tile 0, 0 .*resume=False") as caught:
        resume(streaming, sink, source=source, mask=mask)
    assert caught.value.tile == (0, 0)


def test_job_does_damaged_tiles_again(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    with work(sink).open("r+b") as file:
        file.seek(1000)
        file.write(b"\x00\x01\x02")
    assert resume(streaming, sink).resumed_tiles == DONE - 1
    assert np.array_equal(np.load(sink), streaming.upscale(SOURCE, mask=MASK, **MODEL).image)


@pytest.mark.parametrize("kind", ["work", "mask"])
@pytest.mark.parametrize("fate", ["removed", "cut", "header"])
def test_job_survives_the_loss_of(streaming: Client, sink: Path, kind: str, fate: str) -> None:
    leave(streaming, sink)
    path = sink.with_name(f"{sink.name}.hndsr-{kind}")
    if fate == "removed":
        path.unlink()
    elif fate == "cut":
        os.truncate(path, 100)
    else:
        path.write_bytes(b"x" + path.read_bytes()[1:])
    resume(streaming, sink)
    assert np.array_equal(np.load(sink), streaming.upscale(SOURCE, mask=MASK, **MODEL).image)


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_job_does_again_what_a_torn_line_said(streaming: Client, sink: Path, cut: int) -> None:
    leave(streaming, sink)
    os.truncate(journal(sink), journal(sink).stat().st_size - cut)
    leave(streaming, sink, tiles=1)
    # A line without its end is whole otherwise.
    assert resume(streaming, sink).resumed_tiles == (DONE if cut > 1 else DONE + 1)
    assert np.array_equal(np.load(sink), streaming.upscale(SOURCE, mask=MASK, **MODEL).image)


def test_job_does_not_believe_a_damaged_line(streaming: Client, sink: Path) -> None:
    leave(streaming, sink)
    lines = journal(sink).read_bytes().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "column": 2}).encode()
    journal(sink).write_bytes(b"\n".join([*lines, b"\xff\x00 no line", b"[]", b"{}", b'{"crc32": 0}', b""]))
    assert resume(streaming, sink).resumed_tiles == DONE - 1


@pytest.mark.parametrize("content", [b"", b"nothing\n", b'{"crc32": 1}\n'])
def test_job_refuses_a_journal_that_cannot_be_read(streaming: Client, sink: Path, content: bytes) -> None:
    leave(streaming, sink)
    journal(sink).write_bytes(content)
    with pytest.raises(JobError, match=r"damaged, or of another version .*resume=False"):
        resume(streaming, sink)
    assert resume(streaming, sink, resume=False).resumed_tiles == 0


def test_job_is_refused_to_a_second_process(gateway: StreamGateway, streaming: Client, sink: Path) -> None:
    def second() -> None:
        with Client(gateway.address) as other, pytest.raises(JobInUseError, match="another process"):
            other.upscale_array(SOURCE, sink, **MODEL)

    resume(streaming, sink, on_progress=After(2, second))
    assert np.load(sink).shape == (800, 680, 3)


def test_job_is_refused_to_who_comes_later_with_the_plan(gateway: StreamGateway, sink: Path) -> None:
    async def both() -> list[Any]:
        async with AsyncClient(gateway.address, retry=QUICK) as client:
            calls = [client.upscale_array(SOURCE, sink, **MODEL) for _ in range(2)]
            return await asyncio.gather(*calls, return_exceptions=True)

    kinds = sorted(type(outcome).__name__ for outcome in asyncio.run(both()))
    assert kinds in (["JobInUseError", "StreamResult"], ["DestinationError", "StreamResult"])
    assert files(sink) == ["target.npy"]


def test_job_is_free_when_its_run_has_ended(streaming: Client, sink: Path) -> None:
    for tiles in (1, 2, 3):
        leave(streaming, sink, tiles=tiles)
    assert resume(streaming, sink).resumed_tiles == 6


def test_job_that_was_cancelled_is_resumed(gateway: StreamGateway, sink: Path) -> None:
    async def cancel() -> int:
        async with AsyncClient(gateway.address, retry=QUICK) as client:
            begun = asyncio.Event()
            task = asyncio.create_task(
                client.upscale_array(SOURCE, sink, on_progress=After(3, begun.set), mask=MASK, **MODEL)
            )
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.upscale_array(SOURCE, sink, mask=MASK, **MODEL)).resumed_tiles

    assert asyncio.run(cancel()) >= 3


KILLED = """
import os, signal, sys
import numpy as np
from hndsr_client import Client

address, folder, where, count = sys.argv[1:]
left = int(count)

def kill(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

class Source:
    array = np.load(folder + "/source.npy")
    shape, dtype = array.shape, array.dtype
    def __getitem__(self, window):
        if where == "source":
            kill()
        return self.array[window]

with Client(address) as client:
    client.upscale_array(
        Source(), folder + "/target.npy", model="bicubic", scale=4, on_progress=kill if where == "progress" else None
    )
"""


@pytest.mark.parametrize(("where", "count"), [("progress", 0), ("progress", 6), ("source", 4), ("source", 11)])
def test_job_that_was_killed_is_resumed(gateway: StreamGateway, tmp_path: Path, where: str, count: int) -> None:
    np.save(tmp_path / "source.npy", SOURCE)
    command = [sys.executable, "-c", KILLED, gateway.address, str(tmp_path), where, str(count)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    with Client(gateway.address, retry=QUICK) as client:
        result = client.upscale_array(SOURCE, tmp_path / "target.npy", **MODEL)
        one = client.upscale(SOURCE, **MODEL)
    assert where == "source" or result.resumed_tiles == count
    assert np.array_equal(np.load(tmp_path / "target.npy"), one.image)


class Immense:
    """A source that no disk can hold the target of, and that is never read."""

    shape, dtype = (500_000, 500_000, 3), np.dtype(np.uint8)

    def __getitem__(self, window: object) -> np.ndarray:
        raise AssertionError("was read")


def test_job_says_how_much_room_it_takes(gateway: StreamGateway, client_type: Any, sink: Path) -> None:
    with client_type(gateway.address, retry=QUICK) as client:
        needed = "48,000,000,000,128"
        with pytest.raises(LocalFileError, match=rf"takes {needed[:-3]}\d+ bytes, [\d,]+ are free"):
            client.upscale_array(Immense(), sink, scale=8, model="bicubic", cores_per_tile=16)
    assert files(sink) == []


FULL = """
import resource, sys
import numpy as np
from hndsr_client import Client, LocalFileError

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
with Client(sys.argv[1]) as client:
    try:
        client.upscale_array(np.zeros((200, 170, 3), np.uint16), sys.argv[2], model="bicubic", scale=4)
    except LocalFileError as error:
        print(error)
"""


def test_job_says_that_the_disk_refuses_its_size(gateway: StreamGateway, sink: Path) -> None:
    command = [sys.executable, "-c", FULL, gateway.address, str(sink)]
    told = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
    assert "takes 3,264,128 bytes, file too large" in told
    assert files(sink) == []


def test_job_takes_its_room_at_once(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, tiles=0)
    state = work(sink).stat()
    assert state.st_size == 800 * 680 * 6 + 128
    assert state.st_blocks * 512 >= state.st_size


def test_job_names_what_to_remove_when_the_revision_has_changed(client_type: Callable[..., Client], sink: Path) -> None:
    backend = FakeBackend()
    with StreamGateway(backend) as gateway, client_type(gateway.address, retry=QUICK) as client:
        leave(client, sink)
    with StreamGateway(FakeBackend(revision="2")) as gateway, client_type(gateway.address, retry=QUICK) as client:
        with pytest.raises(PreconditionError, match=r"resume=False, or remove .*hndsr-journal and .*hndsr-mask"):
            resume(client, sink)
        assert resume(client, sink, resume=False).plan.revision == "2"


def test_job_names_what_to_remove_when_its_plan_cannot_be_made(
    gateway: StreamGateway, client_type: Callable[..., Client], sink: Path
) -> None:
    with client_type(gateway.address, retry=QUICK) as client:
        leave(client, sink, cores_per_tile=4, tiles=1)
    with (
        StreamGateway(stream_bytes=2**20, stream_tiles=1) as other,
        client_type(other.address, retry=QUICK) as client,
        pytest.raises(InvalidRequestError, match=r"resume=False, or remove") as caught,
    ):
        resume(client, sink)
    assert caught.value.reason == "PLAN_INCOMPATIBLE"


def test_job_in_a_folder_that_is_missing_is_refused(streaming: Client, sink: Path) -> None:
    with pytest.raises(LocalFileError, match="its folder does not exist"):
        resume(streaming, sink.parent / "missing" / "target.npy")


def test_job_on_another_file_system_than_its_sink_is_refused(streaming: Client, sink: Path) -> None:
    job = Path("/dev/shm/hndsr-test-job")  # noqa: S108  nothing is made of it
    if not job.parent.is_dir() or job.parent.stat().st_dev == sink.parent.stat().st_dev:
        pytest.skip("all folders are on one file system")
    with pytest.raises(LocalFileError, match="another file system"):
        resume(streaming, sink, job=job)


def test_job_may_have_another_name_than_its_sink(streaming: Client, sink: Path) -> None:
    leave(streaming, sink, job=sink.with_name("job"))
    assert files(sink) == [f"job.hndsr-{kind}" for kind in ("journal", "mask", "work")]
    assert resume(streaming, sink, job=sink.with_name("job")).resumed_tiles == DONE
    assert files(sink) == ["target.npy"]


def test_job_with_a_name_that_is_too_long_is_refused(streaming: Client, sink: Path) -> None:
    with pytest.raises(LocalFileError, match="too long"):
        resume(streaming, sink.with_name("t" * 250 + ".npy"))


def test_job_that_cannot_be_begun_leaves_nothing(streaming: Client, sink: Path) -> None:
    with pytest.raises(HndsrError):
        streaming.upscale_array(SOURCE, np.zeros((1, 1, 3), np.uint8), job=sink, **MODEL)
    assert files(sink) == []


PEAKS = """
import sys
from hndsr_client import Client

def peak_kib():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

address, folder = sys.argv[1:]
peaks = []
with Client(address) as client:
    client.upscale_array(
        folder + "/source.npy", folder + "/target.npy", scale=4, model="bicubic", cores_per_tile=4,
        on_progress=lambda _: peaks.append(peak_kib()),
    )
print(peaks[-1] - peaks[0])
"""


def test_job_of_a_large_image_takes_little_memory(gateway: StreamGateway, tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", np.full((2000, 2000, 3), 7, np.uint8))
    command = [sys.executable, "-c", PEAKS, gateway.address, str(tmp_path)]
    grown_kib = int(subprocess.run(command, check=True, timeout=200, capture_output=True, text=True).stdout)
    # Of a target of 192 MB, in tiles of 2.4 MB of which four are under way.
    assert grown_kib < 80_000
