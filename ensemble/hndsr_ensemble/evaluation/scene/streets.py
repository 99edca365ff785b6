"""Roads with kerbs, markings and crossings, farm tracks and the hedges between fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hndsr_ensemble.evaluation.scene.canvas import Canvas, Colour, Raster, Window, covered
from hndsr_ensemble.evaluation.scene.cars import park
from hndsr_ensemble.evaluation.scene.layout import Layout, Link, Way
from hndsr_ensemble.evaluation.scene.palette import (
    ASPHALT,
    CONCRETE,
    DRY_GRASS,
    GRAVEL,
    PAINT,
    WORN_ASPHALT,
    YELLOW_PAINT,
)
from hndsr_ensemble.evaluation.scene.plants import plant_hedge, plant_tree

PAVEMENT_M = 2.2
"""Width of the pavement beside a street."""
LINE_M = 0.22
KERB_RADIUS_M = 5.0
PAVED = {Way.MAIN_ROAD, Way.STREET}


@dataclass(frozen=True)
class Strip:
    """The neighbourhood of one link: metres along it from its start and metres to the right of its middle."""

    window: Window
    along: Raster
    aside: Raster
    length_m: float

    @classmethod
    def of(cls, canvas: Canvas, link: Link, margin_m: float) -> Strip:
        """All samples within `margin_m` of the link."""
        low, high = (link.start - margin_m, link.across - margin_m), (link.end + margin_m, link.across + margin_m)
        if link.along_u:
            window = canvas.region(low, high)
            along, aside = window.u, window.v
        else:
            window = canvas.region(low[::-1], high[::-1])
            along, aside = window.v, window.u
        start, across = np.float32(link.start), np.float32(link.across)
        return cls(window, along - start, aside - across, link.end - link.start)

    def band(self, width_m: float, *, aside_m: float = 0.0, short_by_m: float = 0.0) -> Raster:
        """Signed distance to a band along the link that stops `short_by_m` before both crossings."""
        across = np.abs(self.aside - np.float32(aside_m)) - width_m / 2
        middle = self.length_m / 2
        return np.maximum(across, np.abs(self.along - middle) - (middle - short_by_m))


def draw_tracks(canvas: Canvas, layout: Layout) -> None:
    """Farm tracks; they end where a river is drawn over them."""
    for link in layout.links:
        if link.way is Way.TRACK:
            _track(canvas, link)


def draw_roads(canvas: Canvas, layout: Layout, rng: np.random.Generator) -> None:
    """Main roads and streets with bridges and cars, layer by layer so that crossings join."""
    paved = [link for link in layout.links if link.way in PAVED]
    for link in paved:
        _pavement(canvas, link)
    for link in paved:
        _carriageway(canvas, link)
    _kerb_corners(canvas, layout)
    for link in paved:
        _markings(canvas, link)
        _traffic(canvas, link, rng)


def _track(canvas: Canvas, link: Link) -> None:
    strip = Strip.of(canvas, link, 4.0)
    grain = canvas.grain.medium[strip.window.at]
    verge, ruts = strip.band(link.way.value + 1.6), np.abs(np.abs(strip.aside) - 0.85) - 0.5
    canvas.paint(strip.window, covered(verge + 0.3 * grain, 0.8), DRY_GRASS, 1 + 0.08 * grain)
    canvas.paint(strip.window, covered(np.maximum(ruts + 0.12 * grain, verge), 0.5), GRAVEL, 1 + 0.06 * grain)
    canvas.reserve(strip.window, verge < 0)


def _pavement(canvas: Canvas, link: Link) -> None:
    if link.way is not Way.STREET:
        return
    strip = Strip.of(canvas, link, 8.0)
    paving = strip.band(link.way.value + 2 * PAVEMENT_M)
    joints = 1 - 0.10 * covered(np.abs((strip.along % 1.8) - 0.9) - 0.06)
    canvas.paint(strip.window, covered(paving), CONCRETE, joints + 0.03 * canvas.grain.fine[strip.window.at])
    canvas.reserve(strip.window, paving < 0)


def _carriageway(canvas: Canvas, link: Link) -> None:
    strip = Strip.of(canvas, link, 9.0)
    road = strip.band(link.way.value, short_by_m=-link.way.value / 2)
    grain = canvas.grain
    shoulder = strip.band(link.way.value + 2.4)
    if link.way is Way.MAIN_ROAD:
        canvas.paint(strip.window, covered(shoulder + 0.3 * grain.medium[strip.window.at], 0.6), GRAVEL, 0.95)
    wheels = 0.05 * np.cos(2 * np.pi * strip.aside / np.float32(1.8))
    tone = 1 + wheels + 0.07 * grain.fine[strip.window.at] + 0.04 * grain.coarse[strip.window.at]
    crack = 1 - 0.25 * covered(np.abs(grain.medium[strip.window.at]) - 0.03, 0.1)
    colour = ASPHALT if link.way is Way.MAIN_ROAD else WORN_ASPHALT
    canvas.paint(strip.window, covered(road), colour, tone * crack)
    canvas.reserve(strip.window, shoulder < 0)
    canvas.level(strip.window, road < 0.4)


def _kerb_corners(canvas: Canvas, layout: Layout) -> None:
    """Round the four corners of every crossing whose two ways are paved."""
    half = {(link.along_u, link.across, link.start): link.way.value / 2 for link in layout.links if link.way in PAVED}
    for i, u in enumerate(layout.u_lines[1:-1], start=1):
        for j, v in enumerate(layout.v_lines[1:-1], start=1):
            for right, below in ((0, 0), (0, 1), (1, 0), (1, 1)):
                across = half.get((True, v, layout.u_lines[i - 1 + right]))
                along = half.get((False, u, layout.v_lines[j - 1 + below]))
                if across and along:
                    _corner(canvas, (u, v), (2 * right - 1, 2 * below - 1), (along, across))


def _corner(canvas: Canvas, at: tuple[float, float], towards: tuple[int, int], half_m: tuple[float, float]) -> None:
    window = canvas.around(*at, 16.0)
    u, v = (w * np.float32(s) - np.float32(h) for w, s, h in zip((window.u, window.v), towards, half_m, strict=True))
    inside = np.maximum(np.maximum(-u, -v), np.maximum(u, v) - KERB_RADIUS_M)
    outside_arc = KERB_RADIUS_M - np.hypot(u - KERB_RADIUS_M, v - KERB_RADIUS_M)
    corner = np.maximum(inside, outside_arc)
    canvas.paint(window, covered(corner), WORN_ASPHALT, 1 + 0.03 * canvas.grain.fine[window.at])


def _markings(canvas: Canvas, link: Link) -> None:
    strip = Strip.of(canvas, link, 8.0)
    stop_m = 11.0
    if link.way is Way.MAIN_ROAD:
        _dashes(canvas, strip, PAINT, stop_m)
        for side in (-1, 1):
            edge = strip.band(LINE_M, aside_m=side * (link.way.value / 2 - 0.6), short_by_m=stop_m - 3)
            canvas.paint(strip.window, covered(edge), PAINT, 0.95)
    else:
        _dashes(canvas, strip, YELLOW_PAINT, stop_m + 2)
        _zebra(canvas, strip, link)


def _dashes(canvas: Canvas, strip: Strip, colour: Colour, stop_m: float) -> None:
    dash = np.maximum(strip.band(LINE_M, short_by_m=stop_m), np.abs((strip.along % 9) - 4.5) - 1.6)
    canvas.paint(strip.window, covered(dash), colour, 0.95)


def _zebra(canvas: Canvas, strip: Strip, link: Link) -> None:
    middle = strip.length_m / 2
    near_end = np.abs(np.abs(strip.along - middle) - (middle - 10.5)) - 1.4
    bars = np.maximum(np.abs((strip.aside % 1.0) - 0.5) - 0.24, strip.band(link.way.value - 0.8))
    canvas.paint(strip.window, covered(np.maximum(near_end, bars)), PAINT, 0.9)


def _traffic(canvas: Canvas, link: Link, rng: np.random.Generator) -> None:
    """Cars on the right-hand lane, and on streets some parked at the kerb."""
    for side in (-1, 1):
        lane, kerb = side * link.way.value / 4, side * (link.way.value / 2 - 1.1)
        heading = (0.0 if side * (1 if link.along_u else -1) > 0 else np.pi) + (0.0 if link.along_u else np.pi / 2)
        for along in np.arange(link.start + 14, link.end - 14, 8.0):
            if link.way is Way.MAIN_ROAD and rng.random() < 0.16:
                park(canvas, *link.point(along + rng.uniform(-1.5, 1.5), lane), heading + rng.normal(0, 0.02), rng)
            elif link.way is Way.STREET and rng.random() < 0.24:
                park(canvas, *link.point(along + rng.uniform(-1.5, 1.5), kerb), heading + rng.normal(0, 0.02), rng)


def draw_hedges(canvas: Canvas, layout: Layout, rng: np.random.Generator) -> None:
    """Hedges with a tree now and then where no way runs between two fields."""
    for link in layout.links:
        if link.way is Way.HEDGE:
            plant_hedge(canvas, link.point(link.start), link.point(link.end), rng)
            for along in np.arange(link.start + 6, link.end - 6, 13.0):
                if rng.random() < 0.45 and canvas.is_free(*link.point(along), 2.0):
                    plant_tree(canvas, *link.point(along), float(rng.uniform(2.2, 4.2)), rng)
