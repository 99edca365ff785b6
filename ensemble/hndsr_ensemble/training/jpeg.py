"""What JPEG takes away from images, computed where they lie: all of it but the coding of the numbers, which loses none.

Source: ITU-T T.81, annexes A and K; JFIF 1.02 for the colours; libjpeg for how tables follow from a quality, and for
the halving and doubling of the chrominance.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

BLOCK_PX = 8
UNIT_PX = 2 * BLOCK_PX
"""Images are extended to multiples of it: a block of chrominance shows so much."""
MIDDLE = 128
LUMINANCE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""T.81, table K.1."""
CHROMINANCE: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * BLOCK_PX,) * 4,
)
"""T.81, table K.2."""


@lru_cache(maxsize=128)
def quantisation(quality: int) -> Float32[np.ndarray, "2 8 8"]:
    """Steps of the cosines' coefficients, of luminance and chrominance, for a quality of 1 to 100."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (np.array([LUMINANCE, CHROMINANCE]) * percent + 50) // 100
    return steps.clip(1, 255).astype(np.float32)


def through_jpeg(levels: UInt8[Tensor, "n 3 h w"], steps: Float32[Tensor, "n 2 8 8"]) -> UInt8[Tensor, "n 3 h w"]:
    """Images as they come back from JPEG, each with tables of its own, the chrominance at half the resolution."""
    height, width = levels.shape[-2:]
    extended = F.pad(levels.float(), (0, -width % UNIT_PX, 0, -height % UNIT_PX), mode="replicate")
    colours = _to_ycbcr(extended).round()
    luminance = _quantised(colours[:, :1], steps[:, :1])[..., :height, :width]
    halved = _quantised(_halved(colours[:, 1:]), steps[:, 1:])[..., : -(-height // 2), : -(-width // 2)]
    chrominance = F.interpolate(halved, scale_factor=2.0, mode="bilinear", align_corners=False).round()
    decoded = _to_rgb(torch.cat([luminance, chrominance[..., :height, :width]], dim=1))
    return decoded.round().clamp(0, 255).to(torch.uint8)


def _to_ycbcr(rgb: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n 3 h w"]:
    red, green, blue = rgb.unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luminance, (blue - luminance) / 1.772 + MIDDLE, (red - luminance) / 1.402 + MIDDLE], dim=1)


def _to_rgb(colours: Float32[Tensor, "n 3 h w"]) -> Float32[Tensor, "n 3 h w"]:
    luminance, blueness, redness = colours[:, 0], colours[:, 1] - MIDDLE, colours[:, 2] - MIDDLE
    green = luminance - (0.299 * 1.402 * redness + 0.114 * 1.772 * blueness) / 0.587
    return torch.stack([luminance + 1.402 * redness, green, luminance + 1.772 * blueness], dim=1)


def _halved(colours: Float32[Tensor, "n 2 h w"]) -> Float32[Tensor, "n 2 h//2 w//2"]:
    # Halves go down and up by turns, so that the mean stays.
    quarter = torch.arange(colours.shape[-1] // 2, device=colours.device) % 2 / 4 + 0.25
    return (F.avg_pool2d(colours, 2) + quarter).floor()


def _quantised(colours: Float32[Tensor, "n c h w"], steps: Float32[Tensor, "n 1 8 8"]) -> Float32[Tensor, "n c h w"]:
    """Levels after their blocks' coefficients were rounded to multiples of the steps."""
    cosines = _cosines(colours.device)
    blocks = (colours - MIDDLE).unflatten(-1, (-1, BLOCK_PX)).unflatten(2, (-1, BLOCK_PX)).transpose(3, 4)
    step = steps[:, :, None, None]
    kept = (cosines @ blocks @ cosines.T / step).round() * step
    levels = (cosines.T @ kept @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return (levels + MIDDLE).round().clamp(0, 255)


@lru_cache(maxsize=8)
def _cosines(device: torch.device) -> Float32[Tensor, "8 8"]:
    """The orthonormal cosine transform; T.81, A.3.3."""
    place = np.arange(BLOCK_PX)
    rows = np.cos((2 * place + 1) * place[:, None] * math.pi / (2 * BLOCK_PX)) / 2
    rows[0] /= math.sqrt(2)
    return torch.from_numpy(rows.astype(np.float32)).to(device)
