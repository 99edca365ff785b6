"""The tiling model as a function of named arrays: what Triton's `hndsr` answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.engines import engine_choice
from hndsr_ensemble.hosts import CallModel, HostSetup, WindowHost, is_in_process, window_host
from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE, Manifest, Options, read_manifests, revision_of
from hndsr_ensemble.masks import pack_mask, unpack_mask
from hndsr_ensemble.probe import run_probe
from hndsr_ensemble.recording import Recording, Value
from hndsr_ensemble.serving import ENSEMBLE, FUSED, ServingSettings
from hndsr_ensemble.tiles import (
    CancelledTileError,
    NotFiniteError,
    OutOfDeviceMemoryError,
    Tile,
    TileGeometry,
    TileMismatchError,
    TileRunner,
)
from hndsr_ensemble.tiling import IN_FLIGHT
from hndsr_ensemble.timing import window_times_s
from hndsr_ensemble.values import SampleType, check_ranges, full_ranges

logger = logging.getLogger(__name__)

Answer = dict[str, Any]
"""Arrays by their names; pixels that were made on a GPU may be a tensor there."""

PIXELS: dict[str, SampleType] = {"PIXELS_U8": np.dtype(np.uint8), "PIXELS_U16": np.dtype(np.uint16)}
"""Input and output of each sample type."""

TRACE = "TRACE"
"""The output that says where the time of a tile went; made for those alone that ask for it."""


class TileRequestError(Exception):
    """A request that is answered by an error; `reason` is what the gateway reads, `code` Triton's name for it."""

    def __init__(self, reason: str, message: str, *, code: str = "INVALID_ARG") -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.code = reason, code


@dataclass(frozen=True, slots=True)
class _Served:
    manifest: Manifest
    revision: str
    tiler: TileRunner
    description: dict[str, Any]


class TileService:
    """Answers tiles for every window model of a repository, each proven by its probe before its first tile.

    Args:
        repository: the Triton model repository.
        settings: which models, what runs them, and how large a cache.
        call: runs a window model that does not run in this process.
        device_index: of the GPU for the models in this process.

    Raises:
        EngineChoiceError: if what is to run them cannot be had here.
    """

    def __init__(self, repository: Path, settings: ServingSettings, call: CallModel, *, device_index: int = 0) -> None:
        engine_choice(settings)
        manifests = read_manifests(repository)
        self._manifests = {name: manifests[name] for name in settings.models or manifests}
        pool = ThreadPoolExecutor(IN_FLIGHT * settings.cpu_threads, thread_name_prefix="window")
        self._setup = HostSetup(repository, settings, call, device_index, pool)
        self._cache = WindowCache(settings.window_cache_bytes)
        self._hosts: dict[str, WindowHost] = {}
        self._served: dict[str, _Served] = {}

    def warm_up(self) -> None:
        """Prove the models that run in this process; the others are proven when they are first asked for.

        Raises:
            ManifestError: if files are not the released ones.
            ProbeError: if a model computes something else than it should.
        """
        for name, manifest in self._manifests.items():
            if is_in_process(manifest, self._setup.settings):
                self._serve(name)

    def answer(
        self,
        inputs: Mapping[str, np.ndarray | None],
        outputs: Collection[str] = (),
        *,
        cancelled: Callable[[], bool],
    ) -> Answer:
        """Answer one request: a tile, or where no pixels are given a description of all models.

        Args:
            inputs: the tensors of the model's configuration, None where left out.
            outputs: names of those asked for; `TRACE` alone makes a difference, and only with a tile: one that fails
                leaves no record.
            cancelled: whether the caller went away.

        Raises:
            TileRequestError: with the reason.
        """
        if all(inputs.get(name) is None for name in PIXELS):
            return self._describe()
        required = _text(inputs.get("REQUIRED_REVISION"))
        served = self._serve(_text(inputs.get("MODEL")))
        if required not in {"", served.revision}:
            raise TileRequestError("REVISION_CHANGED", f"this is revision {served.revision}", code="UNAVAILABLE")
        if TRACE not in outputs:
            return self._upscale(served, inputs, cancelled)
        with Recording("tile") as recording:
            answer = self._upscale(served, inputs, cancelled)
            recording.note(_facts(served, inputs, answer))
        return answer | {TRACE: _as_tensor(recording.text())}

    def _describe(self) -> Answer:
        models = [self._serve(name).description for name in self._manifests]
        # Tritons of the time before `TRACE` refuse whoever asks for it.
        return {"DESCRIPTION": _as_tensor(json.dumps({"models": models, "records": True}))}

    def _serve(self, name: str) -> _Served:
        if name not in self._manifests:
            raise TileRequestError("MODEL_NOT_FOUND", f"served are {', '.join(self._manifests)}")
        while name not in self._served:
            if name not in self._hosts:
                self._hosts[name] = window_host(self._setup, self._manifests[name])
            try:
                self._served[name] = self._prove(self._manifests[name], self._hosts[name])
            except OutOfDeviceMemoryError as error:
                self._shrink(name, error)
        return self._served[name]

    def _shrink(self, name: str, error: OutOfDeviceMemoryError) -> None:
        """Have a model proven with fewer windows at once; with one, the error stands."""
        host = self._hosts[name]
        if not host.shrink():
            raise error
        logger.warning("%s ran out of device memory: it runs batches of %d from now on", name, host.facts.batch)

    def _prove(self, manifest: Manifest, host: WindowHost) -> _Served:
        settings, engine = self._setup.settings, host.facts
        probe = run_probe(self._setup.repository, manifest, host.windows)
        revision = revision_of(
            manifest, engine=engine.name, precision=engine.precision, batch=engine.batch, probe=probe
        )
        tiler, at_once = host.tiler(revision, self._cache), max(engine.batch, settings.cpu_threads)
        window_s, step_s = window_times_s(manifest, host.tiler("", WindowCache(0)), windows=at_once)
        description = {
            "manifest": manifest.text,
            "revision": revision,
            "engine": engine.name,
            "precision": engine.precision,
            "device": engine.device,
            "batch": engine.batch,
            "networks": FUSED if is_in_process(manifest, settings) else ENSEMBLE,
            "window_s": window_s,
            "step_s": step_s,
        }
        facts = (engine.name, engine.precision, engine.device, engine.batch)
        logger.info("%s runs on %s in %s on %s, %d windows a pass", manifest.name, *facts)
        return _Served(manifest, revision, tiler, description)

    def _upscale(
        self, served: _Served, inputs: Mapping[str, np.ndarray | None], cancelled: Callable[[], bool]
    ) -> Answer:
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
        except OutOfDeviceMemoryError as error:
            # Fewer windows at once would be another revision, beside that of the instances that have room.
            logger.exception("%s ran out of device memory", served.manifest.name)
            raise TileRequestError("OUT_OF_MEMORY", "the device has no room now", code="UNAVAILABLE") from error
        except Exception:
            if not is_in_process(served.manifest, self._setup.settings):
                # It may come back as another one: a Triton model may have been loaded anew.
                self._served.pop(served.manifest.name, None)
            raise
        stats = result.stats
        mask = np.zeros(0, np.uint8) if result.mask is None else pack_mask(result.mask)
        return {
            name: result.pixels,
            "MASK": mask,
            "REVISION": _as_tensor(served.revision),
            "STATS": np.array([stats.windows, stats.cache_hits, stats.empty_windows, stats.out_of_range], np.int64),
        }


def _facts(served: _Served, inputs: Mapping[str, np.ndarray | None], answer: Answer) -> dict[str, Value]:
    """What a trace says of a tile as a whole."""
    windows, cache_hits, empty_windows, _ = answer["STATS"].tolist()
    return {
        "hndsr.model": served.manifest.name,
        "hndsr.revision": served.revision,
        "hndsr.engine": served.description["engine"],
        "hndsr.device": served.description["device"],
        "hndsr.windows": windows,
        "hndsr.cache_hits": cache_hits,
        "hndsr.empty_windows": empty_windows,
        "hndsr.scale": str(TileGeometry.unpack(_required(inputs, "GEOMETRY")).scale),
        "hndsr.steps": _steps(inputs, served.manifest.default_options),
    }


def _read_tile(inputs: Mapping[str, np.ndarray | None], defaults: Options) -> tuple[str, Tile]:
    name = next(name for name in PIXELS if inputs.get(name) is not None)
    pixels, geometry, mask = _required(inputs, name), _required(inputs, "GEOMETRY"), inputs.get("MASK")
    given = inputs.get("RANGES")
    ranges = full_ranges(PIXELS[name]) if given is None else given
    check_ranges(ranges, PIXELS[name])
    options = Options(
        steps=_steps(inputs, defaults),
        texture=float(_scalar(inputs.get("TEXTURE"), defaults.texture)),
        seed=int(_scalar(inputs.get("SEED"), defaults.seed)),
    )
    if not (0 <= options.steps <= MAX_STEPS and 0 <= options.texture <= MAX_TEXTURE):
        raise TileMismatchError(f"steps {options.steps} or texture {options.texture:g} is out of range")
    height, width = pixels.shape[:2]
    valid = None if mask is None or mask.size == 0 else unpack_mask(mask, height=height, width=width)
    return name, Tile(pixels, TileGeometry.unpack(geometry), ranges, options, valid)


def _steps(inputs: Mapping[str, np.ndarray | None], defaults: Options) -> int:
    return int(_scalar(inputs.get("STEPS"), defaults.steps))


def _required(inputs: Mapping[str, np.ndarray | None], name: str) -> np.ndarray:
    tensor = inputs.get(name)
    if tensor is None:
        raise TileMismatchError(f"the tensor {name} is missing")
    return tensor


def _scalar(tensor: np.ndarray | None, default: int | float) -> int | float:  # noqa: PYI041 - checked
    return default if tensor is None else tensor[0].item()


def _text(tensor: np.ndarray | None) -> str:
    return "" if tensor is None or not tensor.size else bytes(tensor[0]).decode()


def _as_tensor(text: str) -> np.ndarray:
    return np.array([text.encode()], dtype=np.object_)
