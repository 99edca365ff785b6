"""ONNX files against the PyTorch networks they stand for, run by onnxruntime as it is run in production."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float
from torch import Tensor

from hndsr_ensemble.export.fno import LATENT_SIDE
from hndsr_ensemble.networks import FNO, LATENT_CHANNELS, Autoencoder, UNet, load_weights

TOLERANCE: Final = 1e-4
"""Largest absolute difference allowed; latents and velocities have unit variance, images lie in [-1, 1]."""

Inputs = dict[str, Float[np.ndarray, "..."]]
SOURCE_WINDOWS: Final = (
    (1, 1.5, (172, 172)),
    (1, 3.14, (83, 83)),
    (2, 4.0, (64, 64)),
    (1, 5.5, (48, 56)),
    (2, 8.0, (40, 33)),
    (1, 8.0, (16, 15)),
)
"""Batch, scale and source size (h, w) of the FNO's trial inputs."""
GRIDS: Final = ((1, (64, 64)), (2, (16, 24)))
"""Batch and latent size (H, W) of the other networks' trial inputs."""


class ParityError(Exception):
    """An exported network computes something else than its PyTorch original."""

    def __init__(self, *, error: float) -> None:
        super().__init__(f"onnxruntime differs from PyTorch by {error:.1e}, the tolerance is {TOLERANCE:.0e}")


def require_parity(error: float) -> float:
    """Return `error` again.

    Raises:
        ParityError: it exceeds `TOLERANCE`, or is no number.
    """
    if not error <= TOLERANCE:
        raise ParityError(error=error)
    return error


def fno_error(model: Path, weights: Path) -> float:
    """Largest absolute difference over several scales, source sizes and origins."""
    network = load_weights(FNO(), weights)
    size = (LATENT_SIDE, LATENT_SIDE)
    return _largest_error(model, _fno_inputs(), lambda lr, scale, origin: network(lr, scale, origin, size))


def unet_error(model: Path, weights: Path) -> float:
    """Largest absolute difference over several times, scales and grids."""
    return _largest_error(model, _unet_inputs(), load_weights(UNet(), weights))


def decoder_error(model: Path, weights: Path) -> float:
    """Largest absolute difference over several grids."""
    return _largest_error(model, _decoder_inputs(), load_weights(Autoencoder(), weights).decode)


def _fno_inputs() -> Iterator[Inputs]:
    generator = np.random.default_rng(0)
    for batch, scale, (height, width) in SOURCE_WINDOWS:
        # Patches with grain: white noise of full range is far from every image, and so are the latents of it.
        patches = np.kron(generator.uniform(-0.8, 0.8, (batch, 3, height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))
        yield {
            "lr": patches[:, :, :height, :width] + generator.uniform(-0.2, 0.2, (batch, 3, height, width)),
            "scale": np.full(batch, scale),
            "origin": generator.uniform(-1, 1, (batch, 2)),
        }


def _unet_inputs() -> Iterator[Inputs]:
    generator = np.random.default_rng(0)
    for batch, size in GRIDS:
        yield {
            "x": generator.standard_normal((batch, LATENT_CHANNELS, *size)),
            "t": generator.uniform(0, 1, batch),
            "prior": generator.standard_normal((batch, LATENT_CHANNELS, *size)),
            "scale": generator.uniform(1.5, 8, batch),
        }


def _decoder_inputs() -> Iterator[Inputs]:
    generator = np.random.default_rng(0)
    for batch, size in GRIDS:
        yield {"latent": generator.standard_normal((batch, LATENT_CHANNELS, *size))}


def _largest_error(model: Path, trials: Iterable[Inputs], reference: Callable[..., Tensor]) -> float:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return max(_error(session, trial, reference) for trial in trials)


def _error(session: Any, trial: Inputs, reference: Callable[..., Tensor]) -> float:
    inputs = {name: array.astype(np.float32) for name, array in trial.items()}
    with torch.inference_mode():
        expected = reference(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()
    (actual,) = session.run(None, inputs)
    return float(np.abs(actual - expected).max())
