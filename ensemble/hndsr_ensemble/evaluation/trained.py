"""A run's weights behind the product's tiler, with torch: measured before they are exported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from torch import Tensor, nn

from hndsr_ensemble.diffusion import LATENT_PX
from hndsr_ensemble.engines.torch.device import open_device
from hndsr_ensemble.evaluation.models import ModelFacts, TiledModel, hndsr_manifest, remember
from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights
from hndsr_ensemble.pipeline import HndsrWindows
from hndsr_ensemble.training.errors import TrainingError

FILES: dict[str, type[nn.Module]] = {"autoencoder": Autoencoder, "fno": FNO, "unet": UNet}
"""Networks by the names of their files, without `.safetensors`."""


class WeightsFolderError(TrainingError):
    """A folder without the weights of all networks."""

    def __init__(self, *, folder: Path, reason: str) -> None:
        names = ", ".join(f"{name}.safetensors" for name in FILES)
        super().__init__(f"{folder} does not hold {names} of this model: {reason}")


class DeviceMissingError(TrainingError):
    """A device that this machine, or this torch, does not have."""

    def __init__(self, *, device: str) -> None:
        super().__init__(f"torch {torch.__version__} finds no {device} here; use --device cpu")


class TorchNetwork:
    """An engine for one network as PyTorch has it, in fp32, one window a pass."""

    precision, batch = "fp32", 1
    name = f"torch {torch.__version__}"

    def __init__(self, forward: Callable[..., Tensor], device: torch.device) -> None:
        self._forward, self._device, self.device = forward, device, device.type

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run the windows one after the other: a window's bits depend on no other."""
        count = len(next(iter(inputs.values())))
        with torch.inference_mode():
            return np.concatenate([self._pass(inputs, place) for place in range(count)])

    def _pass(self, inputs: dict[str, np.ndarray], place: int) -> Shaped[np.ndarray, "1 ..."]:
        tensors = {name: torch.from_numpy(array[place : place + 1].copy()) for name, array in inputs.items()}
        result = self._forward(**{name: tensor.to(self._device) for name, tensor in tensors.items()})
        return np.array(result.float().cpu().numpy(), order="C")


class TrainedWindows(HndsrWindows):
    """FNO, DDIM over the UNet, decoder, from a run's weights.

    Args:
        folder: holds a file for each of `FILES`.
        device: to run on.
        window_px: side of the model's windows.
    """

    def __init__(self, folder: Path, device: torch.device, *, window_px: int) -> None:
        autoencoder, fno, unet = (_load(folder / f"{name}.safetensors", name).to(device) for name in FILES)
        size = (window_px // LATENT_PX, window_px // LATENT_PX)
        self.fno = TorchNetwork(lambda lr, scale, origin: fno(lr, scale, origin, size), device)
        self.unet, self.decoder = TorchNetwork(unet, device), TorchNetwork(autoencoder.decode, device)
        self._residual_std = unet.residual_std.cpu().numpy()


def weights_model(folder: Path, *, device: str = "auto") -> TiledModel:
    """The model of a run's weights, in windows as the installed `hndsr` has them.

    Args:
        folder: holds `autoencoder.safetensors`, `fno.safetensors` and `unet.safetensors`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        WeightsFolderError: it does not.
        DeviceMissingError: there is no such device.
    """
    manifest = hndsr_manifest()
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceMissingError(device=device)
    place = open_device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    windows = remember(TrainedWindows(folder, place, window_px=manifest.geometry.window_px))
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((folder / f"{name}.safetensors").read_bytes())
    facts = ModelFacts("weights", digest.hexdigest(), TorchNetwork.name, TorchNetwork.precision, place.type)
    return TiledModel(manifest, windows, facts)


def _load(path: Path, name: str) -> nn.Module:
    try:
        return load_weights(FILES[name](), path).requires_grad_(requires_grad=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsFolderError(folder=path.parent, reason=str(error).splitlines()[0]) from error
