"""The networks on one device as the torch engine runs them: batches of one size, compiled and captured where it can.

All that the benchmarks of a GPU know of engines stands here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from bare import BareFacts, cut
from service import noise, source_side
from torch import Tensor

from hndsr_ensemble.engines import engine_choice
from hndsr_ensemble.engines.torch.captured import Captured, GraphMemory
from hndsr_ensemble.engines.torch.compiling import compiled, may_compile
from hndsr_ensemble.engines.torch.device import DTYPES, engine_name, open_device, upload
from hndsr_ensemble.engines.torch.diffusion import ddim_coefficients, step_of
from hndsr_ensemble.engines.torch.windows import DeviceBatch, Networks, TorchWindows
from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tile_service import TileService
from hndsr_ensemble.windows import WindowBatch

SIZE = (64, 64)
"""Latents of a window."""
SERVED_BATCH = 32
Run = Callable[[], object]


class DeviceNetworks:
    """FNO, UNet and decoder on a device, for batches of one size at scale 4; work is queued, not waited for."""

    def __init__(self, device: str, precision: str, batch: int) -> None:
        self.device, self.batch = open_device(device), batch
        self.compiled = may_compile(self.device)
        self._networks = Networks.load(model_repository(), DTYPES[precision], self.device)
        self._windows = TorchWindows(self._networks, self.device, batch=batch, compile_networks=self.compiled)
        self._source = _device_batch(cut(noise(source_side(batch / 16), 0), 1), batch, self.device)

    def windows(self, steps: int) -> Run:
        """Whole windows, source to target, with the loop on the device."""
        batch = replace(self._source, options=replace(self._source.options, steps=steps))
        return lambda: self._windows.run(batch, cancelled=lambda: False)

    def passes(self) -> dict[str, Run]:
        """One pass of each network, ready to be repeated; the UNet's with the arithmetic of its step."""
        networks = self._networks

        def fno(lr: Tensor, scale: Tensor, origin: Tensor) -> Tensor:
            return networks.fno(lr, scale, origin, SIZE)

        step, decode = step_of(networks.unet), networks.decoder.decode
        if self.compiled:  # as the engine does, so that what it compiled is found again
            fno, step, decode = (
                compiled(fno, dynamic=True),
                compiled(step, dynamic=False),
                compiled(decode, dynamic=False),
            )
        latent = torch.zeros((self.batch, 64, *SIZE), device=self.device).to(memory_format=torch.channels_last)
        scale = torch.full((self.batch,), 4.0, device=self.device)
        coefficients = upload(ddim_coefficients(4), self.device)[0]
        works = {
            "fno": lambda: fno(self._source.lr, scale, self._source.origins),
            "unet": lambda: step(latent, latent, scale, coefficients),
            "decoder": lambda: decode(latent),
        }
        return {name: self._captured(work) for name, work in works.items()}

    def wait(self) -> None:
        """Until all that is queued is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _captured(self, work: Callable[[], Tensor]) -> Run:
        target = torch.empty_like(work())

        def copied() -> None:
            target.copy_(work())

        return Captured(copied, GraphMemory(self.device))


class DeviceBare:
    """Whole windows in full batches, as often as an image has them; what is in them does not matter to their time."""

    def __init__(self, settings: ServingSettings) -> None:
        choice = engine_choice(settings)
        self._networks = DeviceNetworks(choice.device, choice.precision, settings.window_batch or SERVED_BATCH)
        name = engine_name(self._networks.device, compiled=self._networks.compiled)
        self.facts = BareFacts(name, choice.device, choice.precision, batch=self._networks.batch, at_once=1)

    def run(self, windows: Sequence[WindowBatch]) -> None:
        """As many batches as these windows fill."""
        run = self._networks.windows(windows[0].options.steps)
        for _ in range(-(-len(windows) // self._networks.batch)):
            run()
        self._networks.wait()


def _device_batch(windows: Sequence[WindowBatch], count: int, device: torch.device) -> DeviceBatch:
    """The first so many windows, repeated where there are fewer."""
    taken = [windows[index % len(windows)] for index in range(count)]
    return DeviceBatch(
        lr=upload(np.concatenate([window.lr for window in taken]), device),
        positions=upload(np.concatenate([window.positions for window in taken]), device),
        origins=upload(np.concatenate([window.origins for window in taken]), device),
        scale=taken[0].scale,
        options=taken[0].options,
    )


class InProcess:
    """The tiling model's own code in this process, without a window cache: tensors in, tensors out."""

    def __init__(self, environment: dict[str, str]) -> None:
        settings = ServingSettings.from_environment(
            {**environment, "HNDSR_MODELS": "hndsr", "HNDSR_WINDOW_CACHE_MIB": "0"}
        )
        self._service = TileService(model_repository(), settings, _no_triton)
        said = json.loads(self._service.answer({}, cancelled=lambda: False)["DESCRIPTION"][0])["models"][0]
        self.facts: dict[str, Any] = {name: said[name] for name in ("engine", "device", "precision", "batch")}

    def answer(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """The target of a tile."""
        return self._service.answer(tensors, cancelled=lambda: False)["PIXELS_U8"]


def _no_triton(model: str, tensors: dict[str, np.ndarray]) -> np.ndarray:
    raise RuntimeError(f"{model} was to be called with {list(tensors)}, but there is no Triton here")
