"""Scenes with texture at every size, and files made of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Picture

Scene = UInt8[np.ndarray, "_height _width 3"]


def scene(seed: int, side: int = 460) -> Scene:
    """A grey scene whose amplitude falls as 1/f, as that of the ground does."""
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((side, side)))
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    values = np.fft.irfft2(noise / np.maximum(radius, 2 / side) ** 1.2, s=(side, side))
    grey = np.clip(128 + 45 * values / values.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def luminance(picture: Scene) -> np.ndarray:
    return picture[..., 0].astype(np.float32)


def compressed(picture: Scene, quality: int) -> Scene:
    content = io.BytesIO()
    Picture.fromarray(picture).save(content, "JPEG", quality=quality)
    return np.asarray(Picture.open(content))


def write(path: Path, picture: Scene) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(picture).save(path)
    return path
