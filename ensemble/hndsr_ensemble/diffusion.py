"""From a prior to a latent: the DDIM loop over whichever UNet is at hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt64
from safetensors import safe_open

from hndsr_ensemble.noise import window_noise
from hndsr_ensemble.recording import event, span
from hndsr_ensemble.schedule import Latents, ddim, textured

LATENT_PX = 4
"""Target pixels per latent, along each axis."""

Velocity = Callable[[Latents, Float32[np.ndarray, "n"]], Latents]
"""The UNet with prior and scale bound: (x, t) → v."""


def draw_latent(
    prior: Latents,
    *,
    velocity: Velocity,
    residual_std: Float32[np.ndarray, "1 64 1 1"],
    seed: UInt64[np.ndarray, "n"],
    position: Int64[np.ndarray, "n 2"],
    steps: Int32[np.ndarray, "n"],
    texture: Float32[np.ndarray, "n"],
) -> Latents:
    """Draw the latents of a batch of windows of one request: all have the same number of steps.

    Args:
        prior: the FNO's output, which is returned as it is for 0 steps or texture 0.
        velocity: the UNet.
        residual_std: of the training data.
        seed: of each window's noise.
        position: each window's corner in absolute target pixels, multiples of `LATENT_PX`.
        steps: DDIM steps, in [0, 100].
        texture: weight of the residual, in [0, 1.5].
    """
    if steps[0] == 0 or not texture.any():
        return prior
    numbers = count(1)

    def velocity_at(x: Latents, t: float) -> Latents:
        event("step", "hndsr.step", next(numbers))
        return velocity(x, np.full(len(x), t, np.float32))

    with span("ddim", "hndsr.steps", int(steps[0])):
        noise = np.stack(
            [
                window_noise(seed=int(key), y=int(y) // LATENT_PX, x=int(x) // LATENT_PX, side=prior.shape[-1])
                for key, (y, x) in zip(seed, position, strict=True)
            ]
        )
        residual = ddim(velocity_at, noise, int(steps[0]))
        return textured(prior, residual, residual_std=residual_std, texture=texture)


def read_residual_std(unet_weights: Path) -> Float32[np.ndarray, "1 64 1 1"]:
    """The residual's per-channel standard deviation, kept beside the UNet's weights."""
    with safe_open(unet_weights, framework="numpy") as tensors:
        return np.asarray(tensors.get_tensor("residual_std"), dtype=np.float32)
