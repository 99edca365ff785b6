"""First stage: a latent space from which images can be decoded even when the latents are a little wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hndsr_ensemble.networks import Autoencoder
from hndsr_ensemble.training.batches import Batch
from hndsr_ensemble.training.config import AutoencoderConfig
from hndsr_ensemble.training.execution import mean_of_all
from hndsr_ensemble.training.stages.stage import Compiler, Losses, Stage, channel_statistics
from hndsr_ensemble.training.starting import start_network

LEAST_DEVIATION = 1e-4
"""A channel that never changes is divided by no less."""


class AutoencoderStage(Stage):
    """Absolute error of the reconstruction from noisy latents.

    Args:
        config: of the stage.
        weights: folder of the weights to begin with, where there are some.
    """

    reads_sources = False

    def __init__(self, config: AutoencoderConfig, weights: Path) -> None:
        super().__init__()
        self.autoencoder = start_network(Autoencoder(), weights, "autoencoder")
        self._noise = config.latent_noise

    def forward(self, batch: Batch) -> Losses:
        """`loss`, and the squared error of the same."""
        latent = self.autoencoder.encode(batch.hr)
        noise = batch.draws.normal(latent.shape[1:])
        difference = self.autoencoder.decode(latent + self._noise * _deviation(latent) * noise).float() - batch.hr
        return {"loss": difference.abs().mean(), "pixel_mse": difference.detach().square().mean()}

    def compile_parts(self, compiler: Compiler) -> None:
        """Both halves."""
        compiler(self.autoencoder.encoder)
        compiler(self.autoencoder.decoder)

    def networks(self) -> Mapping[str, nn.Module]:
        """The autoencoder."""
        return {"autoencoder": self.autoencoder}

    def measure_after(self, batches: Iterable[Batch]) -> None:
        """Bring the latents of the training data to zero mean and unit variance per channel."""
        old_mean, old_std = self.autoencoder.latent_mean, self.autoencoder.latent_std
        with torch.no_grad():
            mean, deviation = channel_statistics(self.autoencoder.encode(batch.hr).float() for batch in batches)
            old_mean.add_(mean * old_std)
            old_std.mul_(deviation.clamp(min=LEAST_DEVIATION))


def _deviation(latent: Float[Tensor, "n 64 h w"]) -> Float[Tensor, "1 64 1 1"]:
    """Of each channel over the batches of all processes."""
    values = latent.detach().float()
    moments = torch.stack([values.mean(dim=(0, 2, 3)), values.square().mean(dim=(0, 2, 3))])
    mean, square = mean_of_all(moments)
    return (square - mean.square()).clamp(min=0).sqrt()[None, :, None, None]
