"""What the scene is drawn on: colour, height and slope of the ground, seen straight from above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from hndsr_ensemble.evaluation.scene.frame import Frame
from hndsr_ensemble.evaluation.scene.noise import Grain
from hndsr_ensemble.evaluation.scene.palette import GRASS

GROUND_SAMPLE_M = 0.3
"""Ground covered by one pixel of the finished picture, as in the USGS orthophotos the networks learned from."""
SUPERSAMPLING = 2
STEP_M = GROUND_SAMPLE_M / SUPERSAMPLING

Raster = Float32[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Coverage = Float32[np.ndarray, "h w"]
Colour = Float32[np.ndarray, "3"]
Tone = Float[np.ndarray, "h w"] | float


@dataclass(frozen=True)
class Sun:
    """Direction to the sun in image axes (x right, y down): every slope and shadow follows it."""

    azimuth_rad: float
    elevation_rad: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sun:
        """A sun in the south-west, 42 to 52 degrees high."""
        azimuth, elevation = rng.uniform(195, 250), rng.uniform(42, 52)
        return cls(math.radians(azimuth), math.radians(elevation))

    @property
    def ground_direction(self) -> tuple[float, float]:
        """Unit vector (x, y) on the ground, towards the sun."""
        return float(np.sin(self.azimuth_rad)), float(-np.cos(self.azimuth_rad))

    def irradiance(self, height_m: Raster) -> Raster:
        """Sunlight on a surface given by its heights, 1 on level ground, 0 where it faces away (Lambert's law)."""
        if min(height_m.shape) < 2:
            return np.ones_like(height_m)
        slope_y, slope_x = np.gradient(height_m, np.float32(STEP_M))
        east, south = self.ground_direction
        facing = 1 - (slope_x * east + slope_y * south) / np.tan(self.elevation_rad)
        return np.asarray(np.clip(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0, 2.2), np.float32)


@dataclass(frozen=True)
class Window:
    """A rectangle of the canvas; `u` and `v` are street metres, absolute or from an object's centre."""

    rows: slice
    columns: slice
    u: Raster
    v: Raster

    @property
    def at(self) -> tuple[slice, slice]:
        """The index of this window in any raster of the canvas."""
        return self.rows, self.columns

    def centred(self, middle: tuple[float, float]) -> Window:
        """The same window in metres from a point in street metres, of a window in absolute ones."""
        return Window(self.rows, self.columns, self.u - np.float32(middle[0]), self.v - np.float32(middle[1]))

    def turned(self, angle_rad: float) -> Window:
        """The same window in axes turned about its centre."""
        cos, sin = np.float32(np.cos(angle_rad)), np.float32(np.sin(angle_rad))
        return Window(self.rows, self.columns, cos * self.u + sin * self.v, cos * self.v - sin * self.u)

    def box(self, length_m: float, width_m: float, *, u_m: float = 0.0, v_m: float = 0.0) -> Raster:
        """Signed distance in metres, negative inside, to a rectangle centred on (u_m, v_m)."""
        u, v = np.abs(self.u - np.float32(u_m)), np.abs(self.v - np.float32(v_m))
        return np.maximum(u - np.float32(length_m / 2), v - np.float32(width_m / 2))


def covered(distance_m: Raster, softness_m: float = STEP_M) -> Coverage:
    """Coverage 0 to 1 of a shape given by signed distance; the edge is `softness_m` wide."""
    return np.clip(0.5 - distance_m / np.float32(softness_m), 0, 1)


class Canvas:
    """Rasters at `SUPERSAMPLING` times the picture's resolution, with the two ways to draw on them."""

    def __init__(self, height_px: int, width_px: int, *, frame: Frame, sun: Sun, rng: np.random.Generator) -> None:
        rows, columns = height_px * SUPERSAMPLING, width_px * SUPERSAMPLING
        self.frame, self.sun = frame, sun
        y, x = np.meshgrid(
            (np.arange(rows, dtype=np.float32) + 0.5) * np.float32(STEP_M),
            (np.arange(columns, dtype=np.float32) + 0.5) * np.float32(STEP_M),
            indexing="ij",
        )
        self.u, self.v = frame.to_streets(x, y)
        self.grain = Grain.draw(rows, columns, step_m=STEP_M, rng=rng)
        tufts = 1 + 0.14 * self.grain.medium + 0.10 * self.grain.fine + 0.08 * self.grain.coarse
        self.albedo = GRASS * tufts[..., None].astype(np.float32)
        self.height_m = np.zeros((rows, columns), np.float32)
        self.sunlight = np.ones((rows, columns), np.float32)
        self.reserved = np.zeros((rows, columns), np.bool_)

    @property
    def whole(self) -> Window:
        """All of it, in absolute street metres."""
        return Window(slice(None), slice(None), self.u, self.v)

    def around(self, u_m: float, v_m: float, radius_m: float) -> Window:
        """The square about a point, in metres from that point; empty where it lies beyond the canvas."""
        at = self._square(u_m, v_m, radius_m)
        return Window(*at, self.u[at] - np.float32(u_m), self.v[at] - np.float32(v_m))

    def region(self, low: tuple[float, float], high: tuple[float, float]) -> Window:
        """The rectangle around street coordinates from `low` to `high`, both (u, v), in absolute metres."""
        corners = np.array([(u, v) for u in (low[0], high[0]) for v in (low[1], high[1])])
        x, y = self.frame.to_image(corners[:, 0], corners[:, 1])
        at = self._cut(float(x.min()) - 3, float(x.max()) + 3, float(y.min()) - 3, float(y.max()) + 3)
        return Window(*at, self.u[at], self.v[at])

    def paint(self, window: Window, coverage: Coverage, colour: Colour, tone: Tone = 1.0) -> None:
        """Colour the surface without changing its shape; `tone` multiplies the colour."""
        hit = coverage > 0
        under = self.albedo[window.at][hit]
        tones = np.broadcast_to(np.asarray(tone, np.float32), hit.shape)[hit]
        self.albedo[window.at][hit] = under + coverage[hit][:, None] * (colour * tones[:, None] - under)

    def raise_surface(self, window: Window, mask: Mask, height_m: Raster, colour: Colour, tone: Tone = 1.0) -> None:
        """Put a body on the ground: where it is the highest thing, it takes over colour, height and slope."""
        seen = mask & (height_m > self.height_m[window.at])
        self.height_m[window.at][seen] = height_m[seen]
        self.sunlight[window.at][seen] = self.sun.irradiance(height_m)[seen]
        self.paint(window, seen.astype(np.float32), colour, tone)

    def reserve(self, window: Window, mask: Mask) -> None:
        """Keep plants off these places."""
        self.reserved[window.at] |= mask

    def level(self, window: Window, mask: Mask) -> None:
        """Bring the ground to height 0: bridges."""
        self.height_m[window.at][mask] = 0

    def sees(self, u_m: float, v_m: float, radius_m: float) -> bool:
        """Whether any of the square about a point lies on the canvas."""
        return self.reserved[self._square(u_m, v_m, radius_m)].size > 0

    def is_free(self, u_m: float, v_m: float, radius_m: float) -> bool:
        """Whether nothing within `radius_m` is reserved, as far as the canvas reaches."""
        return not self.reserved[self._square(u_m, v_m, radius_m)].any()

    def _square(self, u_m: float, v_m: float, radius_m: float) -> tuple[slice, slice]:
        x, y = (float(metres[0]) for metres in self.frame.to_image(np.array([u_m]), np.array([v_m])))
        return self._cut(x - radius_m, x + radius_m, y - radius_m, y + radius_m)

    def _cut(self, left_m: float, right_m: float, top_m: float, bottom_m: float) -> tuple[slice, slice]:
        rows, columns = self.height_m.shape
        top, bottom = (min(max(int(y / STEP_M), 0), rows) for y in (top_m, bottom_m))
        left, right = (min(max(int(x / STEP_M), 0), columns) for x in (left_m, right_m))
        return slice(top, bottom), slice(left, right)
