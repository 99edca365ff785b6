"""What grows on the land outside the town."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hndsr_ensemble.evaluation.scene.canvas import Canvas, Raster, Window, covered
from hndsr_ensemble.evaluation.scene.layout import Block, LandUse
from hndsr_ensemble.evaluation.scene.palette import (
    DARK_SOIL,
    DRY_GRASS,
    GRASS,
    HAY,
    MAIZE,
    MEADOW,
    SOIL,
    SWATH,
    WHEAT,
)
from hndsr_ensemble.evaluation.scene.plants import plant_tree, scatter

VERGE_M = 3.4
"""Grass between the middle of a way and the crop."""
TRAMLINE_SPACING_M, TRAMLINE_GAUGE_M = 21.0, 1.8


def divide(block: Block, rng: np.random.Generator) -> tuple[Block, ...]:
    """One or two parcels of a block, cut across u."""
    (u0, v0), (u1, v1) = block.low, block.high
    if rng.random() < 0.34:
        return (block,)
    cut = u0 + float(rng.uniform(0.35, 0.65)) * (u1 - u0)
    return Block((u0, v0), (cut + VERGE_M - 0.7, v1), block.use), Block((cut - VERGE_M + 0.7, v0), (u1, v1), block.use)


def sow(canvas: Canvas, parcel: Block, rng: np.random.Generator) -> None:
    """The ground of a parcel: crop, grass or bare soil, its rows along either side of the parcel."""
    window = canvas.region(parcel.low, parcel.high)
    local, (length, depth) = window.centred(parcel.middle), parcel.size_m
    border = local.box(length - 2 * VERGE_M, depth - 2 * VERGE_M) + 0.25 * canvas.grain.medium[window.at]
    slant = float(rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.05))
    SOWERS[parcel.use](canvas, local.turned(slant), covered(border, 0.5), rng)


def plant(canvas: Canvas, parcel: Block, rng: np.random.Generator) -> None:
    """What stands on a parcel: a wood, the rows of an orchard, single trees on a meadow."""
    low, high = (parcel.low[0] + 4, parcel.low[1] + 4), (parcel.high[0] - 4, parcel.high[1] - 4)
    area_m2 = max(0.0, high[0] - low[0]) * max(0.0, high[1] - low[1])
    if parcel.use is LandUse.WOOD:
        scatter(canvas, low, high, count=int(area_m2 / 13), radius_m=(2.0, 4.6), rng=rng)
    elif parcel.use is LandUse.MEADOW:
        scatter(canvas, low, high, count=int(area_m2 / 350), radius_m=(0.8, 3.8), rng=rng)
    elif parcel.use is LandUse.ORCHARD:
        _orchard_trees(canvas, parcel, rng)


def _moisture(canvas: Canvas, window: Window) -> Raster:
    grain = canvas.grain
    return 1 + 0.09 * grain.coarse[window.at] + 0.07 * grain.medium[window.at] + 0.09 * grain.fine[window.at]


def _rows(canvas: Canvas, window: Window, spacing_m: float, unevenness_m: float) -> Raster:
    """A wave of -1 to 1 across the rows, whose phase wanders by `unevenness_m`."""
    wander = window.v + unevenness_m * canvas.grain.coarse[window.at]
    return np.sin(np.float32(2 * np.pi / spacing_m) * wander)


def _tramlines(window: Window) -> Raster:
    """Coverage by the wheel marks of the sprayer."""
    offset = np.abs((window.v % TRAMLINE_SPACING_M) - TRAMLINE_SPACING_M / 2)
    return covered(np.abs(offset - TRAMLINE_GAUGE_M / 2) - 0.2, 0.3)


def _sow_maize(canvas: Canvas, window: Window, plot: Raster, rng: np.random.Generator) -> None:
    rows = _rows(canvas, window, float(rng.uniform(1.4, 1.8)), 0.12)
    gaps = np.clip(0.62 + 0.55 * rows + 0.3 * canvas.grain.fine[window.at], 0, 1)
    canvas.paint(window, plot, DARK_SOIL, _moisture(canvas, window))
    canvas.paint(window, plot * gaps, MAIZE, _moisture(canvas, window))


def _sow_wheat(canvas: Canvas, window: Window, plot: Raster, rng: np.random.Generator) -> None:
    drill = 0.03 * _rows(canvas, window, 0.9, 0.1)
    canvas.paint(window, plot, WHEAT * np.float32(rng.uniform(0.9, 1.05)), _moisture(canvas, window) + drill)
    canvas.paint(window, plot * _tramlines(window) * np.float32(0.6), SOIL)


def _sow_hay(canvas: Canvas, window: Window, plot: Raster, rng: np.random.Generator) -> None:
    swaths = _rows(canvas, window, float(rng.uniform(3.2, 4.8)), 0.5)
    lying = np.clip(1.2 * swaths - 0.1 + 0.4 * canvas.grain.medium[window.at], 0, 1)
    canvas.paint(window, plot, HAY, _moisture(canvas, window))
    canvas.paint(window, plot * lying * np.float32(0.8), SWATH, _moisture(canvas, window))


def _plough(canvas: Canvas, window: Window, plot: Raster, rng: np.random.Generator) -> None:
    furrows = 0.09 * _rows(canvas, window, 0.9, 0.15) + 0.05 * _rows(canvas, window, 3.6, 0.2)
    soil = SOIL if rng.random() < 0.5 else DARK_SOIL
    canvas.paint(window, plot, soil, _moisture(canvas, window) + furrows + 0.08 * canvas.grain.coarse[window.at])


def _sow_grass(canvas: Canvas, window: Window, plot: Raster, rng: np.random.Generator) -> None:
    dry = np.clip(0.35 + 0.4 * canvas.grain.coarse[window.at] + 0.25 * canvas.grain.medium[window.at], 0, 1)
    canvas.paint(window, plot, MEADOW * np.float32(rng.uniform(0.9, 1.05)), _moisture(canvas, window))
    canvas.paint(window, plot * dry * np.float32(0.5), DRY_GRASS, _moisture(canvas, window))


def _floor(canvas: Canvas, window: Window, plot: Raster, rng: np.random.Generator) -> None:
    canvas.paint(window, plot, GRASS * np.float32(rng.uniform(0.5, 0.65)), _moisture(canvas, window))


def _orchard_trees(canvas: Canvas, block: Block, rng: np.random.Generator) -> None:
    for u in np.arange(block.low[0] + 7, block.high[0] - 6, 6.0):
        for v in np.arange(block.low[1] + 7, block.high[1] - 6, 4.6):
            if rng.random() < 0.94 and canvas.sees(u, v, 2.0) and canvas.is_free(u, v, 1.5):
                at = u + rng.normal(0, 0.2), v + rng.normal(0, 0.2)
                plant_tree(canvas, *at, float(rng.uniform(1.3, 1.9)), rng)


SOWERS: dict[LandUse, Callable[[Canvas, Window, Raster, np.random.Generator], None]] = {
    LandUse.MAIZE: _sow_maize,
    LandUse.WHEAT: _sow_wheat,
    LandUse.HAY: _sow_hay,
    LandUse.PLOUGHED: _plough,
    LandUse.MEADOW: _sow_grass,
    LandUse.ORCHARD: _sow_grass,
    LandUse.WOOD: _floor,
}
