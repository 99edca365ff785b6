"""The plan of the land: blocks between ways, town on one side of the scene and fields on the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

import numpy as np

from hndsr_ensemble.evaluation.scene.canvas import GROUND_SAMPLE_M
from hndsr_ensemble.evaluation.scene.frame import Frame

BLOCK_LENGTH_M, BLOCK_DEPTH_M = (105.0, 140.0), (72.0, 84.0)
"""Ranges of a block's sides along u and v: a depth of two gardens, back to back."""
MAIN_ROAD_EVERY = 5
SHOPS_EVERY = 5
"""Of so many lines, and of so many blocks of the town, one."""

Point = tuple[float, float]


class LandUse(Enum):
    """What a block is used for."""

    HOMES = auto()
    SHOPS = auto()
    MAIZE = auto()
    WHEAT = auto()
    HAY = auto()
    PLOUGHED = auto()
    MEADOW = auto()
    ORCHARD = auto()
    WOOD = auto()


TOWN = {LandUse.HOMES, LandUse.SHOPS}
COUNTRY = tuple(use for use in LandUse if use not in TOWN)


class Way(Enum):
    """What runs between two blocks; the value is the width of the carriageway in metres."""

    MAIN_ROAD = 10.0
    STREET = 7.0
    TRACK = 3.6
    HEDGE = 0.0


@dataclass(frozen=True)
class Block:
    """A rectangle in street metres, to the middle of the ways around it."""

    low: Point
    high: Point
    use: LandUse

    @property
    def middle(self) -> Point:
        """Its centre."""
        return (self.low[0] + self.high[0]) / 2, (self.low[1] + self.high[1]) / 2

    @property
    def size_m(self) -> Point:
        """Its extents along u and v."""
        return self.high[0] - self.low[0], self.high[1] - self.low[1]


@dataclass(frozen=True)
class Link:
    """A way between two crossings: along u at `across` = v, or along v at `across` = u."""

    along_u: bool
    across: float
    start: float
    end: float
    way: Way

    def point(self, along: float, aside: float = 0.0) -> Point:
        """Street coordinates of a place on the way, `aside` from its middle."""
        return (along, self.across + aside) if self.along_u else (self.across + aside, along)


@dataclass(frozen=True)
class Compass:
    """Where the town lies: `town_rad` points there from the scene's middle, measured from u towards v."""

    middle: Point
    town_rad: float
    half_extent_m: float

    def towards_town(self, point: Point) -> float:
        """About -1 at the country's end of the scene, 1 at the town's end."""
        u, v = point[0] - self.middle[0], point[1] - self.middle[1]
        return (u * math.cos(self.town_rad) + v * math.sin(self.town_rad)) / self.half_extent_m


@dataclass(frozen=True)
class Layout:
    """Everything that is decided before drawing; the lines are the street metres of all ways, in order."""

    compass: Compass
    u_lines: tuple[float, ...]
    v_lines: tuple[float, ...]
    blocks: tuple[Block, ...]
    links: tuple[Link, ...]


def draw_layout(height_px: int, width_px: int, frame: Frame, rng: np.random.Generator) -> Layout:
    """A plan that covers a picture of this size with a margin of at least half a block on every side."""
    height_m, width_m = height_px * GROUND_SAMPLE_M, width_px * GROUND_SAMPLE_M
    places = np.array(((0, 0), (width_m, 0), (0, height_m), (width_m, height_m), (width_m / 2, height_m / 2)))
    u, v = frame.to_streets(places[:, 0], places[:, 1])
    u_lines = _lines(float(u.min()), float(u.max()), BLOCK_LENGTH_M, rng)
    v_lines = _lines(float(v.min()), float(v.max()), BLOCK_DEPTH_M, rng)
    compass = Compass((float(u[4]), float(v[4])), float(rng.uniform(0, math.tau)), (height_m + width_m) / 4)
    blocks = _blocks(u_lines, v_lines, compass, rng)
    return Layout(compass, u_lines, v_lines, blocks, _links(u_lines, v_lines, blocks, rng))


def _lines(low_m: float, high_m: float, spacing_m: Point, rng: np.random.Generator) -> tuple[float, ...]:
    lines = [low_m - spacing_m[1] - float(rng.uniform(0, spacing_m[0]))]
    while lines[-1] < high_m + spacing_m[1]:
        lines.append(lines[-1] + float(rng.uniform(*spacing_m)))
    return tuple(lines)


def _blocks(
    u_lines: tuple[float, ...], v_lines: tuple[float, ...], compass: Compass, rng: np.random.Generator
) -> tuple[Block, ...]:
    """Row by row along u: town where the compass says so, elsewhere crops of which no two neighbours are alike."""
    crops = [COUNTRY[k] for k in rng.permutation(len(COUNTRY))]
    towns, blocks = int(rng.integers(SHOPS_EVERY)), []
    for j, (v0, v1) in enumerate(pairwise(v_lines)):
        for i, (u0, u1) in enumerate(pairwise(u_lines)):
            use = crops[(i + 3 * j) % len(crops)]
            if compass.towards_town(((u0 + u1) / 2, (v0 + v1) / 2)) + rng.normal(0, 0.08) > 0:
                towns += 1
                use = LandUse.HOMES if towns % SHOPS_EVERY else LandUse.SHOPS
            blocks.append(Block((u0, v0), (u1, v1), use))
    return tuple(blocks)


def _links(
    u_lines: tuple[float, ...], v_lines: tuple[float, ...], blocks: tuple[Block, ...], rng: np.random.Generator
) -> tuple[Link, ...]:
    columns, rows = len(u_lines) - 1, len(v_lines) - 1
    uses = [[block.use for block in blocks[j * columns : (j + 1) * columns]] for j in range(rows)]
    along_u = [
        Link(True, v_lines[j], u_lines[i], u_lines[i + 1], _way(uses[j - 1][i], uses[j][i], j - rows // 2, rng))
        for j in range(1, rows)
        for i in range(columns)
    ]
    along_v = [
        Link(False, u_lines[i], v_lines[j], v_lines[j + 1], _way(uses[j][i - 1], uses[j][i], i - columns // 2, rng))
        for i in range(1, columns)
        for j in range(rows)
    ]
    return (*along_u, *along_v)


def _way(one: LandUse, other: LandUse, line: int, rng: np.random.Generator) -> Way:
    """What runs on a line between two blocks; `line` is counted from the scene's middle, where a main road lies."""
    if line % MAIN_ROAD_EVERY == 0:
        return Way.MAIN_ROAD
    if one in TOWN or other in TOWN:
        return Way.STREET
    return Way.TRACK if rng.random() < 0.4 else Way.HEDGE
