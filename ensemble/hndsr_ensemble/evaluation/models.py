"""The product's own tiler around a model repository, in this process: what is measured is what is served."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineChoiceError
from hndsr_ensemble.engines import Engine, engine_facts
from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.manifest import Manifest, ManifestError, Options, model_repository, read_manifests
from hndsr_ensemble.pipeline import HndsrWindows
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import Tile, TileGeometry
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.values import full_ranges
from hndsr_ensemble.windows import WindowFunction

MODEL = "hndsr"
CORES_PER_TILE = 16
CACHE_BYTES = 64 * 2**20
PASSES_REMEMBERED = 192
"""Of the UNet and of the FNO; its answers are 1 MiB each."""
RANGES = full_ranges(np.dtype(np.uint8))


class RepositoryError(TrainingError):
    """A folder that is no model repository with the networks of `hndsr`."""

    def __init__(self, *, repository: Path, reason: str) -> None:
        super().__init__(f"{repository} is no model repository that can be measured: {reason}")


class UnsupportedScaleError(TrainingError):
    """A scale that the model was not made for."""

    def __init__(self, *, scale: Scale, manifest: Manifest) -> None:
        super().__init__(f"{manifest.name} supports scales {manifest.min_scale} to {manifest.max_scale}, not {scale}")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Which model was measured, and what ran it."""

    source: str
    """Kind of what it came from."""
    identity: str
    """sha256 in hexadecimal: of the manifest, files and geometry included, or of the weights."""
    engine: str
    precision: str
    device: str


class TiledModel:
    """A window model behind the tiler that serves it.

    Args:
        manifest: of the model.
        run: the model.
        facts: of it.
    """

    def __init__(self, manifest: Manifest, run: WindowFunction, facts: ModelFacts) -> None:
        self._manifest, self.facts = manifest, facts
        cache = WindowCache(CACHE_BYTES)
        self._tiler = Tiler(manifest, revision=facts.identity, run=run, batch=1, cache=cache)

    @property
    def window(self) -> WindowGeometry:
        """Where its windows lie."""
        return self._manifest.geometry

    def check(self, scale: Scale) -> None:
        """Refuse a scale before anything is computed at another.

        Raises:
            UnsupportedScaleError: the model was not made for it.
        """
        if not self._manifest.supports(scale):
            raise UnsupportedScaleError(scale=scale, manifest=self._manifest)

    def upscale(self, lr: Rgb, scale: Scale, options: Options) -> Rgb:
        """The whole target of an image, put together from its tiles.

        Raises:
            UnsupportedScaleError: the model was not made for the scale.
        """
        self.check(scale)
        rows, columns = (Axis(length, scale, self._manifest.geometry) for length in lr.shape[:2])
        target = np.empty((rows.target_length, columns.target_length, 3), np.uint8)
        for row in rows.spans(CORES_PER_TILE):
            for column in columns.spans(CORES_PER_TILE):
                place = TileGeometry.of(rows, columns, row, column)
                top, bottom, left, right = place.source
                tile = Tile(lr[top:bottom, left:right], place, RANGES, options)
                inside = slice(row.target_start, row.target_stop), slice(column.target_start, column.target_stop)
                target[inside] = self._tiler.run(tile, cancelled=lambda: False).pixels
        return target


class Remembering:
    """An engine that keeps its last answers: rows that differ in texture alone share all passes but the decoder's.

    Args:
        engine: answers the same to the same, to the last bit.
        passes: whose answers are kept.
    """

    def __init__(self, engine: Engine, passes: int = PASSES_REMEMBERED) -> None:
        self._engine, self._passes = engine, passes
        self._answers: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self.name, self.precision, self.device, self.batch = engine.name, engine.precision, engine.device, engine.batch

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run the windows, or remember what came of them."""
        key = _digest(inputs)
        if key not in self._answers:
            self._answers[key] = self._engine.run(inputs)
            if len(self._answers) > self._passes:
                self._answers.popitem(last=False)
        self._answers.move_to_end(key)
        return self._answers[key]


def remember(windows: HndsrWindows) -> HndsrWindows:
    """Have FNO and UNet keep their last answers; returns the same windows."""
    windows.fno, windows.unet = Remembering(windows.fno), Remembering(windows.unet)
    return windows


def repository_model(repository: Path, *, engine: str = "onnxruntime") -> TiledModel:
    """The model `hndsr` of a model repository.

    Args:
        repository: the Triton model repository.
        engine: as HNDSR_ENGINE; the default computes in fp32 on every machine.

    Raises:
        RepositoryError: there is none, its files are not the released ones, or the engine cannot be had.
    """
    settings = replace(ServingSettings.from_environment({}), engine=engine)
    try:
        manifest = hndsr_manifest(repository)
        for model in (manifest.triton_model, *manifest.requires):
            manifest.check_files(repository, model)
        facts = engine_facts(settings)
        windows = remember(HndsrWindows(repository, settings))
    except (ManifestError, EngineChoiceError, OSError) as error:
        raise RepositoryError(repository=repository, reason=str(error)) from error
    return TiledModel(
        manifest, windows, ModelFacts("repository", manifest.digest, facts.name, facts.precision, facts.device)
    )


def hndsr_manifest(repository: Path | None = None) -> Manifest:
    """The manifest of `hndsr` in a model repository, or in the one that came with this installation.

    Raises:
        RepositoryError: there is none.
    """
    folder = model_repository() if repository is None else repository
    try:
        return read_manifests(folder)[MODEL]
    except KeyError as error:
        raise RepositoryError(repository=folder, reason=f"it has no model {MODEL}") from error


def _digest(inputs: dict[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(digest_size=24)
    for name, array in sorted(inputs.items()):
        digest.update(repr((name, array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).data)
    return digest.digest()
