"""Bicubic interpolation in this very process: a backend that is there when no Triton is."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hndsr_ensemble.interpolation import NUMPY, interpolating_tiler
from hndsr_ensemble.manifest import read_manifests
from hndsr_ensemble.probe import ProbeError
from hndsr_ensemble.tiles import Tile, UpscaledTile
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.timing import window_times_s
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.types import ModelDescription, Raster, TileRequest, TileResponse

logger = logging.getLogger(__name__)

MODEL = "bicubic"


class InterpolatingBackend:
    """A `TileBackend` that serves `bicubic` alone, one tile at a time, to the bytes and of the revision of Triton's.

    Args:
        repository: the Triton model repository.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        # One thread, also for what was cancelled and ends with its batch of windows, since the tiler is no more's.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bicubic")
        self._tiler: Tiler | None = None

    async def describe(self) -> list[ModelDescription]:
        """The model, after its probe passed.

        Raises:
            UnavailableError: if the repository does not have it, or it computes something else than it should.
        """
        try:
            return [await asyncio.get_running_loop().run_in_executor(self._thread, self._describe)]
        except (KeyError, OSError, ProbeError, ValueError) as error:
            logger.warning("cannot interpolate: %r", error)
            raise UnavailableError from error

    def _describe(self) -> ModelDescription:
        manifest = read_manifests(self._repository)[MODEL]
        self._tiler = interpolating_tiler(self._repository, manifest)
        window_s, _ = window_times_s(manifest, self._tiler, windows=NUMPY.batch)
        return ModelDescription(manifest, self._tiler.revision, NUMPY.name, NUMPY.device, window_s, 0.0)

    def endpoints(self, model: str, revision: str) -> tuple[str, ...]:  # noqa: ARG002 - a backend's
        """This process."""
        return ("",)

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile; cancelling the call stops it within one window batch.

        Raises:
            UnavailableError: if it is asked for before it described itself.
        """
        if self._tiler is None:
            raise UnavailableError
        source = Tile(tile.raster.pixels, tile.geometry, tile.ranges, tile.options, tile.raster.mask)
        cancelled = threading.Event()
        try:
            result = await asyncio.get_running_loop().run_in_executor(
                self._thread, _run, self._tiler, source, cancelled
            )
        finally:
            cancelled.set()
        return TileResponse(Raster(result.pixels, result.mask), result.stats)


def _run(tiler: Tiler, source: Tile, cancelled: threading.Event) -> UpscaledTile:
    return tiler.run(source, cancelled=cancelled.is_set)
