"""The deterministic diffusion sampler, as formulas over arrays."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

Latents = Float32[np.ndarray, "n 64 y x"]

SAMPLES_AT_ONCE = 65_536
"""Of latents in one piece of arithmetic."""


def ddim_times(steps: int) -> Float32[np.ndarray, "steps_plus_1"]:
    """Times from 1 (noise) to 0 (data), evenly spaced."""
    return np.linspace(1, 0, steps + 1).astype(np.float32)


def ddim_turn(steps: int) -> tuple[np.float32, np.float32]:
    """Cosine and sine of a step's angle, rounded once: the same bits under every promotion rule of NumPy."""
    angle = math.pi / 2 / steps
    return np.float32(math.cos(angle)), np.float32(math.sin(angle))


def ddim(velocity: Callable[[Latents, float], Latents], noise: Latents, steps: int) -> Latents:
    """Integrate from `noise` at t = 1 to the sample at t = 0 in `steps` ≥ 1 evaluations of `velocity(x, t)`.

    With α = cos(πt/2), σ = sin(πt/2): x₀ = αx − σv, ε = σx + αv, and the next x = α′x₀ + σ′ε, which is
    x·cos δ − v·sin δ, where δ = π / (2 · steps) is how far a step turns.

    Source: Song et al. 2020, DDIM, arXiv 2010.02502, eq. 12 with η = 0; as a rotation by Salimans & Ho 2022, arXiv
    2202.00512, appendix D.
    """
    x, turn = noise, ddim_turn(steps)
    term = np.empty(min(x.size, SAMPLES_AT_ONCE), np.float32)
    for time in ddim_times(steps)[:-1]:
        x = _step(x, velocity(x, float(time)), turn, term)
    return x


def _step(
    x: Latents, velocity: Latents, turn: tuple[np.float32, np.float32], term: Float32[np.ndarray, "m"]
) -> Latents:
    """One step of `ddim`, piece by piece, so that its terms stay in the processor's cache."""
    cosine, sine = turn
    result = np.empty(x.shape, np.float32)
    whole = [array.reshape(-1) for array in (x, velocity, result)]
    for start in range(0, x.size, term.size):
        piece, v, out = (array[start : start + term.size] for array in whole)
        np.multiply(cosine, piece, out=out)
        out -= np.multiply(sine, v, out=term[: len(out)])
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
