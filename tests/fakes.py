"""A backend without Triton: the real tiler in this process, with bicubic windows and knobs for what can go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.manifest import Manifest, model_repository, read_manifests
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import Tile
from hndsr_ensemble.tiling import Tiler
from hndsr_gateway.errors import RevisionChangedError
from hndsr_gateway.types import ModelDescription, Raster, TileRequest, TileResponse

BATCH = 2
CACHE_BYTES = 8 * 2**20


def bicubic_manifest() -> Manifest:
    """The window model `bicubic` of the repository."""
    return read_manifests(model_repository())["bicubic"]


def drawing_manifest() -> Manifest:
    """A model that is called `hndsr` and takes its options, but makes the windows of `bicubic`."""
    manifests = read_manifests(model_repository())
    document = json.loads(manifests["bicubic"].text)
    drawn = json.loads(manifests["hndsr"].text)
    for key in ("name", "description", "generative", "default_options", "noise_period_px"):
        document[key] = drawn[key]
    return Manifest.parse(json.dumps(document))


@dataclass(slots=True)
class TileCall:
    """One tile that reached the backend; `outcome` is `running`, `done`, `failed` or `cancelled`."""

    tile: TileRequest
    outcome: str = "running"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image that the tile is of."""
        return self.tile.geometry.height, self.tile.geometry.width


class FakeBackend:
    """A `TileBackend` that serves `hndsr` (by bicubic windows) and `bicubic`, and remembers every tile.

    Args:
        models: what it serves of `hndsr` and `bicubic`.
        window_s: the device time of a window that it claims, in seconds.
        step_s: the same of one diffusion step.
        delay_s: how long every tile takes, in seconds.
        revision: of all its models.
    """

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("hndsr", "bicubic"),
        window_s: float = 0.01,
        step_s: float = 0.02,
        delay_s: float = 0.0,
        revision: str = "revision-1",
    ) -> None:
        self.calls: list[TileCall] = []
        self.descriptions = 0
        """How often it was asked to describe its models."""
        self.delay_s, self.revision = delay_s, revision
        self.tile_errors: dict[int, BaseException] = {}
        """What the n-th tile fails with, counted from 0 over all calls."""
        self.describe_error: BaseException | None = None
        """What describing fails with."""
        self._times = (window_s, step_s)
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Event()
        cache, settings = WindowCache(CACHE_BYTES), ServingSettings.from_environment({})
        known = {manifest.name: manifest for manifest in (drawing_manifest(), bicubic_manifest())}
        self._manifests = {name: known[name] for name in models}
        self._tilers = {
            name: Tiler(
                manifest,
                revision=name,
                run=load_pipeline(model_repository(), manifest, settings),
                batch=BATCH,
                cache=cache,
            )
            for name, manifest in self._manifests.items()
        }

    def hold(self) -> None:
        """Keep tiles waiting from now on."""
        self._open.clear()

    def release(self) -> None:
        """Let all tiles that wait go on, and later ones."""
        self._open.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of what the backend remembers."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def started(self, count: int) -> None:
        """Wait until so many tiles have reached the backend."""
        await self.until(lambda: len(self.calls) >= count)

    def outcomes(self) -> list[str]:
        """Of all tiles, in the order of their arrival."""
        return [call.outcome for call in self.calls]

    async def describe(self) -> list[ModelDescription]:
        """All models."""
        self.descriptions += 1
        self._changed.set()
        if self.describe_error is not None:
            raise self.describe_error
        window_s, step_s = self._times
        return [
            ModelDescription(manifest, self.revision, "numpy", "cpu", window_s, step_s)
            for manifest in self._manifests.values()
        ]

    def endpoints(self, model: str, revision: str) -> tuple[str, ...]:
        """The only one, whatever is asked for."""
        return ("fake",)

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile; a failing one fails when it would be done."""
        call, number = TileCall(tile), len(self.calls)
        self.calls.append(call)
        self._changed.set()
        try:
            response = await self._upscale(tile, number)
        except asyncio.CancelledError:
            call.outcome = "cancelled"
            raise
        except BaseException:
            call.outcome = "failed"
            raise
        else:
            call.outcome = "done"
            return response
        finally:
            self._changed.set()

    async def _upscale(self, tile: TileRequest, number: int) -> TileResponse:
        await asyncio.sleep(self.delay_s)
        if number in self.tile_errors:
            raise self.tile_errors[number]
        await self._open.wait()
        if tile.revision != self.revision:
            raise RevisionChangedError(required=tile.revision, served=self.revision)
        source = Tile(tile.raster.pixels, tile.geometry, tile.ranges, tile.options, tile.raster.mask)
        result = self._tilers[tile.model].run(source, cancelled=lambda: False)
        return TileResponse(Raster(result.pixels, result.mask), result.stats)
