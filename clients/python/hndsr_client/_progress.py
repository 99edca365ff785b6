"""What a terminal shows during a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from hndsr_client.results import Progress

SPEED_PERIOD_S = 300.0
"""How far back the estimate of the time that remains looks; a tile may take a while."""


@contextmanager
def waiting(text: str, *, estimate_s: float | None = None, shown: bool) -> Iterator[None]:
    """Show on the standard error, while the block runs, how long it has been running.

    A call says nothing until it is done, so the bar moves without filling.

    Args:
        text: What is being done.
        estimate_s: How long it would take on an idle server, None where nobody knows.
        shown: False shows nothing.
    """
    about = "" if estimate_s is None else f"of about {estimate_s:.0f} s if the server is idle"
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn(about))
    with entered(Bars(*columns, console=Console(stderr=True), transient=True), shown=shown) as progress:
        progress.add_task(escape(text), total=None)
        yield


@contextmanager
def counting(text: str, *, total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """Show on the standard error, while the block runs, how many of a number are done; yields what counts one more.

    Args:
        text: What is being done.
        total: How many there are.
        shown: False shows nothing.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # What is written to the standard output belongs there, not above the bar.
    bar = Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with entered(bar, shown=shown) as progress:
        task = progress.add_task(escape(text), total=total)
        yield lambda: progress.advance(task)


@dataclass
class Course:
    """How an image comes along in this run; an earlier one may have left tiles."""

    first: Progress | None = None
    last: Progress | None = None

    def add(self, progress: Progress) -> None:
        """How far it is now."""
        self.first, self.last = self.first or progress, progress

    @property
    def begun(self) -> bool:
        """Whether there is a plan."""
        return self.last is not None

    @property
    def made_px(self) -> int:
        """Target pixels that this run made."""
        return self.last.target_px_done - self.first.target_px_done if self.first and self.last else 0

    @property
    def speed(self) -> str:
        """Since the plan; nothing as long as nothing was made."""
        elapsed_s = self.last.elapsed_s - self.first.elapsed_s if self.first and self.last else 0.0
        return f"{self.made_px / 1e6 / elapsed_s:.3g} Mpx/s" if self.made_px and elapsed_s else ""


@contextmanager
def streaming(text: str, course: Course, *, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """Show on the standard error, while the block runs, how far an image has come; yields what is told of it.

    Args:
        text: What is being done.
        course: What is told is added to it.
        shown: False shows nothing.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[tiles]}"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    bar = Bars(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=SPEED_PERIOD_S)
    with entered(bar, shown=shown) as bars:
        task = bars.add_task(escape(text), total=None, tiles="", speed="")

        def tell(progress: Progress) -> None:
            course.add(progress)
            bars.update(
                task,
                total=progress.target_px_total,
                completed=progress.target_px_done,
                tiles=f"{progress.tiles_done}/{progress.tiles_total} tiles",
                speed=course.speed,
            )

        yield tell


def entered(progress: Bars, *, shown: bool) -> AbstractContextManager[Bars]:
    """The bars, on the screen while they are entered only if they are shown."""
    # Before version 14.2 of rich, a progress that is disabled ends with an empty line.
    return progress if shown else nullcontext(progress)
