"""The PyTorch modules as the golden file asks them; the only module of the gate that imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from hndsr_ensemble.manifest import VERSION_FOLDER
from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights
from hndsr_ensemble.training.release.golden import Networks

LATENT_SIDE = 64
"""Latents along each side of a served window, the only grid that the exported prior knows."""


def torch_networks(repository: Path) -> Networks:
    """The modules with the repository's weights, in fp32 on the CPU."""
    fno, unet, autoencoder = (
        load_weights(network, repository / folder / VERSION_FOLDER / "weights.safetensors")
        for network, folder in ((FNO(), "fno"), (UNet(), "unet"), (Autoencoder(), "decoder"))
    )
    return Networks(
        prior=_on_arrays(lambda lr, scale, origin: fno(lr, scale, origin, (LATENT_SIDE, LATENT_SIDE))),
        velocity=_on_arrays(unet),
        decode=_on_arrays(autoencoder.decode),
        encode=_on_arrays(autoencoder.encode),
        residual_std=unet.residual_std.numpy(),
    )


def _on_arrays(network: Callable[..., Tensor]) -> Callable[..., Float32[np.ndarray, "..."]]:
    def call(*inputs: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
        with torch.inference_mode():
            return network(*map(torch.from_numpy, inputs)).numpy()

    return call
