"""The window models in one process, without Triton."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from hndsr_ensemble.diffusion import draw_latent, read_residual_std
from hndsr_ensemble.engines import load_engine
from hndsr_ensemble.interpolation import interpolated_windows
from hndsr_ensemble.manifest import VERSION_FOLDER, Manifest
from hndsr_ensemble.recording import span
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.windows import WindowBatch, WindowFunction

NETWORKS = ("fno", "unet", "decoder")


class HndsrWindows:
    """FNO, DDIM over the UNet, decoder: the ensemble `hndsr_window` without Triton.

    Args:
        repository: the Triton model repository.
        settings: which engine, and how many cores it may use.
        streams: threads that may call it at once, each on its share of the cores.
    """

    def __init__(self, repository: Path, settings: ServingSettings, *, streams: int = 1) -> None:
        self.fno, self.unet, self.decoder = (
            load_engine(repository, name, settings, streams=streams) for name in NETWORKS
        )
        self._residual_std = read_residual_std(repository / "unet" / VERSION_FOLDER / "weights.safetensors")

    def __call__(self, batch: WindowBatch) -> Float32[np.ndarray, "n 3 256 256"]:
        """Run a batch of windows."""
        tensors = batch.tensors(("LR", "SCALE", "ORIGIN", "POSITION", "SEED", "STEPS", "TEXTURE"))
        scale = tensors["SCALE"]
        with span("fno"):
            prior = self.fno.run({"lr": tensors["LR"], "scale": scale, "origin": tensors["ORIGIN"]})
        latent = draw_latent(
            prior,
            velocity=lambda x, t: self.unet.run({"x": x, "t": t, "prior": prior, "scale": scale}),
            residual_std=self._residual_std,
            seed=tensors["SEED"],
            position=tensors["POSITION"],
            steps=tensors["STEPS"],
            texture=tensors["TEXTURE"],
        )
        with span("decoder"):
            return self.decoder.run({"latent": latent})


def load_pipeline(
    repository: Path, manifest: Manifest, settings: ServingSettings, *, streams: int = 1
) -> WindowFunction:
    """The window function of a model in this process.

    Args:
        repository: the Triton model repository.
        manifest: of the model.
        settings: which engine, and how many cores it may use.
        streams: threads that may call it at once, each on its share of the cores.

    Raises:
        KeyError: for a model that exists in Triton only.
    """
    return PIPELINES[manifest.triton_model](repository, manifest, settings, streams)


def _hndsr(repository: Path, manifest: Manifest, settings: ServingSettings, streams: int) -> WindowFunction:  # noqa: ARG001
    return HndsrWindows(repository, settings, streams=streams)


def _bicubic(repository: Path, manifest: Manifest, settings: ServingSettings, streams: int) -> WindowFunction:  # noqa: ARG001
    return interpolated_windows(manifest)


PIPELINES: dict[str, Callable[[Path, Manifest, ServingSettings, int], WindowFunction]] = {
    "hndsr_window": _hndsr,
    "bicubic": _bicubic,
}
"""Window models that run in this process, by their Triton model."""
