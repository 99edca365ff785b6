"""The bare networks: the passes that an image needs, in the engine and the arrangement in which they are served.

All that the benchmarks of the processor know of engines stands here; `gpu_engine.py` is the same of a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from service import axis_of

from hndsr_ensemble.engines import engine_choice, engine_facts
from hndsr_ensemble.manifest import Options, model_repository
from hndsr_ensemble.pipeline import HndsrWindows
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiling import IN_FLIGHT
from hndsr_ensemble.values import full_ranges, normalise
from hndsr_ensemble.windows import WindowBatch

NETWORKS = ("fno", "unet", "decoder")


@dataclass(frozen=True)
class BareFacts:
    """What runs the networks: windows of a batch, and batches at once."""

    engine: str
    device: str
    precision: str
    batch: int
    at_once: int


class Bare(Protocol):
    """The networks in this process."""

    facts: BareFacts

    def run(self, windows: Sequence[WindowBatch]) -> None:
        """FNO, UNet and decoder as often as windows need them, and nothing else; waits for the last."""


def load_bare(settings: ServingSettings | None = None) -> Bare:
    """The networks as the service runs them.

    Args:
        settings: the service's; None: those that the environment gives it, too.
    """
    chosen = settings or ServingSettings.from_environment()
    if engine_choice(chosen).engine == "torch":
        from gpu_engine import DeviceBare  # noqa: PLC0415 - torch is not part of every installation

        return DeviceBare(chosen)
    return CpuBare(chosen)


class CpuBare:
    """As many windows at once as the service runs, each alone in its batch; the last few one by one on all cores."""

    def __init__(self, settings: ServingSettings) -> None:
        self._networks = HndsrWindows(model_repository(), settings, streams=settings.cpu_threads)
        self._alone = HndsrWindows(model_repository(), settings)
        self._pool = ThreadPoolExecutor(IN_FLIGHT * settings.cpu_threads)
        facts = engine_facts(settings)
        self.facts = BareFacts(facts.name, facts.device, facts.precision, batch=1, at_once=settings.cpu_threads)

    def run(self, windows: Sequence[WindowBatch]) -> None:
        """All passes of all windows; what would leave half of the cores idle has all of them."""
        rest = len(windows) % self.facts.at_once
        side_by_side = len(windows) - (rest if 2 * rest <= self.facts.at_once else 0)
        for _ in self._pool.map(lambda window: _window(self._networks, window), windows[:side_by_side]):
            pass
        for window in windows[side_by_side:]:
            _window(self._alone, window)

    def run_one(self, network: str, windows: Sequence[WindowBatch]) -> None:
        """One pass of one network for each window."""
        for _ in self._pool.map(lambda window: self._pass(network, window), windows):
            pass

    def _pass(self, network: str, window: WindowBatch) -> None:
        """What latents hold does not matter to their time."""
        latent = np.zeros((1, 64, 64, 64), np.float32)
        scale, t = window.repeat(float(window.scale), np.float32), window.repeat(1.0, np.float32)
        inputs = {
            "fno": {"lr": window.lr, "scale": scale, "origin": window.origins},
            "unet": {"x": latent, "t": t, "prior": latent, "scale": scale},
            "decoder": {"latent": latent},
        }
        getattr(self._networks, network).run(inputs[network])


def _window(networks: HndsrWindows, window: WindowBatch) -> None:
    scale, t = window.repeat(float(window.scale), np.float32), window.repeat(1.0, np.float32)
    prior = networks.fno.run({"lr": window.lr, "scale": scale, "origin": window.origins})
    latent = prior
    for _ in range(window.options.steps):
        latent = networks.unet.run({"x": latent, "t": t, "prior": prior, "scale": scale})
    networks.decoder.run({"latent": latent})


def cut(pixels: np.ndarray, steps: int) -> list[WindowBatch]:
    """All windows of a square source at scale 4, each alone."""
    axis, ranges = axis_of(pixels.shape[0]), full_ranges(pixels.dtype)
    return [
        WindowBatch(
            normalise(pixels[np.ix_(axis.source_indices(row), axis.source_indices(column))], ranges)[None],
            np.array([[axis.window_start(row), axis.window_start(column)]], dtype=np.int64),
            axis.scale,
            Options(steps, 1.0, 0),
        )
        for row, column in product(range(axis.windows), repeat=2)
    ]
