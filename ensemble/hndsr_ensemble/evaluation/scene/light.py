"""Sunlight, cast shadows and the camera: from surfaces to an 8-bit picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from hndsr_ensemble.evaluation.scene.canvas import STEP_M, SUPERSAMPLING, Canvas, Raster, Sun
from hndsr_ensemble.evaluation.scene.noise import value_noise
from hndsr_ensemble.evaluation.scene.palette import GAMMA

SKY = np.array((0.135, 0.165, 0.215), np.float32)
"""Share of light that comes from the sky and reaches shadows too, per band; the rest is the sun's."""
HAZE = np.array((0.010, 0.014, 0.020), np.float32)
"""Light scattered by the air into the lens, in linear reflectance."""
REACH_DOUBLINGS = 7
"""Shadows up to 2**7 steps of 0.15 m are followed: 19 m."""
PENUMBRA_M = 0.3
READ_NOISE = 0.009
"""Standard deviation of the sensor's noise in stored values of 0 to 1: 2.3 grey levels."""
MIDDLE_GREY, CONTRAST, SATURATION = np.float32(0.46), np.float32(1.2), np.float32(0.82)


def shifted(raster: Raster, rows: int, columns: int, fill: float) -> Raster:
    """`raster[y + rows, x + columns]` at (y, x), `fill` beyond the edge."""
    height, width = raster.shape
    moved = np.full_like(raster, fill)
    if abs(rows) >= height or abs(columns) >= width:
        return moved
    here = slice(max(0, -rows), height - max(0, rows)), slice(max(0, -columns), width - max(0, columns))
    there = slice(max(0, rows), height - max(0, -rows)), slice(max(0, columns), width - max(0, -columns))
    moved[here] = raster[there]
    return moved


def sun_visibility(height_m: Raster, sun: Sun) -> Raster:
    """1 where the sun reaches a surface, 0 in the shadow of a higher one, in between at a shadow's edge.

    The horizon towards the sun is found by doubling: the horizon over 2n steps is the higher of the horizon over n
    steps and the same seen from n steps on, lowered by the sun ray's climb in between.
    """
    east, south = sun.ground_direction
    climb = float(np.tan(sun.elevation_rad)) * STEP_M
    horizon = height_m
    for steps in (2**k for k in range(REACH_DOUBLINGS)):
        ahead = shifted(horizon, round(south * steps), round(east * steps), fill=-10.0)
        horizon = np.maximum(horizon, ahead - np.float32(climb * steps))
    return 1 - np.clip((horizon - height_m) / np.float32(PENUMBRA_M), 0, 1)


def sky_visibility(height_m: Raster) -> Raster:
    """Share of the sky a surface sees: less at the foot of walls and between crowns."""
    rows, columns = height_m.shape
    coarse = Image.fromarray(height_m).resize((columns // 12 + 1, rows // 12 + 1), Image.Resampling.BOX)
    surroundings = np.asarray(coarse.resize((columns, rows), Image.Resampling.BICUBIC), np.float32)
    return 1 - np.clip((surroundings - height_m) / 9, 0, 0.45)


def lit(canvas: Canvas) -> Float32[np.ndarray, "h w 3"]:
    """Linear light that leaves every point towards the camera."""
    sun = (canvas.sunlight * sun_visibility(canvas.height_m, canvas.sun))[..., None]
    sky = sky_visibility(canvas.height_m)[..., None]
    return canvas.albedo * (sun * (1 - SKY) + sky * SKY) + HAZE


def through_lens(light: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """The lens: a binomial (1 2 1)/4 blur along both axes."""
    padded = np.pad(light, [(1, 1), (1, 1), (0, 0)], mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)


def developed(pixels: Float32[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 3"]:
    """Stored values of 0 to 1: gamma, a little contrast and less saturation, as orthophotos are delivered."""
    stored = np.clip(pixels, 0, 1) ** np.float32(1 / GAMMA)
    grey = stored.mean(axis=-1, keepdims=True)
    return MIDDLE_GREY + CONTRAST * (grey + SATURATION * (stored - grey) - MIDDLE_GREY)


def expose(canvas: Canvas, rng: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    """The finished picture: lens, pixels, development, noise, 8 bits."""
    light = through_lens(lit(canvas))
    height, width = light.shape[0] // SUPERSAMPLING, light.shape[1] // SUPERSAMPLING
    pixels = light.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean(axis=(1, 3))
    noise = np.stack([value_noise(height, width, 1.0, rng) for _ in range(3)], axis=-1)
    return np.floor(np.clip(developed(pixels) + READ_NOISE * noise, 0, 1) * 255 + 0.5).astype(np.uint8)
