"""Houses with hipped and gabled roofs, sheds and halls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hndsr_ensemble.evaluation.scene.canvas import Canvas, Colour, Mask, Raster, Window, covered
from hndsr_ensemble.evaluation.scene.palette import BRICK, FLAT_ROOFS, GLASS, METAL, PANEL, ROOFS

EAVES_M = 3.0
COURSE_M = 0.9
"""Distance between the visible courses of a roof covering."""


@dataclass(frozen=True)
class Wing:
    """One rectangle of a house, its ridge along u; `hipped` roofs slope on all four sides."""

    length_m: float
    width_m: float
    u_m: float = 0.0
    v_m: float = 0.0
    hipped: bool = False
    pitch: float = 0.45

    def footprint(self, window: Window) -> Mask:
        """The samples under this wing's roof."""
        return window.box(self.length_m, self.width_m, u_m=self.u_m, v_m=self.v_m) < 0

    def roof(self, window: Window) -> Raster:
        """Height of the roof's planes in metres, continued beyond the footprint."""
        run = self.width_m / 2 - np.abs(window.v - self.v_m)
        if self.hipped:
            run = np.minimum(run, self.length_m / 2 - np.abs(window.u - self.u_m))
        return np.asarray(EAVES_M + self.pitch * run, np.float32)


def _cover(canvas: Canvas, window: Window, wing: Wing, colour: Colour) -> None:
    surface, ground = wing.roof(window), wing.footprint(window)
    courses = 0.04 * np.sin(2 * np.pi / COURSE_M * (surface - EAVES_M) / wing.pitch)
    weather = 0.07 * canvas.grain.medium[window.at] + 0.08 * canvas.grain.fine[window.at]
    canvas.raise_surface(window, ground, surface, colour, 1 + courses + weather)
    edge = covered(np.abs(window.box(wing.length_m, wing.width_m, u_m=wing.u_m, v_m=wing.v_m) + 0.12) - 0.1)
    shown = ground & (canvas.height_m[window.at] == surface)
    canvas.paint(window, edge * shown * np.float32(0.35), METAL)
    canvas.reserve(window, ground)


def _chimney(canvas: Canvas, window: Window, u_m: float, v_m: float) -> None:
    stack = window.box(0.9, 0.7, u_m=u_m, v_m=v_m) < 0
    canvas.raise_surface(window, stack, np.full_like(window.u, EAVES_M + 3.6), BRICK)


def _panels(canvas: Canvas, window: Window, wing: Wing, sunny: float) -> None:
    """Solar modules of 1.0 x 1.7 m on one slope."""
    centre = wing.v_m + sunny * wing.width_m / 4
    array = covered(window.box(0.5 * wing.length_m, min(3.4, 0.36 * wing.width_m), u_m=wing.u_m, v_m=centre))
    joint = np.minimum(np.abs((window.u % 1.0) - 0.5), np.abs((window.v - centre) % 1.7 - 0.85))
    canvas.paint(window, array, PANEL, 1 + 0.9 * covered(joint - 0.04))


def build_house(canvas: Canvas, u_m: float, v_m: float, heading_rad: float, rng: np.random.Generator) -> None:
    """A house of one or two wings; the second, where there is one, stands across the first."""
    length, width = rng.uniform(11.5, 14.5), rng.uniform(8.5, 11)
    hipped = bool(rng.random() < 0.55)
    window = canvas.around(u_m, v_m, 14.0).turned(heading_rad)
    colour = ROOFS[rng.integers(len(ROOFS))] * np.float32(rng.uniform(0.88, 1.12))
    main = Wing(length, width, hipped=hipped, pitch=float(rng.uniform(0.38, 0.6)))
    _cover(canvas, window, main, colour)
    if rng.random() < 0.65:
        _cross_wing(canvas, window, main, colour, rng)
    if rng.random() < 0.4:
        _chimney(canvas, window, float(rng.uniform(-0.2, 0.2) * length), float(rng.choice((-1, 1)) * 0.12 * width))
    if rng.random() < 0.15:
        _panels(canvas, window, main, sunny=float(rng.choice((-1, 1))))


def _cross_wing(canvas: Canvas, window: Window, main: Wing, colour: Colour, rng: np.random.Generator) -> None:
    across = window.turned(np.pi / 2)
    side = float(rng.choice((-1, 1)))
    reach, span = main.width_m * rng.uniform(1.25, 1.45), main.length_m * rng.uniform(0.38, 0.5)
    wing = Wing(
        reach,
        span,
        u_m=(reach - main.width_m) / 2,
        v_m=side * (main.length_m - span) / 2,
        hipped=main.hipped,
        pitch=main.pitch,
    )
    _cover(canvas, across, wing, colour)


def build_shed(canvas: Canvas, u_m: float, v_m: float, heading_rad: float, rng: np.random.Generator) -> None:
    """A garden shed or garage under a low roof."""
    window = canvas.around(u_m, v_m, 5.0).turned(heading_rad)
    wing = Wing(float(rng.uniform(3, 6)), float(rng.uniform(2.4, 3.6)), pitch=0.25)
    _cover(canvas, window, wing, ROOFS[rng.integers(len(ROOFS))])


def build_hall(
    canvas: Canvas, centre: tuple[float, float], size_m: tuple[float, float], rng: np.random.Generator
) -> None:
    """A flat-roofed hall with a parapet, rows of skylights and air-handling units."""
    window = canvas.around(*centre, float(np.hypot(*size_m)) / 2 + 1)
    shape, level = window.box(*size_m), np.zeros_like(window.u)
    seams = 0.10 * covered(np.abs((window.v % 3) - 1.5) - 0.08)
    stains = 1 - seams + 0.08 * canvas.grain.coarse[window.at] + 0.05 * canvas.grain.fine[window.at]
    colour = FLAT_ROOFS[rng.integers(len(FLAT_ROOFS))]
    canvas.raise_surface(window, shape < 0, level + 7.4, colour)
    canvas.height_m[window.at][shape < -0.4] = 6.8
    canvas.paint(window, covered(shape + 0.4), colour, 0.82 * stains)
    skylight = np.maximum(np.abs((window.u % 6) - 3) - 0.7, np.abs((window.v % 9) - 4.5) - 1.6)
    canvas.paint(window, covered(np.maximum(skylight, shape + 3)), GLASS, 2.5)
    for u, v in rng.uniform(-0.4, 0.4, (7, 2)) * np.asarray(size_m):
        unit = window.box(float(rng.uniform(1.5, 3)), float(rng.uniform(1.5, 2.5)), u_m=u, v_m=v) < 0
        canvas.raise_surface(window, unit, level + 8.3, METAL)
    canvas.reserve(window, shape < 1)
