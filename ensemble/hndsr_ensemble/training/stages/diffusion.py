"""Third stage: the UNet that draws what the prior leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from hndsr_ensemble.networks import FNO, Autoencoder, UNet
from hndsr_ensemble.training.batches import Batch
from hndsr_ensemble.training.config import DiffusionConfig
from hndsr_ensemble.training.crops import Draws
from hndsr_ensemble.training.stages.stage import Compiler, Losses, Stage, channel_statistics, frozen
from hndsr_ensemble.training.starting import require_network, start_network

NOISE, TIME, PURE = range(3)
"""Streams of what is drawn for a batch."""
LEAST_DEVIATION = 1e-4
"""A channel whose residual never changes is divided by no less."""


class DiffusionStage(Stage):
    """Squared error of the velocity v = α·ε - σ·x₀, where x₀ is the residual over its standard deviation per channel.

    Source: v-prediction, Salimans & Ho 2022, arXiv 2202.00512, sec. 4; α and σ as in `schedule.ddim`.

    Args:
        config: of the stage.
        weights: folder of the autoencoder's and the operator's weights, and of the UNet's where there are some.
    """

    def __init__(self, config: DiffusionConfig, weights: Path) -> None:
        super().__init__()
        self.autoencoder = frozen(require_network(Autoencoder(), weights, "autoencoder", stage="diffusion"))
        self.fno = frozen(require_network(FNO(), weights, "fno", stage="diffusion"))
        self.unet = start_network(UNet(), weights, "unet")
        self._is_scaled = (weights / "unet.safetensors").is_file()
        self._share_at_pure_noise = config.share_at_pure_noise

    def forward(self, batch: Batch) -> Losses:
        """`loss`."""
        residual, prior = self._residual(batch)
        x0 = residual / self.unet.residual_std
        time, noise = diffusion_times(batch.draws, self._share_at_pure_noise), batch.draws.normal(x0.shape[1:])
        alpha, sigma = (turned(time * (math.pi / 2))[:, None, None, None] for turned in (torch.cos, torch.sin))
        velocity = self.unet(alpha * x0 + sigma * noise, time, prior, batch.scale).float()
        return {"loss": (velocity - (alpha * noise - sigma * x0)).square().mean()}

    def compile_parts(self, compiler: Compiler) -> None:
        """The UNet, the encoder, and the operator's stacks of convolutions."""
        compiler(self.unet)
        compiler(self.autoencoder.encoder)
        compiler(self.fno.head)
        for block in self.fno.blocks:
            compiler(block.refine, dynamic=True)

    def networks(self) -> Mapping[str, nn.Module]:
        """The UNet."""
        return {"unet": self.unet}

    def measure_before(self, batches: Iterable[Batch]) -> None:
        """The residual's standard deviation per channel, `residual_std`; a UNet that is trained on keeps its own."""
        if self._is_scaled:
            return
        _, deviation = channel_statistics(self._residual(batch)[0] for batch in batches)
        self.unet.residual_std.copy_(deviation.clamp(min=LEAST_DEVIATION))

    def _residual(self, batch: Batch) -> tuple[Float32[Tensor, "n 64 h w"], Float32[Tensor, "n 64 h w"]]:
        """What the prior leaves of the true latent, and the prior."""
        with torch.no_grad():
            latent = self.autoencoder.encode(batch.hr).float()
            prior = self.fno(batch.lr, batch.scale, batch.origin, (latent.shape[2], latent.shape[3])).float()
        return latent - prior, prior


def diffusion_times(draws: Draws, share_at_pure_noise: float) -> Float32[Tensor, "n"]:
    """Uniform in [0, 1), but exactly 1 for a share of the images."""
    time = draws.uniform(stream=TIME)
    return torch.where(draws.uniform(stream=PURE) < share_at_pure_noise, torch.ones_like(time), time)
