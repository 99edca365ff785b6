"""What a terminal shows during a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


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
    with _entered(Progress(*columns, console=Console(stderr=True), transient=True), shown=shown) as progress:
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
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with _entered(bar, shown=shown) as progress:
        task = progress.add_task(escape(text), total=total)
        yield lambda: progress.advance(task)


def _entered(progress: Progress, *, shown: bool) -> AbstractContextManager[Progress]:
    # Before version 14.2 of rich, a progress that is disabled ends with an empty line.
    return progress if shown else nullcontext(progress)
