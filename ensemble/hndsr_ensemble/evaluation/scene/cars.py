"""Cars, parked and on the road."""

from __future__ import annotations

import numpy as np

from hndsr_ensemble.evaluation.scene.canvas import Canvas
from hndsr_ensemble.evaluation.scene.palette import CARS, GLASS

LENGTH_M, WIDTH_M = 4.5, 1.85
BONNET_M, ROOF_M = 0.85, 1.45
"""Heights above the ground."""


def park(canvas: Canvas, u_m: float, v_m: float, heading_rad: float, rng: np.random.Generator) -> None:
    """One car of any colour with its nose along `heading_rad`, measured from u towards v."""
    window = canvas.around(u_m, v_m, 3.2).turned(heading_rad)
    length, width = LENGTH_M * rng.uniform(0.9, 1.1), WIDTH_M * rng.uniform(0.96, 1.06)
    colour = CARS[rng.integers(len(CARS))]
    crown = 0.12 * (1 - (2 * window.v / np.float32(width)) ** 2)
    tapered = window.box(length, width) + 0.12 * (2 * window.u / np.float32(length)) ** 4
    canvas.raise_surface(window, tapered < 0, BONNET_M + crown, colour)
    cabin, roof = window.box(0.56 * length, 0.88 * width, u_m=-0.3), window.box(0.34 * length, 0.78 * width, u_m=-0.4)
    canvas.raise_surface(window, cabin < 0, 1.1 + crown, GLASS)
    canvas.raise_surface(window, roof < 0, ROOF_M + crown, colour)
