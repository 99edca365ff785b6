"""The torch engine as it serves: loaded, compiled where that works, fitted into the device's memory, warmed up."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineChoice, EngineFacts
from hndsr_ensemble.engines.torch.compiling import may_compile
from hndsr_ensemble.engines.torch.device import DTYPES, PRECISIONS, engine_name, open_device
from hndsr_ensemble.engines.torch.tiling import TorchTiler
from hndsr_ensemble.engines.torch.windows import Networks, TorchWindows
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import OutOfDeviceMemoryError
from hndsr_ensemble.windows import WindowBatch

LOG = logging.getLogger(__name__)

DEFAULT_BATCHES = {"cuda": 32, "cpu": 1}
"""Windows of a pass by device, where the settings leave it open."""
MEMORY_SHARE = 0.9
"""Of a GPU's memory for the tensors of all instances; their contexts take the rest."""
LONG_BATCH_S = 0.05
"""A cancel waits for a batch: one that takes longer is worth a line in the log."""


class LoadedTorch:
    """The window model `hndsr` on one device.

    Args:
        networks: on the device.
        manifest: of the window model.
        choice: device and arithmetic.
        device: opened.
        batch: windows of a pass, halved until it fits.
    """

    def __init__(
        self, networks: Networks, manifest: Manifest, choice: EngineChoice, *, device: torch.device, batch: int
    ) -> None:
        self._manifest, self._choice, self._device = manifest, choice, device
        self._windows = TorchWindows(networks, device)
        self._fit(batch, compile_networks=may_compile(device))

    @property
    def facts(self) -> EngineFacts:
        """Of the engine as it runs now: `shrink` changes them."""
        name = engine_name(self._device, compiled=self._windows.compiled)
        precision = PRECISIONS[self._choice.precision]
        return EngineFacts(name, precision, self._choice.device, self._windows.batch)

    def windows(self, batch: WindowBatch) -> Float32[np.ndarray, "n 3 256 256"]:
        """The model as a `WindowFunction`, by the same path that tiles take.

        Raises:
            OutOfDeviceMemoryError: if the device's memory is too small.
        """
        with suppress(torch.cuda.OutOfMemoryError):
            return self._windows(batch)
        # Without a cause: that would hold its tensors while a smaller batch is tried.
        raise OutOfDeviceMemoryError

    def tiler(self, revision: str, cache: WindowCache) -> TorchTiler:
        """Upscales tiles, until `shrink` makes the revision another."""
        return TorchTiler(self._manifest, revision=revision, windows=self._windows, cache=cache)

    def shrink(self) -> bool:
        """Halve the batch, which takes less memory and makes another revision; False where it is one window."""
        batch = self._windows.batch // 2
        if not batch:
            return False
        LOG.warning("the device's memory is too small for batches of %d windows; now they have %d", 2 * batch, batch)
        self._fit(batch, compile_networks=self._windows.compiled)
        return True

    def warm_up(self) -> None:
        """Run batches as the defaults have them until nothing is made for the first time, and time one."""
        batch = self._default_batch(self._windows.batch)
        self._windows(batch)
        start = time.perf_counter()
        self._windows(batch)
        taken_s = time.perf_counter() - start
        if self._device.type == "cuda" and taken_s > LONG_BATCH_S:
            LOG.info("a batch of %d windows takes %.0f ms: a cancel may wait as long", len(batch.lr), 1000 * taken_s)

    def _fit(self, batch: int, *, compile_networks: bool) -> None:
        """Make the largest batch of up to `batch` windows that the device has memory for."""
        while batch:
            try:
                self._prove(batch, compile_networks=compile_networks)
            except torch.cuda.OutOfMemoryError:
                LOG.warning("the device's memory is too small for batches of %d windows", batch)
            else:
                return
            batch //= 2
        raise OutOfDeviceMemoryError

    def _prove(self, batch: int, *, compile_networks: bool) -> None:
        """Make buffers, and run them once: compiled, if that goes well."""
        if compile_networks:
            try:
                self._try(batch, compile_networks=True)
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, none of which is fatal
                LOG.warning("the networks run kernel by kernel: torch cannot compile them here: %s", error)
            else:
                return
        self._try(batch, compile_networks=False)

    def _try(self, batch: int, *, compile_networks: bool) -> None:
        self._windows.resize(0, compile_networks=False)
        if self._device.type == "cuda":  # elsewhere nothing is recorded or compiled, and memory is not the limit
            torch.cuda.empty_cache()
        self._windows.resize(batch, compile_networks=compile_networks)
        if self._device.type == "cuda":
            self._windows(self._default_batch(1))

    def _default_batch(self, count: int) -> WindowBatch:
        """Grey windows at the default scale and options: always the first that is compiled."""
        scale, window = Scale.parse(self._manifest.default_scale), self._manifest.geometry
        side = Axis(window.window_px, scale, window).side
        lr, positions = np.zeros((count, 3, side, side), np.float32), np.zeros((count, 2), np.int64)
        return WindowBatch(lr, positions, scale, self._manifest.default_options)


def load_torch_tiler(
    repository: Path, manifest: Manifest, settings: ServingSettings, choice: EngineChoice, *, device_index: int = 0
) -> LoadedTorch:
    """The window model `hndsr`, ready on a device.

    Args:
        repository: the Triton model repository.
        manifest: of the window model.
        settings: windows of a batch, and cores where it runs on the CPU.
        choice: device and arithmetic.
        device_index: which GPU.

    Raises:
        OutOfDeviceMemoryError: if not even one window fits in its memory.
    """
    device = open_device(choice.device, index=device_index)
    if device.type == "cpu" and torch.get_num_threads() != settings.cpu_threads:
        torch.set_num_threads(settings.cpu_threads)
    if device.type == "cuda":
        # Equal parts, so that all of them fit the same batch and come to the same revision.
        torch.cuda.set_per_process_memory_fraction(MEMORY_SHARE / settings.instances_per_gpu, device)
    networks = Networks.load(repository, DTYPES[choice.precision], device)
    batch = settings.window_batch or DEFAULT_BATCHES[choice.device]
    loaded = LoadedTorch(networks, manifest, choice, device=device, batch=batch)
    if device.type == "cuda":
        loaded.warm_up()
    return loaded
