"""The diffusion UNet: the velocity of the noisy residual between the true latent and the prior."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

from hndsr_ensemble.networks.autoencoder import LATENT_CHANNELS
from hndsr_ensemble.networks.embedding import SCALE_FREQUENCIES, TIME_FREQUENCIES, scale_features, time_features
from hndsr_ensemble.networks.layers import ChannelNorm, conv1, conv3, film

LEVEL_WIDTHS = (80, 160, 160)
BLOCKS_PER_LEVEL = 2
EMBEDDING_WIDTH = 256
GRID_MULTIPLE = 4
"""Sides of the latent grid are multiples of this: it is halved twice."""


class UNetBlock(nn.Module):
    """Two convolutions, normalised per pixel and modulated by time and scale between them, around a skip.

    Source: DDPM, arXiv 2006.11239, app. B, with FiLM, arXiv 1709.07871, and RMSNorm, arXiv 1910.07467.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(inputs)
        self.conv1 = conv3(inputs, outputs)
        self.norm2 = ChannelNorm(outputs)
        self.film = nn.Linear(EMBEDDING_WIDTH, 2 * outputs)
        self.conv2 = conv3(outputs, outputs)
        self.skip = conv1(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(
        self, x: Float[Tensor, "n inputs h w"], embedding: Float[Tensor, "n 256"]
    ) -> Float[Tensor, "n outputs h w"]:
        """Refine `x` at its own resolution."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(film(self.norm2(h), self.film(embedding))))
        return self.skip(x) + h


def _level(inputs: int, outputs: int) -> nn.ModuleList:
    widths = [inputs] + [outputs] * (BLOCKS_PER_LEVEL - 1)
    return nn.ModuleList(UNetBlock(width, outputs) for width in widths)


class UNet(nn.Module):
    """The velocity v = α·ε - σ·x0 of a noisy standardised residual, given the prior, the time and the scale.

    `residual_std` is the residual's standard deviation per channel, by which a drawn residual is multiplied before it
    is added to the prior.

    Source: v-prediction, arXiv 2202.00512, sec. 4 and app. D; mean plus diffused residual, CorrDiff, arXiv 2309.15214.
    """

    residual_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        full, half, quarter = LEVEL_WIDTHS
        self.embedding = nn.Sequential(
            nn.Linear(2 * TIME_FREQUENCIES + 2 * SCALE_FREQUENCIES, EMBEDDING_WIDTH),
            nn.SiLU(),
            nn.Linear(EMBEDDING_WIDTH, EMBEDDING_WIDTH),
            nn.SiLU(),
        )
        self.stem = conv3(2 * LATENT_CHANNELS, full)
        self.down = nn.ModuleList([_level(full, full), _level(full, half), _level(half, quarter)])
        self.downsample = nn.ModuleList([conv3(full, full, stride=2), conv3(half, half, stride=2)])
        self.upsample = nn.ModuleList([conv3(quarter, quarter), conv3(half, half)])
        self.up = nn.ModuleList([_level(quarter + half, half), _level(half + full, full)])
        self.norm = ChannelNorm(full)
        self.out = conv3(full, LATENT_CHANNELS)
        self.register_buffer("residual_std", torch.ones(1, LATENT_CHANNELS, 1, 1))

    def forward(
        self,
        x: Float[Tensor, "n 64 h w"],
        t: Float[Tensor, " n"],
        prior: Float[Tensor, "n 64 h w"],
        scale: Float[Tensor, " n"],
    ) -> Float[Tensor, "n 64 h w"]:
        """Predict the velocity.

        Args:
            x: noisy standardised residual; sides are multiples of `GRID_MULTIPLE`.
            t: diffusion time in [0, 1], 1 is pure noise.
            prior: the FNO's output as it is.
            scale: target pixels per source pixel.
        """
        embedding = self.embedding(torch.cat([time_features(t), scale_features(scale)], dim=1))
        h, skips = self._descend(self.stem(torch.cat([x, prior], dim=1)), embedding)
        h = self._ascend(h, skips, embedding)
        return self.out(F.silu(self.norm(h)))

    def _descend(
        self, h: Float[Tensor, "n 80 h w"], embedding: Float[Tensor, "n 256"]
    ) -> tuple[Float[Tensor, "n 160 h//4 w//4"], list[Tensor]]:
        skips = []
        for level, halve in zip(self.down, [*self.downsample, None], strict=True):
            for block in level:
                h = block(h, embedding)
            if halve is not None:
                skips.append(h)
                h = halve(h)
        return h, skips

    def _ascend(
        self, h: Float[Tensor, "n 160 h w"], skips: list[Tensor], embedding: Float[Tensor, "n 256"]
    ) -> Float[Tensor, "n 80 4*h 4*w"]:
        for level, convolve, skip in zip(self.up, self.upsample, reversed(skips), strict=True):
            h = torch.cat([convolve(F.interpolate(h, scale_factor=2.0, mode="nearest")), skip], dim=1)
            for block in level:
                h = block(h, embedding)
        return h
