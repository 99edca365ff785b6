"""Images of any size: the same pixels as one call makes of them, read and written window by window."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from unit.client.stream_gateway import (
    QUICK,
    WAIT_S,
    After,
    Pixels,
    Proxy,
    StreamGateway,
    gateway,
    raising,
    random_mask,
    scene,
    streaming,
)

from hndsr_client import (
    ArgumentError,
    AsyncClient,
    Client,
    DestinationError,
    InvalidRequestError,
    LocalFileError,
    Progress,
    UnavailableError,
)

__all__ = ["gateway", "streaming"]

SIZE = (120, 100)
MODEL = {"model": "bicubic", "scale": 4}
TARGET = (480, 400)


class OddError(Exception):
    """What no one foresees."""


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2"])
def test_upscale_array_makes_what_one_call_makes(streaming: Client, dtype: str) -> None:
    source = scene(SIZE, np.dtype(dtype).newbyteorder("=").name).astype(dtype)
    result = streaming.upscale_array(source, **MODEL)
    assert np.array_equal(result.image, streaming.upscale(source, **MODEL).image)


def test_upscale_array_makes_the_mask_that_one_call_makes(streaming: Client) -> None:
    source, mask = scene(SIZE), random_mask(SIZE)
    result, one = streaming.upscale_array(source, mask=mask, **MODEL), streaming.upscale(source, mask=mask, **MODEL)
    assert np.array_equal(result.mask, one.mask)
    assert np.array_equal(result.image, one.image)


def test_upscale_array_counts_invalid_pixels(streaming: Client) -> None:
    result = streaming.upscale_array(scene(SIZE), mask=random_mask(SIZE), **MODEL)
    assert result.invalid_px == np.count_nonzero(~result.mask) > 0


def test_upscale_array_takes_what_gives_windows(streaming: Client) -> None:
    source, sink = Pixels(scene(SIZE, "uint16")), Pixels(np.zeros((*TARGET, 3), ">u2"))
    result = streaming.upscale_array(source, sink, **MODEL)
    assert result.image is None
    assert np.array_equal(sink.array, streaming.upscale(source.array, **MODEL).image)


def test_upscale_array_reads_each_tile_once_and_row_by_row(streaming: Client) -> None:
    source = Pixels(scene(SIZE))
    plan = streaming.upscale_array(source, **MODEL).plan
    wanted = [
        (slice(row.source_start_px, row.source_stop_px), slice(column.source_start_px, column.source_stop_px))
        for row in plan.row_spans
        for column in plan.column_spans
    ]
    assert source.windows == wanted


def test_upscale_array_fills_a_mask_sink(streaming: Client) -> None:
    source, mask, sink = scene(SIZE), random_mask(SIZE), np.zeros(TARGET, np.bool_)
    result = streaming.upscale_array(source, mask=mask, mask_sink=sink, **MODEL)
    assert result.mask is None
    assert np.array_equal(sink, streaming.upscale(source, mask=mask, **MODEL).mask)


def test_upscale_array_fills_a_mask_sink_where_all_is_valid(streaming: Client) -> None:
    sink = np.zeros(TARGET, np.bool_)
    streaming.upscale_array(scene(SIZE), mask_sink=sink, **MODEL)
    assert sink.all()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_upscale_array_goes_from_file_to_file(streaming: Client, tmp_path: Path, dtype: str) -> None:
    source, mask = scene(SIZE, np.dtype(dtype).newbyteorder("=").name).astype(dtype), random_mask(SIZE)
    np.save(tmp_path / "source.npy", source)
    np.save(tmp_path / "mask.npy", mask)
    streaming.upscale_array(tmp_path / "source.npy", tmp_path / "target.npy", mask=tmp_path / "mask.npy", **MODEL)
    assert np.array_equal(np.load(tmp_path / "target.npy"), streaming.upscale(source, mask=mask, **MODEL).image)


def test_upscale_array_leaves_nothing_but_the_file(streaming: Client, tmp_path: Path) -> None:
    streaming.upscale_array(scene(SIZE), tmp_path / "target.npy", mask=random_mask(SIZE), **MODEL)
    assert list(tmp_path.iterdir()) == [tmp_path / "target.npy"]


def test_upscale_array_keeps_a_link_that_is_the_sink(streaming: Client, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npy").symlink_to(tmp_path / "folder" / "target.npy")
    streaming.upscale_array(scene(SIZE), tmp_path / "link.npy", **MODEL)
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(tmp_path / "folder" / "target.npy").shape == (*TARGET, 3)


def test_upscale_array_tells_its_progress(streaming: Client) -> None:
    told: list[Progress] = []
    result = streaming.upscale_array(scene(SIZE), on_progress=told.append, **MODEL)
    assert [one.tiles_done for one in told] == list(range(result.tiles + 1))
    assert (told[0].target_px_done, told[-1].target_px_done) == (0, TARGET[0] * TARGET[1])
    assert {(one.tiles_total, one.target_px_total, one.resumed_tiles) for one in told} == {
        (result.tiles, TARGET[0] * TARGET[1], 0)
    }


def test_upscale_array_sums_up(streaming: Client) -> None:
    result = streaming.upscale_array(scene(SIZE, seed=7), cores_per_tile=2, **MODEL)
    assert (result.plan.cores_per_tile, result.tiles, result.plan.scale) == (2, 1, Fraction(4))
    assert result.computed_windows + result.cache_hits == result.plan.windows
    assert (result.reconnections, result.resumed_tiles, result.empty_windows) == (0, 0, 0)


def test_upscale_array_passes_on_options_and_ranges(streaming: Client) -> None:
    source = scene(SIZE, "uint16")
    chosen = {"scale": "7/3", "steps": 3, "texture": 0.7, "seed": 2**63, "value_ranges": [(0.1, 3000.7)] * 3}
    result, one = streaming.upscale_array(source, **chosen), streaming.upscale(source, **chosen)
    assert np.array_equal(result.image, one.image)
    assert result.plan.options == one.metadata.options
    assert result.out_of_range_samples > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"source": np.zeros((5, 7), np.uint8)}, r"the source's shape is \(5, 7\)"),
        ({"source": np.zeros((0, 7, 3), np.uint8)}, r"the source's shape is \(0, 7, 3\)"),
        ({"source": np.zeros((5, 7, 3), np.int16)}, "the source's dtype is int16"),
        ({"source": [1, 2]}, "the source is list"),
        ({"source": np.ma.masked_array(np.zeros((5, 7, 3), np.uint8))}, "the source is a masked array"),
        ({"mask": np.zeros((5, 7), np.uint8)}, "the mask is uint8"),
        ({"mask": np.zeros((5, 6), np.bool_)}, r"the mask is bool of shape \(5, 6\)"),
        ({"sink": np.zeros((20, 28, 3), np.uint16)}, "the sink is uint16 of shape .* the target is uint8"),
        ({"sink": np.zeros((20, 29, 3), np.uint8)}, r"the sink is uint8 of shape \(20, 29, 3\), .*\(20, 28, 3\)"),
        ({"mask_sink": np.zeros((20, 28), np.uint8)}, "the mask sink is uint8"),
        ({"sink": "target.tif"}, "accepted is .npy"),
        ({"cores_per_tile": -1}, "cores_per_tile is -1"),
        ({"patience_s": -1}, "patience_s is -1"),
        ({"patience_s": float("nan")}, "patience_s is nan"),
        ({"scale": float("inf")}, "scale is inf"),
    ],
)
def test_upscale_array_refuses(streaming: Client, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        streaming.upscale_array(**{"source": np.zeros((5, 7, 3), np.uint8), **MODEL, **arguments})


@pytest.mark.parametrize(
    "given", [np.zeros((1, 1, 3), np.uint8), np.zeros(SIZE, np.uint8), np.zeros((*SIZE, 3), np.uint16)]
)
def test_upscale_array_refuses_a_window_of_another_kind(streaming: Client, given: np.ndarray) -> None:
    class Odd(Pixels):
        def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
            return given

    with pytest.raises(ArgumentError, match="the source gave"):
        streaming.upscale_array(Odd(scene(SIZE)), **MODEL)


@pytest.mark.parametrize("content", [b"", b"not numpy", b"\x93NUMPY\x09\x00"])
def test_upscale_array_refuses_a_file_that_is_no_array(streaming: Client, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "source.npy").write_bytes(content)
    with pytest.raises(ArgumentError, match=r"accepted are \.npy files"):
        streaming.upscale_array(tmp_path / "source.npy", **MODEL)


def test_upscale_array_refuses_a_file_that_lies_by_columns(streaming: Client, tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", np.asfortranarray(scene(SIZE)))
    with pytest.raises(ArgumentError, match="row by row"):
        streaming.upscale_array(tmp_path / "source.npy", **MODEL)


def test_upscale_array_says_that_a_file_ends_early(streaming: Client, tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", scene(SIZE))
    os.truncate(tmp_path / "source.npy", 10_000)
    with pytest.raises(LocalFileError, match="ends before its last pixel"):
        streaming.upscale_array(tmp_path / "source.npy", **MODEL)


def test_upscale_array_says_that_a_file_is_missing(streaming: Client, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="no such file"):
        streaming.upscale_array(tmp_path / "source.npy", **MODEL)


def test_upscale_array_refuses_a_sink_that_exists(streaming: Client, tmp_path: Path) -> None:
    (tmp_path / "target.npy").write_bytes(b"mine")
    with pytest.raises(DestinationError, match="exists"):
        streaming.upscale_array(scene(SIZE), tmp_path / "target.npy", **MODEL)
    assert (tmp_path / "target.npy").read_bytes() == b"mine"


def test_upscale_array_refuses_its_source_as_sink(streaming: Client, tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", scene(SIZE))
    with pytest.raises(DestinationError, match="is the source itself"):
        streaming.upscale_array(tmp_path / "source.npy", tmp_path / "source.npy", overwrite=True, **MODEL)


def test_upscale_array_overwrites_if_told(streaming: Client, tmp_path: Path) -> None:
    (tmp_path / "target.npy").write_bytes(b"old")
    streaming.upscale_array(scene(SIZE), tmp_path / "target.npy", overwrite=True, **MODEL)
    assert np.load(tmp_path / "target.npy").shape == (*TARGET, 3)


def test_upscale_array_does_not_replace_what_came_meanwhile(streaming: Client, tmp_path: Path) -> None:
    come = After(1, lambda: (tmp_path / "target.npy").write_bytes(b"mine"))
    with pytest.raises(DestinationError, match="exists"):
        streaming.upscale_array(scene(SIZE), tmp_path / "target.npy", on_progress=come, **MODEL)
    assert (tmp_path / "target.npy").read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["source", "sink", "progress"])
def test_upscale_array_raises_what_the_caller_raises(streaming: Client, what: str) -> None:
    fail = After(2, raising(OddError("odd")))
    source = Pixels(scene(SIZE), fail if what == "source" else lambda: None)
    sink = Pixels(np.zeros((*TARGET, 3), np.uint8), fail if what == "sink" else lambda: None)
    with pytest.raises(OddError):
        streaming.upscale_array(source, sink, on_progress=fail if what == "progress" else None, **MODEL)


@pytest.mark.parametrize("error", [grpc.RpcError("odd"), asyncio.InvalidStateError("odd"), ValueError("odd")])
@pytest.mark.parametrize("what", ["source", "sink"])
def test_upscale_array_takes_no_error_of_the_caller_for_its_own(streaming: Client, error: Exception, what: str) -> None:
    source, sink = Pixels(scene(SIZE)), Pixels(np.zeros((*TARGET, 3), np.uint8))
    (source if what == "source" else sink).before = After(2, raising(error))
    with pytest.raises(type(error), match="odd"):
        streaming.upscale_array(source, sink, **MODEL)


@pytest.mark.parametrize("what", ["source", "sink"])
def test_upscale_array_ends_when_the_caller_has_no_more(streaming: Client, what: str) -> None:
    source, sink = Pixels(scene(SIZE)), Pixels(np.zeros((*TARGET, 3), np.uint8))
    (source if what == "source" else sink).before = After(2, raising(StopIteration()))
    with pytest.raises((RuntimeError, StopIteration)):
        streaming.upscale_array(source, sink, **MODEL)


def test_upscale_array_keeps_the_cause_of_what_the_source_raises(streaming: Client) -> None:
    cause, error = OddError("cause"), OddError("odd")
    error.__cause__ = cause
    with pytest.raises(OddError, match="odd") as caught:
        streaming.upscale_array(Pixels(scene(SIZE), After(2, raising(error))), **MODEL)
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("error", [KeyboardInterrupt, OddError])
def test_upscale_array_reads_nothing_after_it_was_left(gateway: StreamGateway, error: type[BaseException]) -> None:
    source = Pixels(scene((600, 600)))
    with Client(gateway.address, retry=QUICK) as client, pytest.raises(error):
        client.upscale_array(source, on_progress=After(1, raising(error())), **MODEL)
    read, threads = len(source.windows), {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("hndsr-stream") for name in threads)
    assert len(source.windows) == read < 144


def test_upscale_array_holds_no_more_tiles_than_the_plan_allows(gateway: StreamGateway) -> None:
    reads, writes = Pixels(scene((300, 300))), 0
    with Client(gateway.address, retry=QUICK) as client, client.stream_tiles(reads, **MODEL) as tiles:
        ahead = []
        for _ in tiles:
            ahead.append(len(reads.windows) - writes)
            writes += 1
    assert max(ahead) <= 4


def test_upscale_array_fails_when_its_time_is_over(gateway: StreamGateway, client_type: Callable[..., Client]) -> None:
    gateway.call(gateway.backend.hold)
    try:
        with client_type(gateway.address, retry=QUICK) as client, pytest.raises(Exception, match="allow more time"):
            client.upscale_array(scene(SIZE), timeout_s=0.5, **MODEL)
    finally:
        gateway.call(gateway.backend.release)


def test_upscale_array_ends_when_its_client_is_closed(gateway: StreamGateway) -> None:
    client = Client(gateway.address, retry=QUICK)
    with pytest.raises(UnavailableError):
        client.upscale_array(scene((600, 600)), on_progress=After(1, client.close), **MODEL)


def test_upscale_array_ends_when_its_async_client_is_closed(gateway: StreamGateway) -> None:
    async def close() -> None:
        client = AsyncClient(gateway.address, retry=QUICK)
        closing: list[asyncio.Task[None]] = []
        begin = After(1, lambda: closing.append(asyncio.create_task(client.close())))
        with pytest.raises(UnavailableError):
            await client.upscale_array(scene((600, 600)), on_progress=begin, **MODEL)
        await asyncio.gather(*closing)

    asyncio.run(close())


def test_upscale_array_of_a_closed_client_is_refused(gateway: StreamGateway) -> None:
    client = Client(gateway.address)
    client.close()
    with pytest.raises(ArgumentError, match="closed"):
        client.upscale_array(scene(SIZE), **MODEL)


def test_upscale_array_says_what_the_server_refuses(streaming: Client) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        streaming.upscale_array(scene(SIZE), scale=9)
    assert caught.value.reason == "SCALE_OUT_OF_RANGE"


def test_upscale_array_sends_the_metadata_of_the_client(
    gateway: StreamGateway, client_type: Callable[..., Client]
) -> None:
    asked: list[int] = []

    def metadata() -> dict[str, str]:
        asked.append(1)
        return {"authorization": "Bearer one"}

    with (
        Proxy(gateway.address, [60_000]) as proxy,
        client_type(proxy.address, retry=QUICK, metadata=metadata, timeout_s=WAIT_S) as client,
    ):
        result = client.upscale_array(scene(SIZE), **MODEL)
    assert len(asked) == result.reconnections + 1 > 1


def test_upscale_array_of_a_cancelled_task_ends_its_stream(gateway: StreamGateway) -> None:
    source = Pixels(scene((600, 600)))

    async def cancel() -> None:
        async with AsyncClient(gateway.address, retry=QUICK) as client:
            begun = asyncio.Event()
            task = asyncio.create_task(client.upscale_array(source, on_progress=After(1, begun.set), **MODEL))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [one for one in asyncio.all_tasks() if "hndsr_client" in repr(one)] == []
            assert len(source.windows) < 144

    asyncio.run(cancel())


def test_upscale_array_does_not_hold_up_the_loop(gateway: StreamGateway) -> None:
    async def both() -> list[str]:
        done: list[str] = []
        ticked = threading.Event()
        source = Pixels(scene(SIZE), lambda: ticked.wait(WAIT_S) and None)

        async def tick() -> None:
            await asyncio.sleep(0.05)
            done.append("tick")
            ticked.set()

        async with AsyncClient(gateway.address, retry=QUICK) as client:
            ticking = asyncio.create_task(tick())
            await client.upscale_array(source, **MODEL)
            done.append("image")
            await ticking
        return done

    assert asyncio.run(both()) == ["tick", "image"]
