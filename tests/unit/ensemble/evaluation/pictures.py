"""Pictures to measure on, ways to spoil them, and a model without networks."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
from scipy.ndimage import gaussian_filter

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale

FOUR = Scale(4, 1)


@functools.cache
def scene(seed: int = 0, side: int = 128) -> np.ndarray:
    """A drawn aerial scene: edges, quiet ground, and texture."""
    picture = render_scene(side, side, seed=seed)
    picture.setflags(write=False)
    return picture


@functools.cache
def scenes(count: int, side: int = 128) -> tuple[Truth, ...]:
    """As many truths, in two groups."""
    return tuple(
        Truth.of(f"{group}{seed}.png", scene(seed, side), group=group)
        for seed, group in zip(range(count), cycle(("field", "town")))
    )


def blurred(picture: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    """Without its fine detail."""
    return gaussian_filter(picture.astype(float), (sigma, sigma, 0)).round().clip(0, 255).astype(np.uint8)


def noisy(picture: np.ndarray, sigma: float = 8.0, seed: int = 0) -> np.ndarray:
    """With noise that has nothing to do with it."""
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return (picture + noise).round().clip(0, 255).astype(np.uint8)


@dataclass
class NoisyModel:
    """Bicubic; with steps and texture, noise is added to it. Remembers the sizes of its sources."""

    sizes: list[tuple[int, ...]] = field(default_factory=list)

    def upscale(self, lr: np.ndarray, scale: Scale, options: Options) -> np.ndarray:
        """As a `Model`."""
        self.sizes.append(lr.shape[:2])
        enlarged = enlarge_bicubic(lr, scale)
        return noisy(enlarged, 3 * options.texture, options.seed) if options.draws else enlarged
