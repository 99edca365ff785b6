"""What a terminal and programs are told of a raster on its way."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePath

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from hndsr_client._destinations import Scene
from hndsr_client._progress import SPEED_PERIOD_S, entered
from hndsr_client._raster.results import RasterProgress, Stage

EVENT_PERIOD_S = 1.0
SAMPLE_PERIOD_S = 1.0
OF_SOURCE: tuple[Stage, ...] = "measuring", "upscaling"
"""The others are of the target."""


class RasterCourse:
    """How a raster comes along in this run; an earlier one may have left tiles.

    Attributes:
        last: What was told last.
        made_px: Target pixels that this run has upscaled, over all triples of bands.
    """

    def __init__(self) -> None:
        self.last: RasterProgress | None = None
        self.made_px = 0
        self._samples: deque[RasterProgress] = deque()

    def add(self, progress: RasterProgress) -> None:
        """How far it is now."""
        last, self.last = self.last, progress
        if last is None or (progress.stage, progress.resumed_tiles) != (last.stage, last.resumed_tiles):
            # What an earlier run has left is there at once, and says nothing about how fast this one is.
            self._samples.clear()
        elif progress.stage == "upscaling":
            self.made_px += progress.done - last.done
        while self._samples and progress.elapsed_s - self._samples[0].elapsed_s > SPEED_PERIOD_S:
            self._samples.popleft()
        if not self._samples or progress.elapsed_s - self._samples[-1].elapsed_s >= SAMPLE_PERIOD_S:
            self._samples.append(progress)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return self.last is not None and self.last.stage != "measuring"

    @property
    def mpx_per_s(self) -> float | None:
        """How fast the present stage is; None as long as nobody knows, and of bytes."""
        is_known = self._rate and self.last is not None and self.last.stage != "writing"
        return self._rate / 1e6 if is_known else None

    @property
    def eta_s(self) -> float | None:
        """When the present stage will be over; None as long as nobody knows."""
        if self.last is None or self.last.total is None or not self._rate:
            return None
        return max(self.last.total - self.last.done, 0) / self._rate

    @property
    def _rate(self) -> float:
        """A second, 0 where nobody knows."""
        if self.last is None or not self._samples:
            return 0.0
        first = self._samples[0]
        elapsed_s = self.last.elapsed_s - first.elapsed_s
        return max(self.last.done - first.done, 0) / elapsed_s if elapsed_s > 0 else 0.0


@contextmanager
def raster_bar(scene: Scene, course: RasterCourse, *, place: str = "", shown: bool) -> Iterator[Callable[[], None]]:
    """Show on the standard error, while the block runs, how far a raster has come; yields what looks at the course.

    Args:
        scene: The raster.
        course: What was told of it.
        place: Which of several it is.
        shown: False shows nothing.
    """
    source, target = (f"{PurePath(name).name}{place}" for name in (scene.name, scene.destination))
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"))
    # What is written to the standard output belongs there, not above the bar.
    bar = Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with entered(bar, shown=shown) as bars:
        task = bars.add_task(escape(f"opening {source}"), total=None, facts="")

        def look() -> None:
            last = course.last
            if last is None:
                return
            text = escape(f"{last.stage} {source if last.stage in OF_SOURCE else target}")
            bars.update(task, total=last.total, completed=last.done, description=text, facts=facts_text(course))

        yield look


@contextmanager
def reading_bar(text: str, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show on the standard error, while the block runs, how much was read; yields what is told of the pixels.

    Args:
        text: What is being done.
        shown: False shows nothing.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeElapsedColumn())
    bar = Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with entered(bar, shown=shown) as bars:
        task = bars.add_task(escape(text), total=None, facts="")
        yield lambda px: bars.update(task, facts=f"{px / 1e6:,.1f} Mpx")


def facts_text(course: RasterCourse) -> str:
    """What stands beside the bar."""
    last = course.last
    if last is None:
        return ""
    facts = [
        _tiles(last) if last.stage == "upscaling" else "",
        f"{last.done / 1e6:,.1f} MB written" if last.stage == "writing" else "",
        "" if course.mpx_per_s is None else f"{course.mpx_per_s:.3g} Mpx/s",
        "" if course.eta_s is None else f"ETA {timedelta(seconds=round(course.eta_s))}",
    ]
    return "  ".join(filter(None, facts))


def _tiles(progress: RasterProgress) -> str:
    left = f" ({progress.resumed_tiles:,} left by an earlier run)" * bool(progress.resumed_tiles)
    return f"{progress.tiles_done:,}/{progress.tiles_total:,} tiles{left}"


class EventLines:
    """Progress as lines of JSON: the first of each stage, and one a second."""

    def __init__(self, course: RasterCourse, put: Callable[[str], object], **names: str) -> None:
        """Write of a course.

        Args:
            course: What was told of the raster.
            put: Takes a line.
            names: What each line says beside how far it is.
        """
        self._course, self._put, self._names = course, put, names
        self._told: RasterProgress | None = None

    def look(self) -> None:
        """Say how far it is, if it is time."""
        last, told = self._course.last, self._told
        if last is None:
            return
        if told is None or told.stage != last.stage or last.elapsed_s - told.elapsed_s >= EVENT_PERIOD_S:
            self._told = last
            self._put(json.dumps({"event": "progress", **self._names, **self._facts(last)}))

    def _facts(self, progress: RasterProgress) -> dict[str, object]:
        return {
            "stage": progress.stage,
            "done": progress.done,
            "total": progress.total,
            "tiles_done": progress.tiles_done,
            "tiles_total": progress.tiles_total,
            "resumed_tiles": progress.resumed_tiles,
            "mpx_per_s": _rounded(self._course.mpx_per_s),
            "eta_s": _rounded(self._course.eta_s),
            "elapsed_s": _rounded(progress.elapsed_s),
        }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
