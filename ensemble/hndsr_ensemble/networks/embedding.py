"""Sinusoidal features of the two scalars that condition the networks: scale and diffusion time."""

import math

import torch
from jaxtyping import Float, Float32
from torch import Tensor

SCALE_FREQUENCIES = 8
TIME_FREQUENCIES = 32
TIME_FASTEST = 1000.0


def scale_features(scale: Float[Tensor, " n"]) -> Float32[Tensor, "n 16"]:
    """Sines, then cosines, of log2(scale) at octaves from π/8 radians up.

    Args:
        scale: target pixels per source pixel.

    Source: positional encoding in octaves, NeRF, arXiv 2003.08934, eq. 4.
    """
    octaves = torch.arange(SCALE_FREQUENCIES, device=scale.device, dtype=torch.float32)
    return _sines_cosines(torch.log2(scale.float())[:, None] * (torch.exp2(octaves) * (math.pi / 8)))


def time_features(t: Float[Tensor, " n"]) -> Float32[Tensor, "n 64"]:
    """Sines, then cosines, of the diffusion time at frequencies spaced geometrically from 1000 down to 1 radian.

    Args:
        t: diffusion time in [0, 1], 1 is pure noise.

    Source: DDPM, arXiv 2006.11239, app. B; transformer positions, arXiv 1706.03762, sec. 3.5.
    """
    # A frequency near 1000 leaves little of fp32 for the phase: round it once, from double.
    steps = torch.arange(TIME_FREQUENCIES, device=t.device, dtype=torch.float64) / (TIME_FREQUENCIES - 1)
    return _sines_cosines(t.float()[:, None] * (TIME_FASTEST ** (1 - steps)).float())


def _sines_cosines(angle: Float32[Tensor, "n k"]) -> Float32[Tensor, "n 2*k"]:
    return torch.cat([angle.sin(), angle.cos()], dim=1)
