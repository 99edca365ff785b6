"""From the source grid to the latent grid: where latents lie in the source, and what the source features are there."""

import math

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from hndsr_ensemble.networks.autoencoder import LATENT_PITCH_PX


def latent_centres(
    origin_px: Float[Tensor, " n"], scale: Float[Tensor, " n"], count: int
) -> Float32[Tensor, "n {count}"]:
    """Coordinates of `count` latent centres along one axis, in source pixels from the source window's edge.

    Args:
        origin_px: of the target window's edge, in source pixels from the source window's edge.
        scale: target pixels per source pixel.
        count: of latents along the axis.
    """
    index = torch.arange(count, device=scale.device, dtype=torch.float32) + 0.5
    return origin_px.float()[:, None] + index * (LATENT_PITCH_PX / scale.float())[:, None]


def sample_bilinear(
    x: Float[Tensor, "n c h w"], y_px: Float[Tensor, "n i"], x_px: Float[Tensor, "n j"]
) -> Float32[Tensor, "n c i j"]:
    """Values of `x` at all pairs of the given edge coordinates, its border repeated beyond the edge, in fp32.

    The same numbers as `grid_sample(align_corners=False, padding_mode="border")`; as the grid is separable, two matrix
    products with rows of at most two non-zero weights do it.

    Source: spatial transformers, arXiv 1506.02025, eq. 5.
    """
    with torch.autocast(x.device.type, enabled=False):
        rows, columns = _tents(y_px, x.shape[2]), _tents(x_px, x.shape[3])
        return rows[:, None] @ x.float() @ columns[:, None].mT


def pixel_phases(y_px: Float32[Tensor, "n i"], x_px: Float32[Tensor, "n j"]) -> Float32[Tensor, "n 4 i j"]:
    """Where each latent lies within its source pixel: sin 2πy, cos 2πy, sin 2πx, cos 2πx.

    Source: relative coordinates as a network input, LIIF, arXiv 2012.09161, eq. 2, made periodic.
    """
    rows, columns = _turns(y_px)[:, :, None], _turns(x_px)[:, None, :]
    shape = (y_px.shape[0], y_px.shape[1], x_px.shape[1])
    return torch.stack([phase.expand(shape) for phase in (rows.sin(), rows.cos(), columns.sin(), columns.cos())], dim=1)


def _tents(position_px: Float[Tensor, "n i"], length: int) -> Float32[Tensor, "n i {length}"]:
    centre = (position_px.float() - 0.5).clamp(0, length - 1)
    index = torch.arange(length, device=position_px.device, dtype=torch.float32)
    return (1 - (centre[:, :, None] - index).abs()).relu()


def _turns(position_px: Float32[Tensor, "n i"]) -> Float32[Tensor, "n i"]:
    return (position_px - position_px.floor()) * (2 * math.pi)
