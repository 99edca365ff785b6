"""Pillow's pictures as arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hndsr_gateway.images.strips import strips


def samples_of(image: Image.Image) -> UInt8[np.ndarray, "h w bands"]:
    """The samples of a picture of 8 bits or 1, copied once and not twice as `numpy.asarray` does."""
    width, height = image.size
    samples = np.empty((height, width, len(image.getbands())), dtype=np.uint8)
    for rows in strips(height, width):
        strip = np.asarray(image.crop((0, rows.start, width, rows.stop)))
        samples[rows] = strip.reshape(samples[rows].shape)
    return samples
