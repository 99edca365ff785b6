"""Windows that run side by side make the same bytes, and none runs on when its tile is given up."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ensemble.tile_cases import Cut, HashedWindows, Picture, cut_pictures, random_picture, workers

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.tiles import CancelledTileError
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.windows import WindowBatch


@given(cut_pictures(), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_tiles_make_the_same_bytes_when_more_threads_make_them(case: tuple[Picture, Cut], threads: int) -> None:
    picture, cut = case
    inline, beside = (replace(cut, threads=count).run(picture)[0] for count in (1, threads))
    assert (inline.pixels.tobytes(), list(inline.stats)) == (beside.pixels.tobytes(), list(beside.stats))


@given(cut_pictures())
@settings(deadline=None, max_examples=20)
def test_tiles_are_counted_the_same_when_they_are_made_again(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    assert cut.run(picture)[0].stats == cut.run(picture)[0].stats


ROW = random_picture(size=(16, 200))
"""An image of one row of 24 windows."""


def gone_after(asked: int) -> Callable[[], bool]:
    """Whether the caller is gone, which is so once it was asked more often than that."""
    answers = iter([False] * asked)
    return lambda: next(answers, True)


class Counted(HashedWindows):
    """Knows how many windows run at the moment, and were run at most."""

    def __init__(self, picture: Picture) -> None:
        super().__init__(picture)
        self.running, self.most, self._lock = 0, 0, threading.Lock()

    def __call__(self, batch: WindowBatch) -> np.ndarray:
        """Run as a `WindowFunction`."""
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return super().__call__(batch)
        finally:
            with self._lock:
                self.running -= 1


def beside(function: HashedWindows, *, threads: int, alone: HashedWindows | None = None) -> Tiler:
    """A tiler whose windows run side by side, one a batch."""
    crew = replace(workers(threads), alone=alone)
    cache = WindowCache(0)
    return Tiler(function.picture.manifest, revision="r", run=function, batch=1, cache=cache, workers=crew)


@pytest.mark.parametrize("threads", [2, 3])
def test_no_more_windows_run_at_once_than_there_are_threads(threads: int) -> None:
    function = Counted(ROW)
    beside(function, threads=threads).run(ROW.tile(ROW.whole), cancelled=lambda: False)
    assert 1 <= function.most <= threads


@pytest.mark.parametrize("asked", [0, 1, 5, 23])
def test_nothing_runs_any_more_when_the_caller_is_gone(asked: int) -> None:
    function = Counted(ROW)
    with pytest.raises(CancelledTileError):
        beside(function, threads=2).run(ROW.tile(ROW.whole), cancelled=gone_after(asked))
    assert (function.running, len(function.batches) <= asked) == (0, True)


def test_nothing_runs_any_more_when_a_window_failed() -> None:
    class Failing(Counted):
        def _levels(self, *args: object) -> np.ndarray:
            if len(self.batches) > 3:
                raise RuntimeError("gone")
            return super()._levels(*args)

    function = Failing(ROW)
    with pytest.raises(RuntimeError, match="gone"):
        beside(function, threads=2).run(ROW.tile(ROW.whole), cancelled=lambda: False)
    assert function.running == 0


def test_cancelled_is_asked_before_each_window_and_each_answer_when_threads_run_them() -> None:
    asked = list[bool]()
    _, rows, _, columns = ROW.whole
    beside(HashedWindows(ROW), threads=2).run(ROW.tile(ROW.whole), cancelled=lambda: bool(asked.append(True)))
    assert len(asked) == 2 * rows * columns


@pytest.mark.parametrize(
    ("threads", "columns", "expected"),
    [(2, 1, 1), (2, 2, 0), (2, 3, 1), (2, 8, 0), (3, 1, 1), (3, 2, 0), (3, 4, 1), (4, 2, 2), (4, 3, 0), (4, 6, 2)],
)
def test_windows_have_all_cores_when_they_would_leave_half_of_them_idle(
    threads: int, columns: int, expected: int
) -> None:
    picture = random_picture(size=(16, 8 * (columns + 1)))
    function, alone = HashedWindows(picture), HashedWindows(picture)
    beside(function, threads=threads, alone=alone).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert (len(alone.batches), len(function.batches)) == (expected, columns - expected)


def test_window_that_is_alone_is_run_after_all_others() -> None:
    picture, order = random_picture(size=(16, 8 * 8)), list[str]()

    class Named(HashedWindows):
        name = "beside"

        def __call__(self, batch: WindowBatch) -> np.ndarray:
            windows = super().__call__(batch)
            order.append(self.name)
            return windows

    function, alone = Named(picture), Named(picture)
    alone.name = "alone"
    beside(function, threads=2, alone=alone).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert order == ["beside"] * 6 + ["alone"]
