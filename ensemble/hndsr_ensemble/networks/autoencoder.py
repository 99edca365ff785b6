"""The autoencoder: images to standardised latents at a quarter of the resolution, and back."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

from hndsr_ensemble.networks.layers import ResidualBlock, conv3

LATENT_CHANNELS = 64
LATENT_PITCH_PX = 4
"""Target pixels from one latent to the next."""
WIDTH = 128
ENCODER_BLOCKS = 1
DECODER_BLOCKS = 6
PIXEL_CHANNELS = 3 * LATENT_PITCH_PX**2


class ConvStack(nn.Module):
    """Stem, residual blocks, head: a plain stack of 3 × 3 convolutions at one resolution."""

    def __init__(self, inputs: int, outputs: int, *, blocks: int) -> None:
        super().__init__()
        self.stem = conv3(inputs, WIDTH)
        self.blocks = nn.Sequential(*(ResidualBlock(WIDTH) for _ in range(blocks)))
        self.head = conv3(WIDTH, outputs)

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h w"]:
        """Map `inputs` channels to `outputs` channels."""
        return self.head(self.blocks(self.stem(x)))


class Autoencoder(nn.Module):
    """Encoder, decoder and the latents' mean and standard deviation per channel, measured once on training data.

    Source: diffusion in latents, arXiv 2112.10752, sec. 3; pixel shuffle, ESPCN, arXiv 1609.05158, eq. 4.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ConvStack(PIXEL_CHANNELS, LATENT_CHANNELS, blocks=ENCODER_BLOCKS)
        self.decoder = ConvStack(LATENT_CHANNELS, PIXEL_CHANNELS, blocks=DECODER_BLOCKS)
        self.register_buffer("latent_mean", torch.zeros(1, LATENT_CHANNELS, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, LATENT_CHANNELS, 1, 1))

    def encode(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 64 h//4 w//4"]:
        """The standardised latent of an RGB image in [-1, 1] whose sides are multiples of `LATENT_PITCH_PX`."""
        return (self.encoder(F.pixel_unshuffle(image, LATENT_PITCH_PX)) - self.latent_mean) / self.latent_std

    def decode(self, latent: Float[Tensor, "n 64 h w"]) -> Float[Tensor, "n 3 4*h 4*w"]:
        """The RGB image of a standardised latent; not clamped, so it may leave [-1, 1] a little."""
        return F.pixel_shuffle(self.decoder(latent * self.latent_std + self.latent_mean), LATENT_PITCH_PX)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """The reconstruction of `image`."""
        return self.decode(self.encode(image))
