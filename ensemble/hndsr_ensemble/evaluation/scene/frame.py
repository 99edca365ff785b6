"""The scene's own axes: turned against the image and gently bent, so that no street is straight or level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BEND_M = 5.0
BEND_WAVELENGTH_M = 330.0

Metres = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Frame:
    """Maps image metres (x right, y down) to street metres (u along the streets, v across) and back.

    The bend shears by at most 2 pi BEND_M / BEND_WAVELENGTH_M, about 0.1, so lengths and angles survive well enough
    for every object to be drawn in street metres directly.
    """

    turn_rad: float
    phase_u_rad: float
    phase_v_rad: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Frame:
        """A turn of 8 to 24 degrees to either side and any bend."""
        turn = np.deg2rad(rng.uniform(8, 24)) * rng.choice((-1.0, 1.0))
        return cls(float(turn), *(float(p) for p in rng.uniform(0, 2 * np.pi, 2)))

    def to_streets(self, x_m: Metres, y_m: Metres) -> tuple[Metres, Metres]:
        """Street metres of image metres."""
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        u, v = cos * x_m + sin * y_m, cos * y_m - sin * x_m
        return u + self._bend(v, self.phase_u_rad), v + self._bend(u, self.phase_v_rad)

    def to_image(self, u_m: Metres, v_m: Metres) -> tuple[Metres, Metres]:
        """Image metres of street metres: the inverse of `to_streets` by fixed-point iteration, to under 1 mm."""
        u, v = u_m, v_m
        for _ in range(5):
            u, v = u_m - self._bend(v, self.phase_u_rad), v_m - self._bend(u, self.phase_v_rad)
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        return cos * u - sin * v, sin * u + cos * v

    @staticmethod
    def _bend(along_m: Metres, phase_rad: float) -> Metres:
        return BEND_M * np.sin(along_m * (math.tau / BEND_WAVELENGTH_M) + phase_rad)
