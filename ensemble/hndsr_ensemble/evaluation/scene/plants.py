"""Trees, bushes and hedges: heaps of leafy clumps with their own light and shade."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from hndsr_ensemble.evaluation.scene.canvas import Canvas, Colour, Window
from hndsr_ensemble.evaluation.scene.palette import CONIFER, CROWNS, HEDGE

LEAF_RELIEF_M = 0.17
"""Roughness of the foliage that the sun picks out."""


def _clumps(radius_m: float, height_m: float, rng: np.random.Generator) -> Float[np.ndarray, "n 4"]:
    """Spheres (u, v, centre height, radius) that fill a dome."""
    count = int(10 + 4 * radius_m)
    angle, reach = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    size = radius_m * rng.uniform(0.2, 0.4, count)
    out = reach * (radius_m - 0.6 * size)
    top = height_m - 0.55 * radius_m * reach**2 * rng.uniform(0.6, 1.4, count) - size
    return np.stack((out * np.cos(angle), out * np.sin(angle), top, size), axis=1).astype(np.float32)


def _grow(canvas: Canvas, window: Window, clumps: Float[np.ndarray, "n 4"], colour: Colour) -> None:
    u, v, top, size = (clumps[:, k, None, None] for k in range(4))
    rise = size**2 - (window.u - u) ** 2 - (window.v - v) ** 2
    heights = np.where(rise > 0, top + np.sqrt(np.maximum(rise, 0)), np.float32(-1))
    leaves = LEAF_RELIEF_M * canvas.grain.fine[window.at] + 0.16 * canvas.grain.medium[window.at]
    surface = heights.max(axis=0)
    tone = 1 + 0.16 * canvas.grain.fine[window.at] + 0.10 * canvas.grain.medium[window.at]
    canvas.raise_surface(window, surface > 0, surface + leaves, colour, np.clip(tone, 0.3, 2))


def plant_tree(canvas: Canvas, u_m: float, v_m: float, radius_m: float, rng: np.random.Generator) -> None:
    """A broad-leaved tree; its height follows from its crown's radius."""
    colour = CROWNS[rng.integers(len(CROWNS))] * np.float32(rng.uniform(0.8, 1.15))
    height_m = radius_m * rng.uniform(1.5, 2.1) + 1
    _grow(canvas, canvas.around(u_m, v_m, radius_m + 0.5), _clumps(radius_m, height_m, rng), colour)


def plant_conifer(canvas: Canvas, u_m: float, v_m: float, radius_m: float, rng: np.random.Generator) -> None:
    """A spruce from above: a cone with radial branches."""
    window = canvas.around(u_m, v_m, radius_m + 0.5)
    distance, angle = np.hypot(window.u, window.v), np.arctan2(window.v, window.u)
    star = radius_m * (0.92 + 0.08 * np.sin(11 * angle + rng.uniform(0, 6)))
    boughs = LEAF_RELIEF_M * canvas.grain.fine[window.at] + 0.3 * canvas.grain.medium[window.at]
    surface = 2.4 * (star - distance) + 0.5 + boughs
    colour = CONIFER * np.float32(rng.uniform(0.85, 1.2))
    canvas.raise_surface(window, distance < star, surface, colour, 1 + 0.18 * canvas.grain.fine[window.at])


def plant_hedge(canvas: Canvas, start: tuple[float, float], end: tuple[float, float], rng: np.random.Generator) -> None:
    """A row of bushes from one point to another, gaps where something else is reserved."""
    length_m = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    for step in np.arange(0.5, length_m, 1.1) / max(length_m, 1e-6):
        u, v = (a + step * (b - a) + rng.normal(0, 0.15) for a, b in zip(start, end, strict=True))
        radius_m = rng.uniform(0.6, 0.95)
        if canvas.sees(u, v, radius_m) and canvas.is_free(u, v, 0.4):
            clumps = _clumps(radius_m, radius_m * 1.2 + 0.8, rng)
            _grow(canvas, canvas.around(u, v, radius_m + 0.3), clumps, HEDGE * np.float32(rng.uniform(0.85, 1.15)))


def scatter(
    canvas: Canvas,
    low: tuple[float, float],
    high: tuple[float, float],
    *,
    count: int,
    radius_m: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Up to `count` trees at free places of a rectangle, one conifer in six."""
    for u, v in rng.uniform(low, high, (count, 2)):
        radius = float(rng.uniform(*radius_m))
        if canvas.sees(u, v, radius) and canvas.is_free(u, v, 0.6 * radius):
            plant = plant_conifer if rng.random() < 1 / 6 else plant_tree
            plant(canvas, u, v, radius, rng)
