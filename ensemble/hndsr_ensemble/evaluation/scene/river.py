"""A winding river with muddy banks and trees beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hndsr_ensemble.evaluation.scene.canvas import Canvas, Mask, covered
from hndsr_ensemble.evaluation.scene.layout import Compass
from hndsr_ensemble.evaluation.scene.palette import GRASS, MUD, SHALLOWS, WATER
from hndsr_ensemble.evaluation.scene.plants import plant_tree

BANK_M, MEADOW_M = 2.2, 6.0
"""Widths of the bare bank and of the grass behind it."""
WATER_LEVEL_M = -1.4
TREE_SPACING_M = 7.0


@dataclass(frozen=True)
class River:
    """A line across the scene at right angles to the way to town, with two sines of meander."""

    compass: Compass
    offset_m: float
    half_width_m: float
    phases_rad: tuple[float, float]

    @classmethod
    def draw(cls, compass: Compass, rng: np.random.Generator) -> River:
        """A river of 13 to 20 m between town and country."""
        offset = -compass.half_extent_m * float(rng.uniform(0.12, 0.3))
        return cls(compass, offset, float(rng.uniform(6.5, 10)), tuple(rng.uniform(0, 2 * np.pi, 2).tolist()))

    def meander(self, along_m: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """How far the middle swings towards town."""
        slow = 14 * np.sin(2 * np.pi / 210 * along_m + self.phases_rad[0])
        return slow + 4 * np.sin(2 * np.pi / 83 * along_m + self.phases_rad[1])

    def point(self, along_m: float, aside_m: float) -> tuple[float, float]:
        """Street coordinates of a place `aside_m` towards town from the river's middle."""
        across = self.offset_m + float(self.meander(np.array([along_m]))[0]) + aside_m
        cos, sin = np.cos(self.compass.town_rad), np.sin(self.compass.town_rad)
        u, v = self.compass.middle
        return float(u + across * cos - along_m * sin), float(v + across * sin + along_m * cos)


def draw_river(canvas: Canvas, river: River) -> Mask:
    """Water, banks and the meadow along them, over whatever is there; returns where nothing may be built."""
    whole = canvas.whole.centred(river.compass.middle).turned(river.compass.town_rad)
    aside = whole.u - np.float32(river.offset_m) - river.meander(whole.v)
    water = np.abs(aside) - np.float32(river.half_width_m)
    rough = water + 0.9 * canvas.grain.medium + 0.8 * canvas.grain.coarse
    canvas.paint(whole, covered(rough - MEADOW_M, 1.5), GRASS, 0.95 + 0.1 * canvas.grain.medium)
    canvas.paint(whole, covered(rough - BANK_M, 0.8), MUD, 1 + 0.08 * canvas.grain.medium)
    canvas.paint(whole, covered(rough, 0.5), SHALLOWS)
    canvas.paint(whole, covered(rough + 3, 4.5), WATER, 1 + 0.03 * canvas.grain.medium + 0.03 * canvas.grain.coarse)
    canvas.height_m[rough < 0] = WATER_LEVEL_M
    return np.asarray(water < MEADOW_M)


def plant_banks(canvas: Canvas, river: River, rng: np.random.Generator) -> None:
    """Trees on both banks, denser in some places than in others."""
    reach = 1.5 * river.compass.half_extent_m
    for along in np.arange(-reach, reach, TREE_SPACING_M):
        for side in (-1, 1):
            if rng.random() < 0.55 + 0.35 * np.sin(along / 19 + 2 * side):
                aside = side * (river.half_width_m + rng.uniform(1.5, 7))
                at = river.point(along + rng.uniform(-3, 3), aside)
                if canvas.is_free(*at, 2.0):
                    plant_tree(canvas, *at, float(rng.uniform(2, 4.6)), rng)
