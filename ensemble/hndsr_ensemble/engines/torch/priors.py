"""The FNO for a batch of windows: a graph for each side of source windows, the last few of them kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from hndsr_ensemble.engines.torch.captured import Captured, GraphMemory
from hndsr_ensemble.networks import LATENT_CHANNELS

SIDES_KEPT = 8
FEW_SOURCE_PX = 96
"""Windows with longer sides go through the FNO in parts of the batch, so that scales take about the same memory."""

Fno = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(lr, scale, origin) → prior."""
Latents = Float32[Tensor, "b 64 y x"]


def latent_buffer(batch: int, side: int, device: torch.device) -> Latents:
    """Latents of a batch, each latent's channels side by side."""
    shape = (batch, LATENT_CHANNELS, side, side)
    return torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)


def windows_at_once(batch: int, side: int) -> int:
    """How many windows of a batch go through the FNO together: it is halved while they are too many and it is even.

    Down to two: for a single window the FNO would be compiled once more.
    """
    part = batch
    while part > 2 and part % 2 == 0 and part * side**2 > batch * FEW_SOURCE_PX**2:
        part //= 2
    return part


class Priors:
    """Runs the FNO on batches.

    Args:
        fno: compiled or not.
        batch: windows of a batch.
        latent_side: latents along each side of a window.
        device: to run on.
    """

    def __init__(self, fno: Fno, *, batch: int, latent_side: int, device: torch.device) -> None:
        self._fno, self._memory, self._device = fno, GraphMemory(device), device
        self.prior = latent_buffer(batch, latent_side, device)
        """Of the last batch."""
        self._passes: OrderedDict[int, _Pass] = OrderedDict()

    def __call__(self, lr: Float32[Tensor, "b 3 s s"], origins: Float32[Tensor, "b 2"], scale: float) -> None:
        """Fill `prior`."""
        passes = self._pass(lr.shape[2])
        for start in range(0, len(lr), passes.part):
            rows = slice(start, start + passes.part)
            self.prior[rows].copy_(passes(lr[rows], origins[rows], scale))

    def _pass(self, side: int) -> _Pass:
        if side not in self._passes:
            part = windows_at_once(len(self.prior), side)
            self._passes[side] = _Pass(self._fno, side, self.prior[:part], self._memory)
            if len(self._passes) > SIDES_KEPT:
                self._passes.popitem(last=False)
        self._passes.move_to_end(side)
        return self._passes[side]

    @property
    def sides(self) -> tuple[int, ...]:
        """Those whose graphs are kept, the least recently used one first."""
        return tuple(self._passes)

    def clear(self) -> None:
        """Forget all graphs, and what memory they hold."""
        self._passes.clear()
        self._memory = GraphMemory(self._device)


class _Pass:
    """The FNO at one side, for as many windows as it takes at once."""

    def __init__(self, fno: Fno, side: int, like: Shaped[Tensor, "p 64 y x"], memory: GraphMemory) -> None:
        self.part, device = len(like), memory.device
        lr = torch.zeros((self.part, 3, side, side), device=device)
        self._lr = lr.contiguous(memory_format=torch.channels_last)
        self._scale, self._origins = torch.ones(self.part, device=device), torch.zeros((self.part, 2), device=device)
        self._prior = torch.empty_like(like)
        self._scale.fill_(4.0)
        self._run = Captured(lambda: self._prior.copy_(fno(self._lr, self._scale, self._origins)), memory)

    def __call__(
        self, lr: Float32[Tensor, "p 3 s s"], origins: Float32[Tensor, "p 2"], scale: float
    ) -> Float32[Tensor, "p 64 y x"]:
        self._lr.copy_(lr)
        self._origins.copy_(origins)
        self._scale.fill_(scale)
        self._run()
        return self._prior
