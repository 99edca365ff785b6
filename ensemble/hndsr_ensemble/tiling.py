"""Tiles on the CPU: cut into windows, run side by side, blended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Shaped

from hndsr_ensemble.blending import Canvas
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.recording import carried, span
from hndsr_ensemble.tile_job import Place, Samples, TileJob
from hndsr_ensemble.tiles import CancelledTileError, NotFiniteError, Tile, TileStats, UpscaledTile
from hndsr_ensemble.values import quantise
from hndsr_ensemble.windows import WindowBatch, WindowFunction

IN_FLIGHT = 2
"""Batches on their way for each that runs, lest the networks wait while samples are read, written or painted."""

Pixels = Shaped[np.ndarray, "p p 3"]


@dataclass(frozen=True, slots=True)
class Workers:
    """`IN_FLIGHT · count` threads for a model that runs `count` batches side by side, each on its share of the cores.

    `alone` runs a batch that has all the cores to itself, to the same bits; None where that is no faster.
    """

    pool: ThreadPoolExecutor
    count: int
    alone: WindowFunction | None = None


class Tiler:
    """Runs tiles through one window model.

    Args:
        manifest: of the window model.
        revision: of the window model as it runs here; part of every cache key.
        run: the model, for batches of up to `batch` windows.
        batch: windows that are run at once.
        cache: of windows already run, which may be shared between tilers.
        workers: call `run`; without them it is called one batch after the other, in the caller's thread.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        revision: str,
        run: WindowFunction,
        batch: int,
        cache: WindowCache,
        workers: Workers | None = None,
    ) -> None:
        self.manifest, self.revision, self.batch, self.cache = manifest, revision, batch, cache
        self.function, self.workers = run, workers

    def run(self, tile: Tile, *, cancelled: Callable[[], bool]) -> UpscaledTile:
        """Upscale one tile, as `TileRunner.run`; when it returns or raises, no window of it is run any more."""
        return _Run(self, TileJob(tile, self.manifest), cancelled).result()


@dataclass(slots=True)
class _Pending:
    """A window that was asked for, but is not there yet, and where it belongs."""

    key: bytes
    samples: Samples
    places: list[Place] = field(default_factory=list)


_Batch = list[_Pending]


class _Run:
    """One tile on its way: windows are gathered and painted in this thread, while the workers run others."""

    def __init__(self, tiler: Tiler, job: TileJob, cancelled: Callable[[], bool]) -> None:
        self._tiler, self._job, self._cancelled = tiler, job, cancelled
        height, width = job.target_shape
        top, left = job.row_span.target_start, job.column_span.target_start
        self._canvas = Canvas(
            top=top,
            left=left,
            height=height,
            width=width,
            overlap_px=tiler.manifest.geometry.overlap_px,
            dtype=job.tile.pixels.dtype,
        )
        self._hits, self._empty, self._handed_out = 0, 0, 0
        self._pending, self._gathered = dict[bytes, _Pending](), _Batch()
        self._held, self._running = deque[_Batch](), deque[tuple[_Batch, Future[list[Pixels]]]]()

    def result(self) -> UpscaledTile:
        try:
            for place in self._job.places():
                self._look_up(place)
            self._hand_out_the_last()
        finally:
            for _, future in self._running:
                future.cancel()
            wait([future for _, future in self._running])
        return self._finish()

    def _look_up(self, place: Place) -> None:
        """Paint a window that is there, join one that is on its way, or ask for it."""
        samples = self._job.samples(place)
        if samples is None:
            self._empty += 1
            return
        key = self._job.key(place, samples, self._tiler.revision)
        window = self._tiler.cache.get(key, for_good=self._job.is_needed_no_more(place))
        self._hits += window is not None or key in self._pending
        if window is not None:
            self._paint(place, window)
        elif key in self._pending:
            self._pending[key].places.append(place)
        else:
            self._ask(_Pending(key, samples, [place]))

    def _ask(self, item: _Pending) -> None:
        self._pending[item.key] = item
        self._gathered.append(item)
        if len(self._gathered) == self._tiler.batch:
            self._held.append(self._gathered)
            self._gathered = []
        workers = self._tiler.workers
        # Half a round is held back, until it is known whether it is the last one.
        if len(self._held) > (workers.count // 2 if workers else 0):
            self._hand_out(self._held.popleft())

    def _hand_out_the_last(self) -> None:
        """A last round that would leave half of the cores idle is run one batch at a time on all of them."""
        if self._gathered:
            self._held.append(self._gathered)
        workers, alone = self._tiler.workers, 0
        if workers and workers.alone:
            last_round = (self._handed_out + len(self._held)) % workers.count
            alone = last_round if 2 * last_round <= workers.count else 0
        while len(self._held) > alone:
            self._hand_out(self._held.popleft())
        while self._running:
            self._take_in()
        run = workers.alone if workers and workers.alone else self._tiler.function
        for batch in self._held:
            self._run_here(batch, run)

    def _hand_out(self, batch: _Batch) -> None:
        workers = self._tiler.workers
        self._handed_out += 1
        if workers is None:
            self._run_here(batch, self._tiler.function)
            return
        while len(self._running) >= IN_FLIGHT * workers.count:
            self._take_in()
        self._check_caller()
        self._running.append((batch, workers.pool.submit(carried(self._answer), batch, self._tiler.function)))

    def _run_here(self, batch: _Batch, run: WindowFunction) -> None:
        self._check_caller()
        self._keep(batch, self._answer(batch, run))

    def _take_in(self) -> None:
        """Wait for the oldest batch: what is cached depends on no timing."""
        self._check_caller()
        batch, future = self._running[0]
        windows = future.result()
        self._running.popleft()
        self._keep(batch, windows)

    def _check_caller(self) -> None:
        if self._cancelled():
            raise CancelledTileError

    def _answer(self, batch: _Batch, run: WindowFunction) -> list[Pixels]:
        """Run in any thread."""
        with span("windows", "hndsr.batch", len(batch)):
            results = run(_stack([self._job.batch(item.places[0], item.samples) for item in batch]))
            if not np.isfinite(results).all():
                raise NotFiniteError
            tile = self._job.tile
            return [quantise(result, tile.ranges, tile.pixels.dtype) for result in results]

    def _keep(self, batch: _Batch, windows: list[Pixels]) -> None:
        for item, window in zip(batch, windows, strict=True):
            del self._pending[item.key]
            lasting = any(self._job.is_needed_below(place) for place in item.places)
            self._tiler.cache.put(item.key, window, lasting=lasting)
            for place in item.places:
                self._paint(place, window)

    def _paint(self, place: Place, window: Pixels) -> None:
        """Blend one window into the tile."""
        (top, left), (rows, columns) = self._job.corner(place), self._job.weights(place)
        self._canvas.add(window, top=top, left=left, row_weights=rows, column_weights=columns)

    def _finish(self) -> UpscaledTile:
        """Interpolate what is out of range, blank what is invalid, and count."""
        pixels, outside = self._canvas.finish(), 0
        for band, rows, columns, values in self._job.outside():
            pixels[rows, columns, band] = values
            outside += len(values)
        mask = self._job.target_mask()
        if mask is not None:
            pixels[~mask] = 0
        return UpscaledTile(pixels, mask, TileStats(self._job.windows, self._hits, self._empty, outside))


def _stack(batches: list[WindowBatch]) -> WindowBatch:
    """Windows of one image side by side."""
    if len(batches) == 1:
        return batches[0]
    lr = np.concatenate([batch.lr for batch in batches])
    return replace(batches[0], lr=lr, positions=np.concatenate([batch.positions for batch in batches]))
