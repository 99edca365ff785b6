"""The three networks in PyTorch: autoencoder, Fourier neural operator (prior), diffusion UNet (residual).

Images are RGB in [-1, 1]. A latent has `LATENT_CHANNELS` maps at a quarter of the image's resolution, standardised to
unit variance per channel. No network normalises over space, so every window of an image is treated alike.
"""

from hndsr_ensemble.networks.autoencoder import LATENT_CHANNELS, LATENT_PITCH_PX, Autoencoder
from hndsr_ensemble.networks.fno import FNO
from hndsr_ensemble.networks.unet import UNet
from hndsr_ensemble.networks.weights import load_weights, read_weights, save_weights

__all__ = [
    "FNO",
    "LATENT_CHANNELS",
    "LATENT_PITCH_PX",
    "Autoencoder",
    "UNet",
    "load_weights",
    "read_weights",
    "save_weights",
]
