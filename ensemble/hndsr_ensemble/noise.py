"""Noise that belongs to a place: the same latent gets the same noise in every window, tile and run."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from threading import Lock

import numpy as np
from jaxtyping import Float32

TORUS_SIDE = 512
LATENT_CHANNELS = 64


_drawing = Lock()
"""Held while a torus is drawn: windows that run side by side need the same one."""


def noise_torus(seed: int) -> Float32[np.ndarray, "512 512 64"]:
    """Standard normal noise over (y, x, channel), repeated in both directions; 64 MiB, two are kept.

    Args:
        seed: at least 0.

    Source: counter-based generator Philox, Salmon et al. 2011, as NumPy implements it.
    """
    with _drawing:
        return _draw_torus(seed)


@lru_cache(maxsize=2)
def _draw_torus(seed: int) -> Float32[np.ndarray, "512 512 64"]:
    generator = np.random.Generator(np.random.Philox(key=seed))
    torus = generator.standard_normal((TORUS_SIDE, TORUS_SIDE, LATENT_CHANNELS), dtype=np.float32)
    torus.setflags(write=False)
    return torus


def window_noise(*, seed: int, y: int, x: int, side: int) -> Float32[np.ndarray, "64 s s"]:
    """Noise of a square window whose corner is at absolute latent coordinates (`y`, `x`), channels first."""
    torus, left = noise_torus(seed), x % TORUS_SIDE
    columns = slice(left, left + side) if left + side <= TORUS_SIDE else np.arange(x, x + side) % TORUS_SIDE
    noise = np.empty((LATENT_CHANNELS, side, side), np.float32)
    for row in range(side):  # what is transposed at once fits the processor's innermost cache
        noise[:, row] = torus[(y + row) % TORUS_SIDE, columns].T
    return noise


def torus_digest() -> str:
    """sha256 of the torus of seed 0: part of the revision, since generators may change between NumPy releases."""
    return hashlib.sha256(noise_torus(0).reshape(-1).data).hexdigest()
