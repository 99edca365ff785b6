"""Made-up images and their records."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from hndsr_ensemble.training.imagery.manifest import Image, Split


def listed(path: Path, split: Split) -> Image:
    """An image's record."""
    with Picture.open(path) as picture:
        width, height = picture.size
        bands = len(picture.getbands())
    content = path.read_bytes()
    facts = {"width_px": width, "height_px": height, "bands": bands, "sample_type": "uint8", "split": split}
    return Image(str(path), len(content), "1", sha256=hashlib.sha256(content).hexdigest(), **facts)


def made_up(seed: int, height: int, width: int) -> np.ndarray:
    """Blocks and waves in colour."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 120.0)
    for _ in range(6):
        top, left = draw.integers(0, height - 8), draw.integers(0, width - 8)
        tall, wide = draw.integers(8, 40, 2)
        image[top : top + tall, left : left + wide] = draw.integers(0, 256, 3)
    angle, period = draw.uniform(0, np.pi), draw.uniform(4, 20)
    image += 25 * np.sin((y * np.sin(angle) + x * np.cos(angle)) * 2 * np.pi / period)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)
