"""A procedural aerial scene: what the demo and the README show, drawn here so that nothing is downloaded."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from hndsr_ensemble.evaluation.scene import fields, light, river, streets, town
from hndsr_ensemble.evaluation.scene.canvas import Canvas, Sun
from hndsr_ensemble.evaluation.scene.frame import Frame
from hndsr_ensemble.evaluation.scene.layout import COUNTRY, LandUse, Layout, draw_layout

__all__ = ["render_scene"]


def render_scene(height_px: int, width_px: int, seed: int) -> UInt8[np.ndarray, "height width 3"]:
    """An orthophoto-like picture at 0.3 m per pixel; one seed always gives the same bytes on one machine.

    Args:
        height_px: rows, at least 1.
        width_px: columns, at least 1.
        seed: of everything that varies, 0 or more.

    Raises:
        ValueError: a side is under 1 px.
    """
    if height_px < 1 or width_px < 1:
        raise ValueError(f"a scene needs at least 1 x 1 px, not {width_px} x {height_px}")
    rng = np.random.default_rng(seed)
    frame = Frame.draw(rng)
    layout = draw_layout(height_px, width_px, frame, rng)
    canvas = Canvas(height_px, width_px, frame=frame, sun=Sun.draw(rng), rng=rng)
    _draw_land(canvas, layout, rng)
    return light.expose(canvas, rng)


def _draw_land(canvas: Canvas, layout: Layout, rng: np.random.Generator) -> None:
    """From the ground up: what comes later covers, or makes room for, what is there."""
    stream = river.River.draw(layout.compass, rng)
    parcels = [parcel for block in layout.blocks if block.use in COUNTRY for parcel in fields.divide(block, rng)]
    for parcel in parcels:
        fields.sow(canvas, parcel, rng)
    streets.draw_tracks(canvas, layout)
    wet = river.draw_river(canvas, stream)
    streets.draw_roads(canvas, layout, rng)
    river.plant_banks(canvas, stream, rng)
    canvas.reserve(canvas.whole, wet)
    streets.draw_hedges(canvas, layout, rng)
    for block in layout.blocks:
        if block.use is LandUse.HOMES:
            town.draw_homes(canvas, block, rng)
        elif block.use is LandUse.SHOPS:
            town.draw_shops(canvas, block, rng)
    for parcel in parcels:
        fields.plant(canvas, parcel, rng)
