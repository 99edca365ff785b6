"""FNO, DDIM and decoder on the device, for batches of one size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from hndsr_ensemble.diffusion import LATENT_PX
from hndsr_ensemble.engines.torch.captured import Captured, GraphMemory
from hndsr_ensemble.engines.torch.compiling import compiled
from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.engines.torch.diffusion import Diffusion, Step, step_of
from hndsr_ensemble.engines.torch.lowered import load_network, network_folder
from hndsr_ensemble.engines.torch.priors import Fno, Priors, latent_buffer
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.recording import span
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.windows import WindowBatch

WINDOW_PX = 256
LATENT_SIDE = WINDOW_PX // LATENT_PX


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """A full batch of windows on the device; one that repeats another is only there to fill it."""

    lr: Float32[Tensor, "b 3 s s"]
    positions: Int64[Tensor, "b 2"]
    """Corners in absolute target pixels."""
    origins: Float32[Tensor, "b 2"]
    """As `WindowBatch.origins`."""
    scale: Scale
    options: Options


@dataclass(frozen=True, slots=True)
class Networks:
    """The three networks of a device."""

    fno: nn.Module
    unet: nn.Module
    decoder: nn.Module

    @classmethod
    def load(cls, repository: Path, dtype: torch.dtype, device: torch.device) -> Networks:
        """From a Triton model repository."""
        return cls(
            *(load_network(network_folder(repository, name), name, dtype, device) for name in cls.__slots__),
        )


class TorchWindows:
    """The window model `hndsr` on one device, in a batch of fixed size: a window's bytes depend on no other window.

    Not for several threads at once.

    Args:
        networks: on the device.
        device: to run on.
        batch: windows of a pass; 0 until `resize` makes it more.
        compile_networks: whether torch compiles them; else they run kernel by kernel.
    """

    def __init__(
        self, networks: Networks, device: torch.device, *, batch: int = 0, compile_networks: bool = False
    ) -> None:
        self.device, self._networks = device, networks
        self.resize(batch, compile_networks=compile_networks)

    def resize(self, batch: int, *, compile_networks: bool) -> None:
        """Give back all buffers and graphs, and make those for another batch."""
        self.batch, self.compiled = batch, compile_networks
        self._passes: _Passes | None = None
        if batch:
            self._passes = _Passes(self._networks, self.device, batch=batch, compile_networks=compile_networks)

    def run(self, batch: DeviceBatch, *, cancelled: Callable[[], bool]) -> Float32[Tensor, "b 3 256 256"]:
        """Run a full batch; what it gives holds until the next one.

        Raises:
            CancelledTileError: if `cancelled` said so between two steps.
        """
        return self._made().run(batch, cancelled)

    def __call__(self, batch: WindowBatch) -> Float32[np.ndarray, "n 3 256 256"]:
        """Run any number of windows, as a `WindowFunction`."""
        self._made()
        return np.concatenate([self._part(batch, start) for start in range(0, len(batch.lr), self.batch)])

    def _part(self, batch: WindowBatch, start: int) -> Float32[np.ndarray, "m 3 256 256"]:
        picked = np.arange(start, start + self.batch).clip(max=len(batch.lr) - 1)
        whole = DeviceBatch(
            lr=upload(batch.lr[picked], self.device),
            positions=upload(batch.positions[picked], self.device),
            origins=upload(batch.origins[picked], self.device),
            scale=batch.scale,
            options=batch.options,
        )
        result = self.run(whole, cancelled=lambda: False)[: len(batch.lr) - start]
        return np.array(result.cpu().numpy(), order="C")

    def _made(self) -> _Passes:
        if self._passes is None:
            raise ValueError("there is no batch to run before `resize`")
        return self._passes

    def release(self) -> None:
        """Give back the memory of what can be made again."""
        if self._passes is not None:
            self._passes.priors.clear()


class _Passes:
    """Buffers and graphs for one size of batch; the FNO's graphs are made when they are needed."""

    def __init__(self, networks: Networks, device: torch.device, *, batch: int, compile_networks: bool) -> None:
        # Kept: graphs read what compiled functions hold.
        fno, step, decode = self._functions = _functions(networks, compile_networks=compile_networks)
        memory = GraphMemory(device)
        self.priors = Priors(fno, batch=batch, latent_side=LATENT_SIDE, device=device)
        self._draw = Diffusion(step, residual_std=networks.unet.residual_std, prior=self.priors.prior, memory=memory)
        self._latent = latent_buffer(batch, LATENT_SIDE, device)
        shape = (batch, 3, WINDOW_PX, WINDOW_PX)
        self._windows = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
        self._decode = Captured(lambda: self._windows.copy_(decode(self._latent)), memory)

    def run(self, batch: DeviceBatch, cancelled: Callable[[], bool]) -> Float32[Tensor, "b 3 256 256"]:
        with span("fno"):
            self.priors(batch.lr, batch.origins, float(batch.scale))
        corners = batch.positions // LATENT_PX
        self._latent.copy_(self._draw(corners, float(batch.scale), batch.options, cancelled))
        with span("decoder"):
            self._decode()
        return self._windows


def _functions(networks: Networks, *, compile_networks: bool) -> tuple[Fno, Step, Callable[[Tensor], Tensor]]:
    """FNO, one DDIM step, decoder. Only the FNO meets more than one shape."""

    def fno(lr: Tensor, scale: Tensor, origin: Tensor) -> Tensor:
        return networks.fno(lr, scale, origin, (LATENT_SIDE, LATENT_SIDE))

    step, decode = step_of(networks.unet), networks.decoder.decode
    if not compile_networks:
        return fno, step, decode
    return compiled(fno, dynamic=True), compiled(step, dynamic=False), compiled(decode, dynamic=False)
