"""Where the windows of a model run: in this process on the CPU or on a GPU, or as a Triton model."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineChoice, EngineFacts
from hndsr_ensemble.engines import engine_choice, engine_facts
from hndsr_ensemble.interpolation import NUMPY
from hndsr_ensemble.manifest import Manifest, check_noise
from hndsr_ensemble.pipeline import PIPELINES, load_pipeline
from hndsr_ensemble.probe import committed_batches
from hndsr_ensemble.serving import FUSED, ServingSettings
from hndsr_ensemble.tiles import TileRunner
from hndsr_ensemble.tiling import Tiler, Workers
from hndsr_ensemble.windows import WindowBatch, WindowFunction

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
CallModel = Callable[[str, Arrays], np.ndarray]
"""Runs a Triton model by name and returns its output WINDOW."""


@runtime_checkable
class WindowHost(Protocol):
    """Runs the windows of one model."""

    @property
    def facts(self) -> EngineFacts:
        """What runs them now."""

    @property
    def windows(self) -> WindowFunction:
        """The model itself, for its probe."""

    def tiler(self, revision: str, cache: WindowCache) -> TileRunner:
        """Tiles from these windows, once the probe has passed."""

    def shrink(self) -> bool:
        """Run fewer windows at once from now on, with other facts; False where that is impossible."""


@dataclass(frozen=True, slots=True)
class HostSetup:
    """What all models of one process share: where they come from, and what runs them."""

    repository: Path
    settings: ServingSettings
    call: CallModel
    device_index: int
    pool: ThreadPoolExecutor


def is_in_process(manifest: Manifest, settings: ServingSettings) -> bool:
    """Whether a model runs in the tiling model's own process."""
    return settings.networks == FUSED and manifest.triton_model in PIPELINES


def window_host(setup: HostSetup, manifest: Manifest) -> WindowHost:
    """Load a model, or make ready to call it.

    Raises:
        ManifestError: if its files are not the released ones.
    """
    settings = setup.settings
    if not is_in_process(manifest, settings):
        return TritonHost(setup, manifest)
    for model in (manifest.triton_model, *manifest.requires):
        manifest.check_files(setup.repository, model)
    if manifest.generative:
        check_noise(manifest)
    choice = engine_choice(settings)
    if choice.engine == "torch" and manifest.files:
        return _torch_host(setup, manifest, choice)
    return CpuHost(setup, manifest)


def _torch_host(setup: HostSetup, manifest: Manifest, choice: EngineChoice) -> WindowHost:
    from hndsr_ensemble.engines.torch.tiler import load_torch_tiler  # noqa: PLC0415 - torch takes seconds to load

    return load_torch_tiler(setup.repository, manifest, setup.settings, choice, device_index=setup.device_index)


class TritonHost:
    """A window model that Triton runs."""

    def __init__(self, setup: HostSetup, manifest: Manifest) -> None:
        self._call, self._manifest = setup.call, manifest
        self.facts = engine_facts(setup.settings) if manifest.files else NUMPY

    def windows(self, batch: WindowBatch) -> np.ndarray:
        """Call the model."""
        return self._call(self._manifest.triton_model, batch.tensors(self._manifest.inputs))

    def tiler(self, revision: str, cache: WindowCache) -> Tiler:
        """One batch after the other, from the thread that Triton called."""
        return Tiler(self._manifest, revision=revision, run=self.windows, batch=self.facts.batch, cache=cache)

    def shrink(self) -> bool:
        """Nothing to shrink: the batch is the model's."""
        return False


class CpuHost:
    """A window model in this process: as many windows at once as there are cores, each on one of them."""

    def __init__(self, setup: HostSetup, manifest: Manifest) -> None:
        self._setup, self._manifest, settings = setup, manifest, setup.settings
        self.facts = engine_facts(settings) if manifest.files else NUMPY
        self.windows = load_pipeline(setup.repository, manifest, settings, streams=settings.cpu_threads)

    @functools.cached_property
    def _alone(self) -> WindowFunction | None:
        """The model for a window that has all cores; None where that is no gain, or comes to other bits."""
        if not self._manifest.files:
            return None
        alone = load_pipeline(self._setup.repository, self._manifest, self._setup.settings)
        probe = committed_batches(self._setup.repository, self._manifest)
        if all(alone(batch).tobytes() == self.windows(batch).tobytes() for batch in probe):
            return alone
        logger.warning("%s comes to other bits on all cores: each window runs on one", self._manifest.name)
        return None

    def tiler(self, revision: str, cache: WindowCache) -> Tiler:
        """Side by side where there is more than one core."""
        settings, workers = self._setup.settings, None
        if settings.cpu_threads > 1:
            workers = Workers(self._setup.pool, settings.cpu_threads, self._alone)
        return Tiler(self._manifest, revision=revision, run=self.windows, batch=1, cache=cache, workers=workers)

    def shrink(self) -> bool:
        """A window at a time is the least."""
        return False
