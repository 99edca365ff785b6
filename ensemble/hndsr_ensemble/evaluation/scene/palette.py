"""Colours of surfaces in full sun, as linear reflectances."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

GAMMA = 2.2
"""Exponent between stored 8-bit values and linear light; a power law stands in for the piecewise sRGB curve."""


def linear(red: int, green: int, blue: int) -> Float32[np.ndarray, "3"]:
    """Linear reflectance, 0 to 1, of a surface that is stored as this 8-bit colour when the sun shines on it."""
    return np.asarray((np.array((red, green, blue), np.float32) / 255) ** GAMMA, np.float32)


GRASS = linear(112, 126, 84)
LAWNS = (linear(104, 122, 84), linear(116, 128, 90), linear(134, 132, 104), linear(94, 114, 80))
MEADOW = linear(126, 134, 92)
DRY_GRASS = linear(158, 150, 112)
SOIL = linear(154, 132, 110)
DARK_SOIL = linear(122, 108, 92)
MUD = linear(150, 138, 112)
GRAVEL = linear(172, 162, 144)
WATER = linear(62, 76, 72)
SHALLOWS = linear(92, 98, 80)
POOL = linear(116, 170, 182)

MAIZE = linear(92, 118, 76)
WHEAT = linear(178, 166, 126)
HAY = linear(146, 152, 108)
SWATH = linear(178, 176, 134)

ASPHALT = linear(126, 125, 125)
WORN_ASPHALT = linear(146, 144, 141)
CONCRETE = linear(188, 184, 175)
PAINT = linear(228, 228, 222)
YELLOW_PAINT = linear(214, 184, 96)

ROOFS = (
    linear(158, 112, 94),
    linear(146, 96, 78),
    linear(132, 124, 116),
    linear(112, 108, 108),
    linear(150, 132, 112),
    linear(178, 170, 160),
    linear(94, 92, 96),
)
FLAT_ROOFS = (linear(206, 204, 198), linear(182, 180, 174), linear(164, 158, 150))
BRICK = linear(140, 100, 84)
PANEL = linear(52, 60, 86)
GLASS = linear(48, 54, 60)
METAL = linear(196, 198, 198)

CARS = (
    linear(226, 226, 224),
    linear(200, 202, 204),
    linear(150, 154, 158),
    linear(60, 62, 66),
    linear(40, 42, 46),
    linear(150, 44, 40),
    linear(58, 84, 126),
    linear(210, 204, 190),
)
CROWNS = (linear(84, 110, 74), linear(74, 102, 70), linear(96, 116, 76), linear(68, 96, 72), linear(112, 120, 82))
CONIFER = linear(52, 78, 58)
HEDGE = linear(76, 98, 58)
