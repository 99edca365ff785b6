"""Many files at once: each ends by itself, no two meet, and what is left is whole."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from hndsr_client import (
    ArgumentError,
    AsyncClient,
    Client,
    DestinationError,
    InvalidRequestError,
    LocalFileError,
    OverloadedError,
)
from hndsr_client._core.files import png_size_px
from hndsr_client.batch import FileOutcome, async_upscale_files, upscale_files
from hndsr_client.testing._failures import Failure
from hndsr_client.testing._png import write_png
from hndsr_client.testing._servicer import NearestServicer

Run = Callable[..., list[FileOutcome]]
WAIT_S = 20
TOO_MANY = Failure("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "it has 0 left of 1 call at once", 0.001)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, target: str) -> Run:
    """A whole batch with either client."""

    def run_sync(*arguments: Any, **options: Any) -> list[FileOutcome]:
        with Client(target, timeout_s=30, retry=None) as client:
            return list(upscale_files(client, *arguments, **options))

    async def run_async(*arguments: Any, **options: Any) -> list[FileOutcome]:
        async with AsyncClient(target, timeout_s=30, retry=None) as client:
            return [outcome async for outcome in async_upscale_files(client, *arguments, **options)]

    return run_sync if request.param == "sync" else lambda *a, **k: asyncio.run(run_async(*a, **k))


@pytest.fixture
def sync_client(target: str) -> Iterator[Client]:
    with Client(target, timeout_s=30, retry=None) as client:
        yield client


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Five PNG files, of 1 x 7 to 5 x 7 px."""
    folder = tmp_path / "sources"
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in "abcde"]
    for height_px, path in enumerate(paths, start=1):
        path.write_bytes(write_png(np.full((height_px, 7, 3), height_px, np.uint8)))
    return paths


@dataclass
class Together:
    """Counts the calls that are in the server at the same time; each waits until as many as expected have met."""

    expected: int

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.expected)
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, context: grpc.ServicerContext) -> None:
        """Come in, meet the others and go."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.barrier.wait(WAIT_S)
        with self.lock:
            self.now -= 1


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_batch_makes_every_file(run: Run, sources: list[Path], folder: Path) -> None:
    run(sources, folder, scale=2)
    assert [png_size_px(folder / source.name) for source in sources] == [(2 * rows, 14) for rows in range(1, 6)]


def test_batch_tells_of_every_file(run: Run, sources: list[Path], folder: Path) -> None:
    told = {(outcome.source, outcome.destination, outcome.ok) for outcome in run(sources, folder)}
    assert told == {(source, folder / source.name, True) for source in sources}


def test_batch_tells_what_was_done(run: Run, sources: list[Path], folder: Path) -> None:
    (outcome,) = run(sources[:1], folder, scale=3)
    assert outcome.metadata is not None
    assert (outcome.metadata.target_width_px, outcome.skipped) == (21, False)


def test_batch_calls_on_outcome_with_each(run: Run, sources: list[Path], folder: Path) -> None:
    told: list[FileOutcome] = []
    assert run(sources, folder, on_outcome=told.append) == told


def test_batch_of_nothing_is_empty(run: Run, folder: Path) -> None:
    assert run([], folder) == []


def test_batch_makes_its_folder(run: Run, sources: list[Path], folder: Path) -> None:
    run(sources[:1], folder / "new")
    assert names(folder / "new") == ["a.png"]


def test_batch_accepts_sources_and_folder_as_text(run: Run, sources: list[Path], folder: Path) -> None:
    run([str(sources[0])], str(folder))
    assert names(folder) == ["a.png"]


def test_batch_asks_for_the_format_of_its_files(run: Run, sources: list[Path], folder: Path) -> None:
    (outcome,) = run(sources[:1], folder, format="webp")
    assert outcome.metadata is not None
    assert outcome.metadata.format == "webp"


@pytest.mark.parametrize("kind", ["missing", "existing", "no image"])
def test_batch_goes_on_after_a_failure(run: Run, sources: list[Path], folder: Path, kind: str) -> None:
    if kind == "missing":
        sources[2].unlink()
    if kind == "existing":
        (folder / "c.png").touch()
    if kind == "no image":
        sources[2].write_bytes(b"no image")
    failed = [outcome.source for outcome in run(sources, folder) if not outcome.ok]
    assert failed == [sources[2]]


@pytest.mark.parametrize(
    ("content", "kind"), [(None, LocalFileError), (b"no image", InvalidRequestError)], ids=["missing", "refused"]
)
def test_batch_tells_why_a_file_failed(
    run: Run, sources: list[Path], folder: Path, content: bytes | None, kind: type[Exception]
) -> None:
    sources[0].unlink()
    if content is not None:
        sources[0].write_bytes(content)
    (outcome,) = run(sources[:1], folder)
    assert (type(outcome.error), outcome.metadata, names(folder)) == (kind, None, [])


def test_batch_lets_other_errors_through(run: Run, sources: list[Path], folder: Path) -> None:
    with pytest.raises(TypeError, match="scal"):
        run(sources, folder, scal=4)


def test_batch_waits_for_its_own_calls_where_fewer_are_allowed_at_once(
    run: Run, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    refused = threading.Event()
    numbers = itertools.count()

    def refuse(context: grpc.ServicerContext) -> None:
        number = next(numbers)
        if number == 0:
            assert refused.wait(WAIT_S)
        if number == 1:
            refused.set()
            TOO_MANY.abort(context)

    service.refuse = refuse
    assert [outcome.error for outcome in run(sources, folder, max_concurrency=2)] == [None] * 5


def test_batch_gives_up_where_others_have_the_calls_that_are_allowed(
    run: Run, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    service.refuse = TOO_MANY.abort
    outcomes = run(sources, folder, max_concurrency=2)
    assert [type(outcome.error) for outcome in outcomes] == [OverloadedError] * 5


def test_batch_skips_what_exists(run: Run, service: NearestServicer, sources: list[Path], folder: Path) -> None:
    (folder / "a.png").write_text("before")
    skipped = [outcome.source for outcome in run(sources, folder, skip_existing=True) if outcome.skipped]
    assert (skipped, len(service.requests), (folder / "a.png").read_text()) == (sources[:1], 4, "before")


def test_batch_overwrites_when_told(run: Run, sources: list[Path], folder: Path) -> None:
    (folder / "a.png").write_text("before")
    run(sources, folder, overwrite=True)
    assert png_size_px(folder / "a.png") == (4, 28)


def test_batch_refuses_two_sources_for_one_destination(
    run: Run, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    with pytest.raises(DestinationError, match=r"one\.png: would be made of .*a\.png and of .*b\.png"):
        run(sources, lambda _: folder / "one.png")
    assert service.requests == []


def test_batch_refuses_a_source_as_its_destination(run: Run, service: NearestServicer, sources: list[Path]) -> None:
    with pytest.raises(DestinationError, match="is the source itself"):
        run(sources, sources[0].parent, overwrite=True)
    assert service.requests == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency is 0, accepted is an integer, 1 or more"),
        ({"max_concurrency": 1.5}, "max_concurrency is 1.5"),
        ({"max_concurrency": True}, "max_concurrency is True"),
        ({"format": "gif"}, "format is 'gif', accepted are jpeg, png, tiff, webp"),
        ({"overwrite": True, "skip_existing": True}, "exclude each other"),
    ],
)
def test_batch_refuses_options(
    run: Run, sources: list[Path], folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        run(sources, folder, **options)


def test_batch_refuses_before_it_is_iterated(sync_client: Client, sources: list[Path], folder: Path) -> None:
    with pytest.raises(DestinationError):
        upscale_files(sync_client, [*sources, sources[0]], folder)


def test_batch_tells_of_a_destination_met_twice_when_the_sources_are_an_iterator(
    run: Run, sources: list[Path], folder: Path
) -> None:
    errors = [outcome.error for outcome in run(iter([*sources, sources[0]]), folder) if not outcome.ok]
    assert [type(error) for error in errors] == [DestinationError]


@pytest.mark.parametrize("count", [1, 2])
def test_batch_works_on_as_many_files_at_once_as_it_is_told(
    run: Run, service: NearestServicer, sources: list[Path], folder: Path, count: int
) -> None:
    service.refuse = together = Together(count)
    run(sources[:4], folder, max_concurrency=count)
    assert together.most == count


def test_batch_reads_an_iterator_no_faster_than_it_begins_files(
    sync_client: Client, sources: list[Path], folder: Path
) -> None:
    read: list[Path] = []

    def reading() -> Iterator[Path]:
        for source in sources:
            read.append(source)
            yield source

    outcomes = upscale_files(sync_client, reading(), folder, max_concurrency=1)
    lengths = [len(read) for _ in outcomes]
    assert lengths == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("fault", ["sources", "name"])
def test_batch_tells_of_all_it_began_before_it_raises_what_the_caller_raises(
    run: Run, sources: list[Path], folder: Path, fault: str
) -> None:
    def failing(given: Path) -> Path:
        if given == sources[2]:
            raise RuntimeError("no more")
        return given

    told: list[FileOutcome] = []
    given = map(failing, sources) if fault == "sources" else iter(sources)
    name = folder if fault == "sources" else lambda source: folder / failing(source).name
    with pytest.raises(RuntimeError, match="no more"):
        run(given, name, on_outcome=told.append, max_concurrency=2)
    assert sorted(outcome.source for outcome in told) == sources[:2]


def test_async_batch_tells_what_ended_while_it_waits_for_a_source(
    target: str, sources: list[Path], folder: Path
) -> None:
    told = threading.Event()
    in_time: list[bool] = []

    def slow() -> Iterator[Path]:
        yield sources[0]
        in_time.append(told.wait(WAIT_S))

    async def whole() -> None:
        async with AsyncClient(target, retry=None) as client:
            async for _ in async_upscale_files(client, slow(), folder, max_concurrency=2):
                told.set()

    asyncio.run(whole())
    assert in_time == [True]


@pytest.mark.parametrize("kind", [list, iter])
def test_async_batch_reads_and_names_outside_the_loop(
    target: str, sources: list[Path], folder: Path, kind: Callable[[list[Path]], Iterable[Path]]
) -> None:
    threads: list[int] = []

    def name(source: Path) -> Path:
        threads.append(threading.get_ident())
        return folder / source.name

    async def whole() -> None:
        async with AsyncClient(target, retry=None) as client:
            async for _ in async_upscale_files(client, kind(sources), name):
                pass

    asyncio.run(whole())
    assert len(threads) == len(sources)
    assert threading.get_ident() not in threads


def test_batch_spares_a_source_that_is_read_later(run: Run, sources: list[Path], folder: Path) -> None:
    before = sources[1].read_bytes()
    run(iter(sources[:2]), {sources[0]: sources[1], sources[1]: folder / "b.png"}, overwrite=True, max_concurrency=1)
    assert sources[1].read_bytes() == before


def test_batch_tells_of_a_name_that_no_file_can_have(run: Run, sources: list[Path], folder: Path) -> None:
    outcomes = run(["a\0.png", sources[0]], folder)
    assert {str(outcome.source): type(outcome.error) for outcome in outcomes} == {
        "a\0.png": LocalFileError,
        str(sources[0]): type(None),
    }


def test_batch_takes_any_extension_where_the_format_is_given(run: Run, sources: list[Path], folder: Path) -> None:
    run(sources[:1], {sources[0]: folder / "a.img"}, format="tiff")
    assert (folder / "a.img").read_bytes()[:4] == b"II*\0"


def test_batch_hands_out_what_ends_first(
    sync_client: Client, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    service.release = threading.Event()
    sources[1].unlink()
    outcomes = upscale_files(sync_client, sources[:2], folder, max_concurrency=2)
    first = next(outcomes).source
    service.release.set()
    assert [first, next(outcomes).source] == [sources[1], sources[0]]


def test_batch_begins_nothing_more_when_it_is_left(
    sync_client: Client, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    with closing(upscale_files(sync_client, sources, folder, max_concurrency=1)) as outcomes:
        next(outcomes)
    for thread in threading.enumerate():
        if thread.name.startswith("hndsr-batch"):
            thread.join(WAIT_S)
    assert len(service.requests) == 1


def test_batch_leaves_nothing_of_files_under_way_when_the_client_is_closed(
    target: str, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    service.release = threading.Event()
    outcomes: list[FileOutcome] = []
    with Client(target, retry=None) as client:
        batch = upscale_files(client, sources[:1], folder)
        thread = threading.Thread(target=lambda: outcomes.extend(batch))
        thread.start()
        assert service.received.wait(WAIT_S)
    thread.join()
    assert ([outcome.ok for outcome in outcomes], names(folder)) == ([False], [])


def test_async_batch_cancels_what_is_under_way_when_it_is_left(
    target: str, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    service.release = threading.Event()

    async def leave() -> None:
        async with AsyncClient(target, retry=None) as client:
            batch = async_upscale_files(client, sources, folder, max_concurrency=2)
            async with aclosing(batch):
                waiting = asyncio.ensure_future(anext(batch))
                await asyncio.to_thread(service.received.wait, WAIT_S)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            # The server sees the cancellation while the client is still open.
            await asyncio.to_thread(service.release.wait, WAIT_S)

    asyncio.run(leave())
    assert (service.release.is_set(), len(service.requests) <= 2, names(folder)) == (True, True, [])


def test_async_batch_begins_nothing_more_when_it_is_left(
    target: str, service: NearestServicer, sources: list[Path], folder: Path
) -> None:
    async def leave() -> None:
        async with (
            AsyncClient(target, retry=None) as client,
            aclosing(async_upscale_files(client, sources, folder, max_concurrency=1)) as outcomes,
        ):
            await anext(outcomes)

    asyncio.run(leave())
    assert len(service.requests) == 1
