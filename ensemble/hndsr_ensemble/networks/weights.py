"""Weights on disk: one safetensors file per network, half precision where it costs nothing."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FULL_PRECISION_ELEMENTS = 256
"""Tensors of at most so many elements (biases, gains, statistics) are stored in fp32, larger ones in fp16."""

Network = TypeVar("Network", bound=nn.Module)


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file by name, as stored but in fp32."""
    return {name: tensor.float() for name, tensor in load_file(path).items()}


def load_weights(network: Network, path: Path) -> Network:
    """Fill `network` from a weights file and put it in evaluation mode.

    Raises:
        RuntimeError: a parameter is missing from the file, unknown to the network, or of another shape.
    """
    network.load_state_dict(read_weights(path), strict=True)
    return network.eval()


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of `network`; `load_weights` reads them back, rounded to what is stored."""
    save_file({name: _stored(tensor) for name, tensor in network.state_dict().items()}, path)


def _stored(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.numel() <= FULL_PRECISION_ELEMENTS else torch.float16
    return tensor.detach().to("cpu", dtype).contiguous()
