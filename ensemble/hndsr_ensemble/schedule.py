"""The deterministic diffusion sampler, as formulas over arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Float32

Latents = Float32[np.ndarray, "n 64 y x"]

SAMPLES_AT_ONCE = 65_536
"""Of latents in one piece of arithmetic."""


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
    scratch = np.empty((3, min(x.size, SAMPLES_AT_ONCE)), np.float32)
    for now, following in pairwise(float(time) for time in ddim_times(steps)):
        x = _step(x, velocity(x, now), _rotation(now), _rotation(following), scratch)
    return x


def _step(
    x: Latents,
    velocity: Latents,
    now: tuple[np.float32, np.float32],
    following: tuple[np.float32, np.float32],
    scratch: Float32[np.ndarray, "3 m"],
) -> Latents:
    """One step of `ddim`, piece by piece, so that its terms stay in the processor's cache."""
    (alpha, sigma), (next_alpha, next_sigma) = now, following
    result = np.empty(x.shape, np.float32)
    whole, size = [array.reshape(-1) for array in (x, velocity, result)], scratch.shape[1]
    for start in range(0, x.size, size):
        piece, v, out = (array[start : start + size] for array in whole)
        data, epsilon, term = scratch[:, : len(out)]
        np.multiply(alpha, piece, out=data)
        data -= np.multiply(sigma, v, out=term)
        np.multiply(sigma, piece, out=epsilon)
        epsilon += np.multiply(alpha, v, out=term)
        data *= next_alpha
        epsilon *= next_sigma
        np.add(data, epsilon, out=out)
    return result


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
    result = np.asarray(texture[:, None, None, None] * residual_std * residual)
    result += prior
    return result
