"""The deterministic diffusion sampler, as formulas over arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Float32

Latents = Float32[np.ndarray, "n 64 y x"]


def ddim_times(steps: int) -> Float32[np.ndarray, "steps_plus_1"]:
    """Times from 1 (noise) to 0 (data), evenly spaced."""
    return np.linspace(1, 0, steps + 1).astype(np.float32)


def _rotation(time: float) -> tuple[np.float32, np.float32]:
    """α and σ, rounded once: the same bits under every promotion rule of NumPy."""
    return np.float32(math.cos(math.pi / 2 * time)), np.float32(math.sin(math.pi / 2 * time))


def ddim(velocity: Callable[[Latents, float], Latents], noise: Latents, steps: int) -> Latents:
    """Integrate from `noise` at t = 1 to the sample at t = 0 in `steps` ≥ 1 evaluations of `velocity(x, t)`.

    With α = cos(πt/2), σ = sin(πt/2): x₀ = αx − σv, ε = σx + αv, and the next x = α′x₀ + σ′ε.

    Source: Song et al. 2020, DDIM, arXiv 2010.02502, eq. 12 with η = 0; velocity of Salimans & Ho 2022, arXiv
    2202.00512, appendix D.
    """
    x = noise
    for now, following in pairwise(float(time) for time in ddim_times(steps)):
        alpha, sigma = _rotation(now)
        next_alpha, next_sigma = _rotation(following)
        v = velocity(x, now)
        data, epsilon = alpha * x - sigma * v, sigma * x + alpha * v
        x = next_alpha * data + next_sigma * epsilon
    return x


def textured(
    prior: Latents,
    residual: Latents,
    *,
    residual_std: Float32[np.ndarray, "1 64 1 1"],
    texture: Float32[np.ndarray, "n"],
) -> Latents:
    """Add the drawn residual to the prior with weight `texture` in [0, 1.5]; 0 is the prior exactly.

    Source: mean plus residual, CorrDiff, Mardani et al. 2023, arXiv 2309.15214.
    """
    return prior + texture[:, None, None, None] * residual_std * residual
