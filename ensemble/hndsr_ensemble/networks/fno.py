"""The Fourier neural operator: the prior, a regression from a source window to the latent of its target window."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

from hndsr_ensemble.networks.autoencoder import LATENT_CHANNELS
from hndsr_ensemble.networks.embedding import SCALE_FREQUENCIES, scale_features
from hndsr_ensemble.networks.layers import ResidualBlock, conv1, conv3, film
from hndsr_ensemble.networks.sampling import latent_centres, pixel_phases, sample_bilinear
from hndsr_ensemble.networks.spectral import FourierBases, SpectralConv, fourier_bases

WIDTH = 96
SPECTRAL_WIDTH = 32
EMBEDDING_WIDTH = 64
BLOCKS = 4
REFINEMENTS = 3
PHASES = 4


def _refinements() -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(WIDTH) for _ in range(REFINEMENTS)))


class FNOBlock(nn.Module):
    """A global spectral and a local convolution side by side, modulated by the scale, then local refinement.

    Source: FNO, arXiv 2010.08895, eq. 2, with a 3 × 3 convolution for the local map W.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reduce = conv1(WIDTH, SPECTRAL_WIDTH)
        self.spectral = SpectralConv(SPECTRAL_WIDTH)
        self.expand = conv1(SPECTRAL_WIDTH, WIDTH)
        self.local_conv = conv3(WIDTH, WIDTH)
        self.film = nn.Linear(EMBEDDING_WIDTH, 2 * WIDTH)
        self.project = conv3(WIDTH, WIDTH)
        self.refine = _refinements()

    def forward(
        self, x: Float[Tensor, "n 96 h w"], embedding: Float[Tensor, "n 64"], bases: FourierBases
    ) -> Float[Tensor, "n 96 h w"]:
        """Refine `x` at the source resolution."""
        h = self.expand(self.spectral(self.reduce(x), bases)) + self.local_conv(x)
        return self.refine(x + self.project(F.silu(film(h, self.film(embedding)))))


class FNO(nn.Module):
    """Source window in, latent of the target window out, at any scale and any sub-pixel origin.

    Source: FNO, arXiv 2010.08895; super-resolution with one, SRNO, arXiv 2303.02584.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale_embedding = nn.Sequential(
            nn.Linear(2 * SCALE_FREQUENCIES, EMBEDDING_WIDTH),
            nn.SiLU(),
            nn.Linear(EMBEDDING_WIDTH, EMBEDDING_WIDTH),
            nn.SiLU(),
        )
        self.lift = conv3(3, WIDTH)
        self.blocks = nn.ModuleList(FNOBlock() for _ in range(BLOCKS))
        self.fuse = conv3(WIDTH + PHASES, WIDTH)
        self.fuse_film = nn.Linear(EMBEDDING_WIDTH, 2 * WIDTH)
        self.head = _refinements()
        self.out = conv3(WIDTH, LATENT_CHANNELS)

    def forward(
        self,
        lr: Float[Tensor, "n 3 h w"],
        scale: Float[Tensor, " n"],
        origin: Float[Tensor, "n 2"],
        size: tuple[int, int],
    ) -> Float[Tensor, "n 64 {size[0]} {size[1]}"]:
        """The prior: the expected latent of the target window.

        Args:
            lr: source window, RGB in [-1, 1], at least 16 × 15 pixels.
            scale: target pixels per source pixel; trained from 1.7 to 8.
            origin: (y, x) of the target window's top-left corner, in source pixels from `lr`'s top-left corner.
            size: (height, width) of the latent grid.
        """
        embedding = self.scale_embedding(scale_features(scale))
        features = self._features(lr, embedding)
        y_px, x_px = (latent_centres(origin[:, axis], scale, size[axis]) for axis in (0, 1))
        on_grid = torch.cat([sample_bilinear(features, y_px, x_px), pixel_phases(y_px, x_px)], dim=1)
        return self.out(self.head(F.silu(film(self.fuse(on_grid), self.fuse_film(embedding)))))

    def _features(self, lr: Float[Tensor, "n 3 h w"], embedding: Float[Tensor, "n 64"]) -> Float[Tensor, "n 96 h w"]:
        bases = fourier_bases(lr.shape[2], lr.shape[3], lr.device)
        lifted = x = self.lift(lr)
        for block in self.blocks:
            x = block(x, embedding, bases)
        return x + lifted
