"""The DDIM loop on the device: noise, state and coefficients stay there, and a step is one replay."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from hndsr_ensemble.engines.torch.captured import Captured, GraphMemory
from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.engines.torch.priors import Latents
from hndsr_ensemble.manifest import MAX_STEPS, Options
from hndsr_ensemble.noise import TORUS_SIDE, noise_torus
from hndsr_ensemble.recording import event, span
from hndsr_ensemble.schedule import ddim_times, ddim_turn
from hndsr_ensemble.tiles import CancelledTileError

SEEDS_KEPT = 4

Unet = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x, t, prior, scale) → v."""
Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x, prior, scale, coefficients) → x at the next time."""


def ddim_coefficients(steps: int) -> Float32[np.ndarray, "steps 3"]:
    """Of each step: its time, and cosine and sine of its turn; rounded as on the CPU."""
    turn = ddim_turn(steps)
    return np.array([(time, *turn) for time in ddim_times(steps)[:-1]], dtype=np.float32)


def step_of(unet: Unet) -> Step:
    """One step of `schedule.ddim`, the UNet's evaluation included."""

    def step(x: Tensor, prior: Tensor, scale: Tensor, coefficients: Tensor) -> Tensor:
        time, cosine, sine = coefficients.unbind()
        return cosine * x - sine * unet(x, time.expand(len(x)), prior, scale).float()

    return step


class Noise:
    """Noise of windows by seed and place, from tori that lie on the device; the last few seeds are kept."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._tori: OrderedDict[int, Tensor] = OrderedDict()

    def __call__(self, seed: int, corners: Int64[Tensor, "b 2"], side: int) -> Float32[Tensor, "b 64 s s"]:
        """Of windows whose corners are at absolute latent coordinates."""
        along = torch.arange(side, device=self._device)
        rows, columns = ((corners[:, axis, None] + along) % TORUS_SIDE for axis in (0, 1))
        return self._torus(seed)[rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _torus(self, seed: int) -> Float32[Tensor, "512 512 64"]:
        if seed not in self._tori:
            self._tori[seed] = upload(noise_torus(seed), self._device)
            if len(self._tori) > SEEDS_KEPT:
                self._tori.popitem(last=False)
        self._tori.move_to_end(seed)
        return self._tori[seed]


class Diffusion:
    """Draws the latents of batches.

    Args:
        step: of `step_of`, compiled or not.
        residual_std: of the training data.
        prior: where each batch's prior will lie.
        memory: of the graphs.
    """

    def __init__(
        self, step: Step, *, residual_std: Float32[Tensor, "1 64 1 1"], prior: Latents, memory: GraphMemory
    ) -> None:
        self._residual_std, self._prior, self._device = residual_std, prior, memory.device
        self._noise = Noise(memory.device)
        self._x = torch.zeros_like(prior)
        self._scale = torch.ones(len(prior), device=memory.device)
        self._table = torch.zeros((MAX_STEPS, 3), device=memory.device)
        self._row = torch.zeros(1, dtype=torch.int64, device=memory.device)

        def advance() -> None:
            coefficients = self._table.index_select(0, self._row)[0]
            self._x.copy_(step(self._x, prior, self._scale, coefficients))
            self._row.add_(1)

        self._advance = Captured(advance, memory)

    def __call__(
        self, corners: Int64[Tensor, "b 2"], scale: float, options: Options, cancelled: Callable[[], bool]
    ) -> Latents:
        """The latents of a batch, with texture; the prior itself where nothing is to be drawn.

        Args:
            corners: of the windows, in absolute latent coordinates.
            scale: target pixels per source pixel.
            options: steps, texture, seed.
            cancelled: asked before each step.

        Raises:
            CancelledTileError: if `cancelled` said so.
        """
        if not options.draws:
            return self._prior
        with span("ddim", "hndsr.steps", options.steps):
            self._x.copy_(self._noise(options.seed, corners, self._prior.shape[-1]))
            self._scale.fill_(scale)
            self._table[: options.steps].copy_(upload(ddim_coefficients(options.steps), self._device))
            self._row.zero_()
            for number in range(1, options.steps + 1):
                if cancelled():
                    raise CancelledTileError
                event("step", "hndsr.step", number)
                self._advance()
            texture = float(np.float32(options.texture))
            return self._prior + (texture * self._residual_std) * self._x
