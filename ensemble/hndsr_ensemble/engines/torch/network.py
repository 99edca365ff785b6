"""One network between NumPy arrays, as the models of Triton's ensemble run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from hndsr_ensemble.choice import EngineChoice
from hndsr_ensemble.engines.torch.device import DTYPES, PRECISIONS, engine_name, open_device, upload
from hndsr_ensemble.engines.torch.lowered import load_network
from hndsr_ensemble.engines.torch.windows import LATENT_SIDE

BATCHES = {"cuda": 8, "cpu": 1}
"""Windows of one pass by device."""


class TorchEngine:
    """One network in a fixed batch, kernel by kernel; windows are repeated to fill the last one.

    Args:
        folder: where `weights.safetensors` lies.
        network: `fno`, `unet` or `decoder`.
        choice: device and arithmetic.
        threads: cores it may use, of the whole process.
    """

    def __init__(self, folder: Path, network: str, choice: EngineChoice, *, threads: int) -> None:
        self._device = open_device(choice.device)
        if choice.device == "cpu" and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        self.name, self.precision = engine_name(self._device, compiled=False), PRECISIONS[choice.precision]
        self.device, self.batch = choice.device, BATCHES[choice.device]
        loaded = load_network(folder, network, DTYPES[choice.precision], self._device)
        self._call = _forward(network, loaded)

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run any number of windows, `batch` at a time."""
        count = len(next(iter(inputs.values())))
        return np.concatenate([self._pass(inputs, start, count) for start in range(0, count, self.batch)])

    def _pass(self, inputs: dict[str, np.ndarray], start: int, count: int) -> Shaped[np.ndarray, "m ..."]:
        picked = np.arange(start, start + self.batch).clip(max=count - 1)
        result = self._call(**{name: upload(value[picked], self._device) for name, value in inputs.items()})
        return np.array(result[: count - start].float().cpu().numpy(), order="C")


def _forward(network: str, module: nn.Module) -> Callable[..., Tensor]:
    """By the names that the network's inputs have in Triton, lower-case."""
    if network == "fno":
        return lambda lr, scale, origin: module(lr, scale, origin, (LATENT_SIDE, LATENT_SIDE))
    return module.decode if network == "decoder" else module
