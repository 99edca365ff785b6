"""The networks with convolutions in half precision: weights are cast once, when they are loaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import nn

from hndsr_ensemble.manifest import VERSION_FOLDER
from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights
from hndsr_ensemble.networks.layers import Conv

NETWORKS: dict[str, type[nn.Module]] = {"fno": FNO, "unet": UNet, "decoder": Autoencoder}
"""By their Triton model."""
WEIGHTS = "weights.safetensors"


@cache
def load_network(folder: Path, network: str, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """One network on a device, loaded once per process.

    Its convolutions round what they take and give to `dtype` and sum in fp32. All between them stays in fp32: spectral
    products, embeddings, modulation, norms, sampling.

    Args:
        folder: where its weights lie.
        network: of `NETWORKS`.
        dtype: of the convolutions.
        device: to run on.
    """
    loaded = load_weights(NETWORKS[network](), folder / WEIGHTS).requires_grad_(requires_grad=False)
    for module in loaded.modules():
        if isinstance(module, Conv):
            module.to(dtype=dtype, memory_format=torch.channels_last)
    return loaded.to(device)


def network_folder(repository: Path, network: str) -> Path:
    """Where a network lies in a Triton model repository."""
    return repository / network / VERSION_FOLDER
