"""Bicubic interpolation in the gateway's process: one tile at a time, beside the event loop, and stopped in time."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from in_process import run, scene

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry
from hndsr_ensemble.values import full_ranges
from hndsr_ensemble.windows import WindowBatch
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.interpolating import InterpolatingBackend
from hndsr_gateway.types import ModelDescription, Raster, TileRequest

BATCHES = 4


class HeldWindows:
    """A window model that waits in each batch until it is let go, and counts them."""

    def __init__(self, backend: InterpolatingBackend) -> None:
        assert backend._tiler
        self._run, backend._tiler.function = backend._tiler.function, self
        self.batches, self.begun, self.go = 0, threading.Semaphore(0), threading.Event()

    def __call__(self, batch: WindowBatch) -> np.ndarray:
        """One batch."""
        self.batches += 1
        self.begun.release()
        self.go.wait()
        return self._run(batch)


def tile(model: ModelDescription, windows: int) -> TileRequest:
    """A row of so many windows."""
    window, scale = model.manifest.geometry, Scale.parse("4")
    width = (window.window_px + (windows - 1) * window.stride_px) // 4
    rows, columns = Axis(window.window_px // 4, scale, window), Axis(width, scale, window)
    geometry = TileGeometry.of(rows, columns, rows.span(0, rows.windows), columns.span(0, columns.windows))
    source = Raster(scene((rows.length, columns.length)))
    ranges = full_ranges(np.dtype(np.uint8))
    return TileRequest(model.name, model.revision, source, geometry, ranges, model.default_options)


def test_tile_that_is_cancelled_stops_after_its_batch() -> None:
    async def test() -> None:
        backend = InterpolatingBackend(model_repository())
        (model,) = await backend.describe()
        held = HeldWindows(backend)
        running = asyncio.create_task(backend.upscale(tile(model, 8 * BATCHES)))
        await asyncio.to_thread(held.begun.acquire)
        running.cancel()
        await asyncio.wait({running})
        held.go.set()
        await backend.describe()  # comes after it, in the same thread
        assert running.cancelled()
        assert held.batches == 1

    run(test())


def test_tiles_are_worked_on_one_at_a_time() -> None:
    async def test() -> None:
        backend = InterpolatingBackend(model_repository())
        (model,) = await backend.describe()
        held = HeldWindows(backend)
        running = [asyncio.create_task(backend.upscale(tile(model, 3))) for _ in range(BATCHES)]
        await asyncio.to_thread(held.begun.acquire)
        assert not await asyncio.to_thread(held.begun.acquire, timeout=0.5)
        held.go.set()
        await asyncio.gather(*running)
        assert held.batches == BATCHES

    run(test())


def test_backend_is_unavailable_where_the_repository_has_no_bicubic(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        asyncio.run(InterpolatingBackend(tmp_path).describe())


def test_backend_is_unavailable_before_it_described_itself() -> None:
    async def test() -> None:
        (model,) = await InterpolatingBackend(model_repository()).describe()
        with pytest.raises(UnavailableError):
            await InterpolatingBackend(model_repository()).upscale(tile(model, 1))

    run(test())
