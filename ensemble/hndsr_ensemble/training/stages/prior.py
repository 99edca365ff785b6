"""Second stage: the Fourier neural operator, and the decoder of what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from hndsr_ensemble.networks import FNO, Autoencoder
from hndsr_ensemble.training.batches import Batch
from hndsr_ensemble.training.config import PriorConfig
from hndsr_ensemble.training.stages.stage import Compiler, Losses, Stage, frozen
from hndsr_ensemble.training.starting import require_network, start_network


class PriorStage(Stage):
    """Absolute error of the decoded prior, squared error of the prior, absolute error of the reconstruction.

    The encoder is frozen: it decides what a latent is, and could make the prior's task as easy as it likes.

    Args:
        config: of the stage.
        weights: folder of the autoencoder's weights, and of the operator's where there are some.
    """

    def __init__(self, config: PriorConfig, weights: Path) -> None:
        super().__init__()
        self.autoencoder = require_network(Autoencoder(), weights, "autoencoder", stage="prior")
        self.fno = start_network(FNO(), weights, "fno")
        frozen(self.autoencoder.encoder)
        self._config = config

    def forward(self, batch: Batch) -> Losses:
        """`loss`, its three parts, and the squared error of the pixels."""
        latent = self.autoencoder.encode(batch.hr).detach()
        prior = self.fno(batch.lr, batch.scale, batch.origin, (latent.shape[2], latent.shape[3]))
        difference = self.autoencoder.decode(prior).float() - batch.hr
        pixel, reconstruction = difference.abs().mean(), self._reconstruction_error(batch, latent)
        error = (prior.float() - latent.float()).square().mean()
        loss = pixel + self._config.latent_weight * error + self._config.reconstruction_weight * reconstruction
        return {
            "loss": loss,
            "pixel_l1": pixel.detach(),
            "latent_mse": error.detach(),
            "reconstruction_l1": reconstruction.detach(),
            "pixel_mse": difference.detach().square().mean(),
        }

    def compile_parts(self, compiler: Compiler) -> None:
        """Both halves of the autoencoder and the operator's stacks of convolutions, where nearly all the work is."""
        compiler(self.autoencoder.encoder)
        compiler(self.autoencoder.decoder)
        compiler(self.fno.head)
        for block in self.fno.blocks:
            compiler(block.refine, dynamic=True)

    def networks(self) -> Mapping[str, nn.Module]:
        """The operator, and the autoencoder with its decoder trained on."""
        return {"autoencoder": self.autoencoder, "fno": self.fno}

    def _reconstruction_error(self, batch: Batch, latent: Tensor) -> Tensor:
        return (self.autoencoder.decode(latent).float() - batch.hr).abs().mean()
