"""Noise that belongs to a place: the same latent gets the same noise in every window, tile and run."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from jaxtyping import Float32

TORUS_SIDE = 512
LATENT_CHANNELS = 64


@lru_cache(maxsize=2)
def noise_torus(seed: int) -> Float32[np.ndarray, "512 512 64"]:
    """Standard normal noise over (y, x, channel), repeated in both directions; 64 MiB, two are kept.

    Args:
        seed: at least 0.

    Source: counter-based generator Philox, Salmon et al. 2011, as NumPy implements it.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    torus = generator.standard_normal((TORUS_SIDE, TORUS_SIDE, LATENT_CHANNELS), dtype=np.float32)
    torus.setflags(write=False)
    return torus


def window_noise(*, seed: int, y: int, x: int, side: int) -> Float32[np.ndarray, "64 s s"]:
    """Noise of a square window whose corner is at absolute latent coordinates (`y`, `x`), channels first."""
    rows, columns = (np.arange(y, y + side) % TORUS_SIDE, np.arange(x, x + side) % TORUS_SIDE)
    return np.ascontiguousarray(noise_torus(seed)[rows[:, None], columns].transpose(2, 0, 1))


def torus_digest() -> str:
    """sha256 of the torus of seed 0: part of the revision, since generators may change between NumPy releases."""
    return hashlib.sha256(noise_torus(0).tobytes()).hexdigest()
