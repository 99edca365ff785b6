"""What is recorded of a tile that is made on a device, here the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from traces import Span, misplaced, named, spans_of, tree, window_tree
from unit.ensemble.tile_cases import random_picture

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.diffusion import read_residual_std
from hndsr_ensemble.engines.torch import TorchTiler, TorchWindows
from hndsr_ensemble.engines.torch.windows import Networks
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.recording import Recording
from hndsr_ensemble.tiles import CancelledTileError

PICTURE = random_picture(size=(70, 80), window_px=256, stride_px=224, halo_px=0, options=Options(2, 1.0, 0))
"""An image of 2 × 2 windows, drawn in two steps."""


class Fno(nn.Module):
    """Priors of one value a window."""

    def forward(self, lr: Tensor, scale: Tensor, origin: Tensor, size: tuple[int, int]) -> Tensor:
        """Run."""
        return (lr.mean(dim=(1, 2, 3)) / scale + origin.sum(dim=1))[:, None, None, None].expand(-1, 64, *size)


class Unet(nn.Module):
    """Velocities that depend on everything."""

    def __init__(self, residual_std: Tensor) -> None:
        super().__init__()
        self.residual_std = residual_std

    def forward(self, x: Tensor, time: Tensor, prior: Tensor, scale: Tensor) -> Tensor:
        """Run."""
        return x * (time / scale)[:, None, None, None] + prior


class Decoder(nn.Module):
    """Three channels, each latent as a square of pixels."""

    def decode(self, latent: Tensor) -> Tensor:
        """Run."""
        return latent[:, :3].tanh().repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


@pytest.fixture
def tiler(repository: Path, hndsr: Manifest) -> TorchTiler:
    """With networks that take no time, in batches of three."""
    std = torch.from_numpy(read_residual_std(repository / "unet/1/weights.safetensors"))
    windows = TorchWindows(Networks(Fno(), Unet(std), Decoder()), torch.device("cpu"), batch=3)
    return TorchTiler(hndsr, revision="", windows=windows, cache=WindowCache(0))


def recorded(tiler: TorchTiler) -> list[Span]:
    with Recording("tile") as recording:
        tiler.run(PICTURE.tile(PICTURE.whole), cancelled=lambda: False)
    return spans_of(recording.text())


def test_torch_tile_has_its_batches_and_these_their_networks(tiler: TorchTiler) -> None:
    batches = [window_tree("fno", "ddim", "decoder")] * 2
    assert tree(recorded(tiler)) == ("tile", [*batches, ("blend", [])])


def test_torch_spans_lie_within_their_parents(tiler: TorchTiler) -> None:
    assert misplaced(recorded(tiler)) == []


def test_torch_batch_says_how_many_windows_of_the_tile_it_has(tiler: TorchTiler) -> None:
    assert [each["attributes"]["hndsr.batch"] for each in named("windows", recorded(tiler))] == [3, 1]


def test_torch_ddim_has_an_event_for_each_step(tiler: TorchTiler) -> None:
    spans = named("ddim", recorded(tiler))
    steps = [[step["attributes"]["hndsr.step"] for step in ddim["events"]] for ddim in spans]
    assert (steps, [ddim["attributes"] for ddim in spans]) == ([[1, 2]] * 2, [{"hndsr.steps": 2}] * 2)


def test_torch_tile_has_the_same_bytes_when_it_is_recorded(tiler: TorchTiler) -> None:
    tile = PICTURE.tile(PICTURE.whole)
    with Recording("tile"):
        one = tiler.run(tile, cancelled=lambda: False)
    assert one.pixels.tobytes() == tiler.run(tile, cancelled=lambda: False).pixels.tobytes()


def test_torch_tile_is_cancelled_as_ever_when_it_is_recorded(tiler: TorchTiler) -> None:
    with pytest.raises(CancelledTileError), Recording("tile"):
        tiler.run(PICTURE.tile(PICTURE.whole), cancelled=lambda: True)
