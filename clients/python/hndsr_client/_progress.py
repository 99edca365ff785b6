"""What a terminal shows during a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as progress:
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
    console = Console(stderr=True)
    # What is written to the standard output belongs there, not above the bar.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, disable=not shown) as progress:
        task = progress.add_task(escape(text), total=total)
        yield lambda: progress.advance(task)
