"""Smooth random fields, the grain of every surface in the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image


def value_noise(height: int, width: int, cell: float, rng: np.random.Generator) -> Float32[np.ndarray, "height width"]:
    """Random values on a lattice `cell` samples apart, joined by a cubic; mean 0, standard deviation near 1."""
    lattice = rng.standard_normal((int(height / cell) + 4, int(width / cell) + 4), dtype=np.float32)
    box = (1.5, 1.5, 1.5 + width / cell, 1.5 + height / cell)
    return np.asarray(Image.fromarray(lattice).resize((width, height), Image.Resampling.BICUBIC, box=box), np.float32)


def fractal_noise(
    height: int, width: int, cells: tuple[float, ...], rng: np.random.Generator
) -> Float32[np.ndarray, "height width"]:
    """Sum of value noise over several cell sizes, amplitude in proportion to the cell, standard deviation near 1."""
    total = np.zeros((height, width), np.float32)
    for cell in cells:
        total += np.float32(cell) * value_noise(height, width, cell, rng)
    return total / np.float32(np.sqrt(sum(cell * cell for cell in cells)))


@dataclass(frozen=True)
class Grain:
    """Three fields of the scene's size: `fine` (leaves, stones), `medium` (tufts, stains), `coarse` (moisture)."""

    fine: Float32[np.ndarray, "h w"]
    medium: Float32[np.ndarray, "h w"]
    coarse: Float32[np.ndarray, "h w"]

    @classmethod
    def draw(cls, height: int, width: int, *, step_m: float, rng: np.random.Generator) -> Grain:
        """Fields of `height` x `width` samples, `step_m` apart."""
        return cls(
            fine=value_noise(height, width, 0.3 / step_m, rng),
            medium=fractal_noise(height, width, (2.4 / step_m, 1.2 / step_m, 0.6 / step_m), rng),
            coarse=fractal_noise(height, width, (40 / step_m, 16 / step_m, 6 / step_m), rng),
        )
