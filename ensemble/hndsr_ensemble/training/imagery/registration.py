"""Whether two pictures do show the same ground where a placement lays them over each other.

The placement is first made exact by gradient descent, then the two views of the common ground are compared by the
phases of their spectra: periodic texture, such as rows of crops, fills few frequencies, so it proves little, and
contrast, brightness and strong edges have no weight.

Source: Lucas and Kanade 1981, "An iterative image registration technique with an application to stereo vision";
Kuglin and Hines 1975, "The phase correlation image alignment method".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from hndsr_ensemble.training.imagery import orientations
from hndsr_ensemble.training.imagery.candidates import Placement

MIN_COMMON_SIDE_PX: Final = 32
"""Shorter side of the common ground below which nothing is proved."""
MIN_COHERENCE: Final = 0.7
"""Mean cosine of the phase difference that proves common ground.

Unrelated ground has 0 ± 0.1, JPEG of quality 50 leaves 0.85, the markings of two runways reach 0.5 and seldom 0.8. A
false pair costs little, it only puts two images into one split; a missed one lets a test image be learnt.
"""
LOWEST_FREQUENCY: Final = 0.03
HIGHEST_FREQUENCY: Final = 0.2
"""In cycles per pixel; above it, compression leaves little."""
DESCENTS: Final = ((4.0, 4), (2.0, 4))
"""Blur in px and steps of each descent, coarse first."""
HOPELESS: Final = 0.1
"""Correlation after the coarse descent below which the fine one is not tried."""
RATIOS: Final = (0.7, 1.45)
"""What the descent may make of a ratio."""


@dataclass(frozen=True, slots=True)
class CommonGround:
    """What two pictures have in common."""

    placement: Placement
    coherence: float
    """Mean cosine of the phase difference, at most 1."""
    area_px: float
    """In pixels of the second picture."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """Pixels of the second picture on one axis that the placement covers, and where they lie in the first."""

    start: int
    stop: int
    first: float
    """Pixel of the first at `start`."""
    step: float
    """Pixels of the first per pixel of the second."""

    @property
    def length(self) -> int:
        return self.stop - self.start


def common_ground(
    first: Float32[np.ndarray, "_h1 _w1"], second: Float32[np.ndarray, "_h2 _w2"], placement: Placement
) -> CommonGround | None:
    """What two pictures have in common about a placement, which is made exact; None if they do not agree."""
    turned = np.ascontiguousarray(orientations.turned(first, placement.orientation))
    exact: Placement | None = placement
    for blur_px, steps in DESCENTS:
        if exact is None:
            return None
        smooth = [ndimage.gaussian_filter(picture, blur_px, truncate=3) for picture in (turned, second)]
        exact = _descended(smooth[0], smooth[1], exact, steps)
    if exact is None or (views := _views(turned, second, exact)) is None:
        return None
    coherence = phase_coherence(*views)
    return CommonGround(exact, coherence, float(views[0].size)) if coherence >= MIN_COHERENCE else None


def _axes(turned: Float32[np.ndarray, "_h1 _w1"], second: Float32[np.ndarray, "_h2 _w2"], at: Placement) -> list[_Axis]:
    axes = []
    for own, other, shift in zip(turned.shape, second.shape, at.shift_px, strict=True):
        begin = (other - 1) / 2 + shift - at.ratio * (own - 1) / 2
        end = begin + at.ratio * (own - 1)
        start, stop = max(0, int(np.ceil(begin - 1e-6))), min(other, int(np.floor(end + 1e-6)) + 1)
        axes.append(_Axis(start, stop, (start - begin) / at.ratio, 1 / at.ratio))
    return axes


def _views(
    turned: Float32[np.ndarray, "_h1 _w1"], second: Float32[np.ndarray, "_h2 _w2"], at: Placement
) -> tuple[Float32[np.ndarray, "_h _w"], Float32[np.ndarray, "_h _w"]] | None:
    """The common ground in both pictures, on the second's grid; None if there is too little."""
    down, across = _axes(turned, second, at)
    if min(down.length, across.length) < MIN_COMMON_SIDE_PX:
        return None
    shape = (down.length, across.length)
    view = ndimage.affine_transform(
        turned, (down.step, across.step), (down.first, across.first), output_shape=shape, order=1, mode="nearest"
    )
    return view, second[down.start : down.stop, across.start : across.stop]


def _descended(
    turned: Float32[np.ndarray, "_h1 _w1"], second: Float32[np.ndarray, "_h2 _w2"], start: Placement, steps: int
) -> Placement | None:
    """The placement after Gauss-Newton steps on its ratio and shift; None if the pictures do not agree about it."""
    at = start
    for _ in range(steps):
        views = _views(turned, second, at)
        if views is None:
            return None
        step = _step(*views)
        if step is None:
            return None
        at = _stepped(turned, second, at, step)
        if not RATIOS[0] < at.ratio < RATIOS[1]:
            return None
    views = _views(turned, second, at)
    return at if views is not None and _correlation(*views) > HOPELESS else None


def _step(moving: Float32[np.ndarray, "h w"], fixed: Float32[np.ndarray, "h w"]) -> tuple[float, float, float] | None:
    """Growth about the centre, and shift down and across, that bring `moving` nearer to `fixed`."""
    spread, target = float(moving.std()), float(fixed.std())
    if min(spread, target) < 1e-3:
        return None
    residual = ((fixed - fixed.mean()) / target - (moving - moving.mean()) / spread).ravel()
    down, across = (slope / spread for slope in np.gradient(moving))
    rows = np.arange(moving.shape[0], dtype=np.float32)[:, None] - (moving.shape[0] - 1) / 2
    columns = np.arange(moving.shape[1], dtype=np.float32) - (moving.shape[1] - 1) / 2
    slopes = np.stack([(down * rows + across * columns).ravel(), down.ravel(), across.ravel()])
    normal = slopes @ slopes.T
    normal[np.diag_indices(3)] *= 1.001
    growth, y, x = np.linalg.solve(normal, slopes @ residual)
    return float(growth), float(y), float(x)


def _stepped(
    turned: Float32[np.ndarray, "_h1 _w1"],
    second: Float32[np.ndarray, "_h2 _w2"],
    at: Placement,
    step: tuple[float, float, float],
) -> Placement:
    """A placement after a step in the common ground's own coordinates.

    The step says that `moving` at u + growth·u + shift is `fixed` at u, u from the common ground's centre.
    """
    growth, *moves = step
    growth = float(np.clip(growth, -0.03, 0.03))
    ratio = at.ratio / (1 + growth)
    shifts: list[float] = []
    for axis, old, move in zip(_axes(turned, second, at), at.shift_px, moves, strict=True):
        other = second.shape[len(shifts)]
        centre = (axis.start + axis.stop - 1) / 2 - (other - 1) / 2
        # In the second's pixels from its centre: x = ratio·p + shift; the pixel at `centre` now shows what lay at
        # centre + move, so p = (centre + move − old) / at.ratio has to come to lie at `centre`.
        place = (centre + float(np.clip(move, -4, 4)) - old) / at.ratio
        shifts.append(centre - ratio * place)
    return Placement(at.orientation, ratio, (shifts[0], shifts[1]))


def _correlation(one: Float32[np.ndarray, "h w"], other: Float32[np.ndarray, "h w"]) -> float:
    spread = float(one.std()) * float(other.std())
    return float(((one - one.mean()) * (other - other.mean())).mean()) / spread if spread > 0 else 0.0


def phase_coherence(one: Float32[np.ndarray, "h w"], other: Float32[np.ndarray, "h w"]) -> float:
    """Mean cosine of the phase difference of two pictures, over the middle frequencies: 1 for equal ones."""
    window = np.outer(np.hanning(one.shape[0] + 2)[1:-1], np.hanning(one.shape[1] + 2)[1:-1])
    spectra = [np.fft.rfft2((picture - picture.mean()) * window) for picture in (one, other)]
    cross = spectra[0] * spectra[1].conj()
    radius = np.hypot(np.fft.fftfreq(one.shape[0])[:, None], np.fft.rfftfreq(one.shape[1]))
    middle = cross[(radius >= LOWEST_FREQUENCY) & (radius <= HIGHEST_FREQUENCY)]
    return float(np.mean(middle.real / np.maximum(np.abs(middle), 1e-12)))
