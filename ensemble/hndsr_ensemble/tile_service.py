"""The tiling model as a function of named arrays: what Triton's `hndsr` answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.engines import EngineFacts
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE, Manifest, Options, read_manifests, revision_of
from hndsr_ensemble.masks import pack_mask, unpack_mask
from hndsr_ensemble.probe import run_probe
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import CancelledTileError, NotFiniteError, Tile, TileGeometry, TileMismatchError
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.values import SampleType, check_ranges, full_ranges
from hndsr_ensemble.windows import WindowBatch, WindowFunction

Arrays = dict[str, np.ndarray]
CallModel = Callable[[str, Arrays], np.ndarray]
"""Runs a Triton model by name and returns its output WINDOW."""

PIXELS: dict[str, SampleType] = {"PIXELS_U8": np.dtype(np.uint8), "PIXELS_U16": np.dtype(np.uint16)}
"""Input and output of each sample type."""

NUMPY = EngineFacts(f"numpy {np.__version__}", "fp64", "cpu", batch=8)
"""What runs models without networks: element by element, so that the batch does not matter."""


class TileRequestError(Exception):
    """A request that is answered by an error; `reason` is what the gateway reads, `code` Triton's name for it."""

    def __init__(self, reason: str, message: str, *, code: str = "INVALID_ARG") -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.code = reason, code


@dataclass(frozen=True, slots=True)
class _Served:
    manifest: Manifest
    revision: str
    tiler: Tiler
    description: dict[str, Any]


class TileService:
    """Answers tiles for every window model of a repository, each proven by its probe before its first tile.

    Args:
        repository: the Triton model repository.
        settings: which models, and how large a cache.
        engine: of the models that have networks.
        call: runs a window model.
    """

    def __init__(self, repository: Path, settings: ServingSettings, engine: EngineFacts, call: CallModel) -> None:
        manifests = read_manifests(repository)
        self._manifests = {name: manifests[name] for name in settings.models or manifests}
        self._repository, self._engine, self._call = repository, engine, call
        self._cache = WindowCache(settings.window_cache_bytes)
        self._served: dict[str, _Served] = {}

    def answer(self, inputs: Mapping[str, np.ndarray | None], *, cancelled: Callable[[], bool]) -> Arrays:
        """Answer one request: a tile, or where no pixels are given a description of all models.

        Args:
            inputs: the tensors of the model's configuration, None where left out.
            cancelled: whether the caller went away.

        Raises:
            TileRequestError: with the reason.
        """
        if all(inputs.get(name) is None for name in PIXELS):
            return self._describe()
        served = self._serve(_text(inputs.get("MODEL")))
        required = _text(inputs.get("REQUIRED_REVISION"))
        if required not in {"", served.revision}:
            raise TileRequestError("REVISION_CHANGED", f"this is revision {served.revision}", code="UNAVAILABLE")
        return self._upscale(served, inputs, cancelled)

    def _describe(self) -> Arrays:
        models = [self._serve(name).description for name in self._manifests]
        return {"DESCRIPTION": np.array([json.dumps({"models": models}).encode()], dtype=np.object_)}

    def _serve(self, name: str) -> _Served:
        if name not in self._manifests:
            raise TileRequestError("MODEL_NOT_FOUND", f"served are {', '.join(self._manifests)}")
        if name not in self._served:
            self._served[name] = self._prove(self._manifests[name])
        return self._served[name]

    def _prove(self, manifest: Manifest) -> _Served:
        def run(batch: WindowBatch) -> np.ndarray:
            try:
                return self._call(manifest.triton_model, batch.tensors(manifest.inputs))
            except Exception:
                self._served.pop(manifest.name, None)
                raise

        probe = run_probe(self._repository, manifest, run)
        engine = self._engine if manifest.files else NUMPY
        revision = revision_of(
            manifest, engine=engine.name, precision=engine.precision, batch=engine.batch, probe=probe.windows
        )
        description = {
            "manifest": manifest.text,
            "revision": revision,
            "engine": engine.name,
            "device": engine.device,
            "window_s": _window_time_s(manifest, run, batch=engine.batch),
            "step_s": probe.step_s,
        }
        tiler = Tiler(manifest, revision=revision, run=run, batch=engine.batch, cache=self._cache)
        return _Served(manifest, revision, tiler, description)

    def _upscale(
        self, served: _Served, inputs: Mapping[str, np.ndarray | None], cancelled: Callable[[], bool]
    ) -> Arrays:
        try:
            name, tile = _read_tile(inputs, served.manifest.default_options)
        except ValueError as error:
            raise TileRequestError("TILE_MISMATCH", str(error)) from error
        try:
            result = served.tiler.run(tile, cancelled=cancelled)
        except TileMismatchError as error:
            raise TileRequestError("TILE_MISMATCH", str(error)) from error
        except NotFiniteError as error:
            raise TileRequestError("NOT_FINITE", "the model answered with no numbers", code="INTERNAL") from error
        except CancelledTileError as error:
            raise TileRequestError("CANCELLED", "the caller went away", code="CANCELLED") from error
        stats = result.stats
        mask = np.zeros(0, np.uint8) if result.mask is None else pack_mask(result.mask)
        return {
            name: result.pixels,
            "MASK": mask,
            "REVISION": np.array([served.revision.encode()], dtype=np.object_),
            "STATS": np.array([stats.windows, stats.cache_hits, stats.empty_windows, stats.out_of_range], np.int64),
        }


def _read_tile(inputs: Mapping[str, np.ndarray | None], defaults: Options) -> tuple[str, Tile]:
    name = next(name for name in PIXELS if inputs.get(name) is not None)
    pixels, geometry, mask = _required(inputs, name), _required(inputs, "GEOMETRY"), inputs.get("MASK")
    given = inputs.get("RANGES")
    ranges = full_ranges(PIXELS[name]) if given is None else given
    check_ranges(ranges, PIXELS[name])
    options = Options(
        steps=int(_scalar(inputs.get("STEPS"), defaults.steps)),
        texture=float(_scalar(inputs.get("TEXTURE"), defaults.texture)),
        seed=int(_scalar(inputs.get("SEED"), defaults.seed)),
    )
    if not (0 <= options.steps <= MAX_STEPS and 0 <= options.texture <= MAX_TEXTURE):
        raise TileMismatchError(f"steps {options.steps} or texture {options.texture:g} is out of range")
    height, width = pixels.shape[:2]
    valid = None if mask is None or mask.size == 0 else unpack_mask(mask, height=height, width=width)
    return name, Tile(pixels, TileGeometry.unpack(geometry), ranges, options, valid)


def _required(inputs: Mapping[str, np.ndarray | None], name: str) -> np.ndarray:
    tensor = inputs.get(name)
    if tensor is None:
        raise TileMismatchError(f"the tensor {name} is missing")
    return tensor


def _scalar(tensor: np.ndarray | None, default: int | float) -> int | float:  # noqa: PYI041 - checked
    return default if tensor is None else tensor[0].item()


def _text(tensor: np.ndarray | None) -> str:
    return "" if tensor is None or not tensor.size else bytes(tensor[0]).decode()


def _window_time_s(manifest: Manifest, run: WindowFunction, *, batch: int) -> float:
    """How long a window takes with all that tiling does for it, warmed up and without diffusion."""
    scale = Scale.parse(manifest.default_scale)
    side = manifest.geometry.window_px * scale.denominator // scale.numerator
    axis = Axis(side, scale, manifest.geometry)
    geometry = TileGeometry.of(axis, axis, axis.span(0, 1), axis.span(0, 1))
    tile = Tile(np.zeros((side, side, 3), np.uint8), geometry, full_ranges(np.dtype(np.uint8)), Options(0, 0.0, 0))
    tiler = Tiler(manifest, revision="", run=run, batch=batch, cache=WindowCache(0))
    tiler.run(tile, cancelled=lambda: False)
    start = time.perf_counter()
    tiler.run(tile, cancelled=lambda: False)
    return time.perf_counter() - start
