"""Blocks of houses with gardens, and blocks of shops with car parks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hndsr_ensemble.evaluation.scene.buildings import build_hall, build_house, build_shed
from hndsr_ensemble.evaluation.scene.canvas import Canvas, covered
from hndsr_ensemble.evaluation.scene.cars import park
from hndsr_ensemble.evaluation.scene.layout import Block, Point
from hndsr_ensemble.evaluation.scene.palette import ASPHALT, CONCRETE, LAWNS, PAINT, POOL, WORN_ASPHALT
from hndsr_ensemble.evaluation.scene.plants import plant_hedge, plant_tree, scatter

SETBACK_M = 5.7
"""From the middle of a street to the gardens: half the carriageway and the pavement."""
LOT_M = 19.0
"""Width of a garden along the street; a block is divided evenly into lots of about this."""
BAY_M, BAY_DEPTH_M, AISLE_M = 2.6, 5.2, 6.2
"""Of a car park."""

Span = tuple[float, float]


def draw_homes(canvas: Canvas, block: Block, rng: np.random.Generator) -> None:
    """Two rows of lots, back to back, that face the streets along u."""
    first, last = block.low[0] + SETBACK_M, block.high[0] - SETBACK_M
    edges = np.linspace(first, last, max(2, round((last - first) / LOT_M) + 1)).tolist()
    for left, right in pairwise(edges):
        for street in (block.low[1] + SETBACK_M, block.high[1] - SETBACK_M):
            _lot(canvas, (left, right), (street, block.middle[1]), rng)


def _lot(canvas: Canvas, u_m: Span, v_m: Span, rng: np.random.Generator) -> None:
    """A lot from `u_m[0]` to `u_m[1]`, from the street at `v_m[0]` to its far end at `v_m[1]`."""
    inward = float(np.sign(v_m[1] - v_m[0]))
    depth, middle = abs(v_m[1] - v_m[0]), ((u_m[0] + u_m[1]) / 2, (v_m[0] + v_m[1]) / 2)
    if not canvas.sees(*middle, depth) or not canvas.is_free(*middle, 5.0):
        return
    _garden(canvas, middle, (u_m[1] - u_m[0], depth), rng)
    house = middle[0] + rng.uniform(-0.8, 0.8), v_m[0] + inward * rng.uniform(10, 12)
    drive = float(rng.choice((-1, 1))) * (u_m[1] - u_m[0] - 4) / 2
    _driveway(canvas, (middle[0] + drive, v_m[0]), inward, rng)
    build_house(canvas, *house, np.pi if inward > 0 else 0.0, rng)
    _backyard(canvas, middle[0], v_m[1], inward, rng)
    scatter(
        canvas,
        (u_m[0], min(v_m)),
        (u_m[1], max(v_m)),
        count=int(rng.integers(5, 14)),
        radius_m=(0.7, 5.2),
        rng=rng,
    )
    if rng.random() < 0.5:
        plant_hedge(canvas, (u_m[1], v_m[0] + inward * 10), (u_m[1], v_m[1]), rng)


def _garden(canvas: Canvas, centre: Point, size_m: Span, rng: np.random.Generator) -> None:
    window = canvas.around(*centre, float(np.hypot(*size_m)) / 2 + 1)
    lawn = covered(window.box(*size_m)) * ~canvas.reserved[window.at]
    grain = canvas.grain
    worn = 0.12 * grain.medium[window.at] + 0.10 * grain.fine[window.at] + 0.08 * grain.coarse[window.at]
    canvas.paint(window, lawn, LAWNS[rng.integers(len(LAWNS))], 1 + worn)


def _driveway(canvas: Canvas, street: Point, inward: float, rng: np.random.Generator) -> None:
    length, width = float(rng.uniform(9, 16)), float(rng.uniform(3, 4.2))
    centre = street[0], street[1] + inward * (length / 2 - 2.2)
    window = canvas.around(*centre, length)
    shape = window.box(width, length)
    colour = (CONCRETE, WORN_ASPHALT)[int(rng.integers(2))]
    canvas.paint(window, covered(shape), colour, 1 + 0.04 * canvas.grain.medium[window.at])
    canvas.reserve(window, shape < 0.4)
    if rng.random() < 0.6:
        park(canvas, centre[0], centre[1] + inward, inward * np.pi / 2, rng)


def _backyard(canvas: Canvas, u_m: float, end_v_m: float, inward: float, rng: np.random.Generator) -> None:
    at = u_m + float(rng.uniform(-4, 4)), end_v_m - inward * float(rng.uniform(5, 8))
    if not canvas.is_free(*at, 4.0):
        return
    window = canvas.around(*at, 8.0)
    if rng.random() < 0.13:
        pool = window.turned(float(rng.normal(0, 0.3))).box(float(rng.uniform(6, 9)), float(rng.uniform(3, 4.5)))
        canvas.paint(window, covered(pool - 1.1), CONCRETE)
        canvas.paint(window, covered(pool), POOL, 1 + 0.05 * canvas.grain.medium[window.at])
        canvas.reserve(window, pool < 1.5)
    elif rng.random() < 0.5:
        build_shed(canvas, *at, float(rng.choice((0, np.pi / 2))), rng)


def draw_shops(canvas: Canvas, block: Block, rng: np.random.Generator) -> None:
    """A hall on one half of the block and a car park on the other."""
    (left, top), (right, bottom) = block.low, block.high
    length, depth = block.size_m[0] - 2 * SETBACK_M, block.size_m[1] - 2 * SETBACK_M
    ground = canvas.region(block.low, block.high)
    paved = covered(ground.centred(block.middle).box(length, depth)) * ~canvas.reserved[ground.at]
    stains = 0.05 * canvas.grain.coarse[ground.at] + 0.04 * canvas.grain.fine[ground.at]
    canvas.paint(ground, paved, ASPHALT, 1 + stains)
    hall = 0.40 * length, 0.72 * depth
    hall_middle = left + SETBACK_M + hall[0] / 2 + 5
    build_hall(canvas, (hall_middle, block.middle[1]), hall, rng)
    margin = SETBACK_M + 3
    _car_park(canvas, (hall_middle + hall[0] / 2 + 5, top + margin), (right - margin, bottom - margin), rng)


def _car_park(canvas: Canvas, low: Point, high: Point, rng: np.random.Generator) -> None:
    """Double rows of bays along u with an aisle between each two."""
    length, middle = high[0] - low[0], (low[0] + high[0]) / 2
    for row in np.arange(low[1] + BAY_DEPTH_M, high[1] - BAY_DEPTH_M, 2 * BAY_DEPTH_M + AISLE_M):
        window = canvas.region((low[0], row - 7), (high[0], row + 7)).centred((middle, row))
        lines = np.minimum(np.abs((window.u + length / 2) % BAY_M), np.abs(window.v)) - 0.1
        canvas.paint(window, covered(np.maximum(lines, window.box(length, 2 * BAY_DEPTH_M))), PAINT, 0.9)
        _fill_bays(canvas, (low[0], high[0]), row, rng)


def _fill_bays(canvas: Canvas, u_m: Span, row_m: float, rng: np.random.Generator) -> None:
    for bay, u in enumerate(np.arange(u_m[0] + BAY_M / 2, u_m[1] - BAY_M / 2, BAY_M)):
        for side in (-1, 1):
            v = row_m + side * BAY_DEPTH_M / 2
            if bay % 9 == 4:
                plant_tree(canvas, u, v, float(rng.uniform(1.4, 2.2)), rng)
            elif rng.random() < 0.62 and canvas.is_free(u, v, 1.0):
                park(canvas, u, v + rng.normal(0, 0.15), float(rng.choice((-1, 1))) * np.pi / 2, rng)
