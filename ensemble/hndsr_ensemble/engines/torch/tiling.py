"""Tiles on the device: cut into windows, run, blended, without a sample coming back before all is done.

Recorded spans are those of the host, which never waits for a device to time it: on a GPU they and their events tell
when work was queued. Between two batches the host waits for the one before, and in the last span, "blend", for all
that is queued: these show how long the device takes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.engines.torch.grid import WindowGrid
from hndsr_ensemble.engines.torch.samples import as_samples, as_stored
from hndsr_ensemble.engines.torch.seams import KeptWindows, Seams
from hndsr_ensemble.engines.torch.source import DeviceSource
from hndsr_ensemble.engines.torch.windows import DeviceBatch
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.recording import span
from hndsr_ensemble.tile_job import TileJob
from hndsr_ensemble.tiles import (
    CancelledTileError,
    NotFiniteError,
    OutOfDeviceMemoryError,
    Tile,
    TileStats,
    UpscaledTile,
)

LOG = logging.getLogger(__name__)

BATCHES_AHEAD = 1
"""Batches that are queued while one runs: the device never waits, and a cancel takes effect within one of them."""


@runtime_checkable
class DeviceWindows(Protocol):
    """A window model on a device."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def batch(self) -> int:
        """Windows of one pass."""

    def run(self, batch: DeviceBatch, *, cancelled: Callable[[], bool]) -> Float32[Tensor, "b 3 p p"]:
        """Run a full batch; what it gives holds until the next one."""

    def release(self) -> None:
        """Give back the memory of what can be made again."""


class TorchTiler:
    """Runs tiles through one window model on a device.

    Their target stays there: a torch tensor on a GPU, a NumPy array on the CPU.

    Args:
        manifest: of the window model.
        revision: of the window model as it runs here; part of every cache key.
        windows: the model.
        cache: decides which windows that tiles share are kept, and may be shared between tilers.
    """

    def __init__(self, manifest: Manifest, *, revision: str, windows: DeviceWindows, cache: WindowCache) -> None:
        self._manifest, self._revision, self._windows = manifest, revision, windows
        self._kept = KeptWindows(cache)

    def run(self, tile: Tile, *, cancelled: Callable[[], bool]) -> UpscaledTile:
        """Upscale one tile, as `TileRunner.run`.

        Raises:
            OutOfDeviceMemoryError: if the device's memory is too small, also without all that can be made again.
        """
        job = TileJob(tile, self._manifest)
        try:
            return self._run(job, cancelled)
        except torch.cuda.OutOfMemoryError:
            LOG.warning("the device's memory is full; graphs and kept windows are dropped, and the tile is run again")
        # Behind the handler, and without a cause below: what failed holds its tensors as long as it is being handled.
        self._release()
        with suppress(torch.cuda.OutOfMemoryError):
            return self._run(job, cancelled)
        raise OutOfDeviceMemoryError

    def _release(self) -> None:
        self._kept.clear()
        self._windows.release()
        if self._windows.device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, job: TileJob, cancelled: Callable[[], bool]) -> UpscaledTile:
        device = self._windows.device
        source, seams = DeviceSource(job, device), Seams(job, self._revision, self._kept)
        grid = WindowGrid(job, self._manifest.geometry, device)
        hits, empty, missing = 0, 0, list[int]()
        for number, place in enumerate(job.places()):
            if source.is_empty(place):
                empty += 1
            elif (window := seams.take(place)) is not None:
                grid.windows[number] = window
                hits += 1
            else:
                missing.append(number)
        self._run_windows(source, grid, missing, cancelled)
        with span("blend"):
            # From here to the wait the host works while the device does.
            keys = seams.keys(missing)
            pixels = grid.blend()
            outside = _replace_outside(job, pixels)
            mask = job.target_mask()
            if mask is not None:
                pixels.masked_fill_(~upload(mask, device)[..., None], 0)
            if not grid.is_finite():
                raise NotFiniteError
            seams.keep(keys, grid.windows)
            return UpscaledTile(_handed_over(pixels, job), mask, TileStats(job.windows, hits, empty, outside))

    def _run_windows(
        self, source: DeviceSource, grid: WindowGrid, numbers: list[int], cancelled: Callable[[], bool]
    ) -> None:
        queue = _Queue(self._windows.device)
        for cut in source.batches(numbers, self._windows.batch) if numbers else ():
            queue.wait()
            if cancelled():
                raise CancelledTileError
            with span("windows", "hndsr.batch", len(cut.numbers)):
                grid.put(cut.numbers, self._windows.run(cut.on_device(), cancelled=cancelled))
            queue.mark()


class _Queue:
    """Keeps the host from running further ahead of a GPU than `BATCHES_AHEAD`."""

    def __init__(self, device: torch.device) -> None:
        self._is_gpu = device.type == "cuda"
        self._ends: deque[torch.cuda.Event] = deque()

    def wait(self) -> None:
        """Until another batch may be queued."""
        while len(self._ends) > BATCHES_AHEAD:
            self._ends.popleft().synchronize()

    def mark(self) -> None:
        """A batch has been queued."""
        if self._is_gpu:
            event = torch.cuda.Event(blocking=True)
            event.record()
            self._ends.append(event)


def _replace_outside(job: TileJob, pixels: Shaped[Tensor, "h w 3"]) -> int:
    """Give target samples that are out of range their interpolated values; return how many these are."""
    outside = 0
    for band, rows, columns, values in job.outside():
        y, x, interpolated = (upload(array, pixels.device) for array in (rows, columns, as_stored(values)))
        pixels[y, x, band] = interpolated
        outside += len(values)
    return outside


def _handed_over(
    pixels: Shaped[Tensor, "h w 3"], job: TileJob
) -> Shaped[Tensor, "h w 3"] | Shaped[np.ndarray, "h w 3"]:
    samples = as_samples(pixels, job.tile.pixels.dtype)
    return samples.numpy() if samples.device.type == "cpu" else samples
