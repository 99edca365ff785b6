"""Each stage learns, trains what it should and nothing else, and measures what it says it measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights
from hndsr_ensemble.schedule import ddim
from hndsr_ensemble.training.batches import Batch, Batches
from hndsr_ensemble.training.config import STAGES, TrainingConfig
from hndsr_ensemble.training.crops import CropSampler, Draws, Share
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.pixels import ResidentPixels
from hndsr_ensemble.training.stages import DiffusionStage, Stage, make_stage
from hndsr_ensemble.training.stages.diffusion import diffusion_times
from hndsr_ensemble.training.starting import copy_weights
from hndsr_ensemble.training.trainer import Trainer

SHIPPED = Path(__file__).parents[3] / "model_repository"
CPU = Execution(torch.device("cpu"), Share(), is_bfloat16=False, compiles=False)
FALLS = {"autoencoder": 0.6, "prior": 0.75, "diffusion": 0.9}
"""What is left of the loss after some steps on one batch, at most."""
TRAINED = {
    "autoencoder": {"autoencoder.encoder", "autoencoder.decoder"},
    "prior": {"autoencoder.decoder", "fno"},
    "diffusion": {"unet"},
}
MakeStage = Callable[[str], Stage]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The shipped weights of all networks but those that a stage is to train."""
    copy_weights(SHIPPED, tmp_path)
    return tmp_path


@pytest.fixture
def make(toy: TrainingConfig, weights: Path) -> MakeStage:
    """A stage whose own networks begin at random."""

    def one(name: str) -> Stage:
        own = {"autoencoder": "autoencoder", "prior": "fno", "diffusion": "unet"}[name]
        (weights / f"{own}.safetensors").unlink()
        torch.manual_seed(0)
        return make_stage(name, toy, weights)

    return one


@pytest.fixture(scope="module")
def pixels(manifest: Path) -> ResidentPixels:
    return ResidentPixels(read_manifest(manifest).images("train"), workers=1, device=CPU.device)


@pytest.fixture
def batches(toy: TrainingConfig, pixels: ResidentPixels) -> Batches:
    sampler = CropSampler(pixels.sizes_px, toy.data, batch=2, seed=0, stream="test")
    return Batches(pixels, sampler, toy.data, share=Share(), device=CPU.device)


def first(batches: Batches) -> Batch:
    return next(batches.between(0, 1))


@pytest.mark.parametrize("name", STAGES)
def test_stage_lowers_its_loss(make: MakeStage, toy: TrainingConfig, batches: Batches, name: str) -> None:
    stage, batch = make(name), first(batches)
    stage.measure_before([batch])
    trainer = Trainer(stage, toy.stage(name), CPU)
    losses = [float(trainer.step(step, batch, learning_rate=1e-3)["loss"]) for step in range(12)]
    assert losses[-1] < FALLS[name] * losses[0]


def test_autoencoder_stage_reads_no_source_images(make: MakeStage, batches: Batches) -> None:
    stage, batch = make("autoencoder"), first(batches)
    assert not stage.reads_sources
    assert stage(replace(batch, lr=batch.lr[..., :0, :0]))["loss"] == stage(batch)["loss"]


@pytest.mark.parametrize("name", STAGES)
def test_stage_trains_what_it_should_and_nothing_else(
    make: MakeStage, toy: TrainingConfig, batches: Batches, name: str
) -> None:
    stage = make(name)
    before = {key: value.clone() for key, value in stage.state_dict().items()}
    Trainer(stage, toy.stage(name), CPU).step(0, first(batches), learning_rate=1e-3)
    changed = [key for key, value in stage.state_dict().items() if not torch.equal(value, before[key])]
    assert all(any(key.startswith(part) for part in TRAINED[name]) for key in changed)
    assert {part for part in TRAINED[name] if any(key.startswith(part) for key in changed)} == TRAINED[name]


def test_autoencoder_stage_standardises_the_latents_it_measured(make: MakeStage, batches: Batches) -> None:
    stage = make("autoencoder")
    autoencoder = stage.networks()["autoencoder"]
    images = first(batches).hr
    with torch.no_grad():
        before = autoencoder(images)
        stage.measure_after([first(batches)])
        latent = autoencoder.encode(images)
        assert latent.mean(dim=(0, 2, 3)).abs().max() < 1e-3
        assert (latent.std(dim=(0, 2, 3), unbiased=False) - 1).abs().max() < 1e-3
        torch.testing.assert_close(autoencoder(images), before, rtol=0, atol=1e-4)


def test_diffusion_stage_measures_the_residuals_deviation(make: MakeStage, batches: Batches, weights: Path) -> None:
    stage, batch = make("diffusion"), first(batches)
    with torch.no_grad():
        stage.measure_before([batch])
        autoencoder = load_weights(Autoencoder(), weights / "autoencoder.safetensors")
        fno = load_weights(FNO(), weights / "fno.safetensors")
        latent = autoencoder.encode(batch.hr)
        prior = fno(batch.lr, batch.scale, batch.origin, (latent.shape[2], latent.shape[3]))
    expected = (latent - prior).std(dim=(0, 2, 3), unbiased=False)
    torch.testing.assert_close(stage.networks()["unet"].residual_std.flatten(), expected, rtol=1e-4, atol=1e-6)


def test_unet_that_is_trained_on_keeps_the_scale_that_it_knows(toy: TrainingConfig, weights: Path) -> None:
    stage = make_stage("diffusion", toy, weights)
    before = stage.networks()["unet"].residual_std.clone()
    stage.measure_before([])
    torch.testing.assert_close(stage.networks()["unet"].residual_std, before, rtol=0, atol=0)


class KnownVelocity(torch.nn.Module):
    """Answers with the velocity of one residual, whatever noise it is given."""

    residual_std = torch.ones(1, 64, 1, 1)

    def __init__(self, x0: torch.Tensor) -> None:
        super().__init__()
        self.x0 = x0

    def forward(self, x: torch.Tensor, t: torch.Tensor, prior: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """From x = α·x₀ + σ·ε follows ε, and from that v = α·ε - σ·x₀."""
        alpha, sigma = torch.cos(t * math.pi / 2)[:, None, None, None], torch.sin(t * math.pi / 2)[:, None, None, None]
        return alpha * (x - alpha * self.x0) / sigma.clamp(min=1e-3) - sigma * self.x0


def test_diffusion_loss_vanishes_for_the_true_velocity(make: MakeStage, batches: Batches) -> None:
    stage, batch = make("diffusion"), first(batches)
    assert isinstance(stage, DiffusionStage)
    residual, _ = stage._residual(batch)
    stage.unet = KnownVelocity(residual)
    with torch.no_grad():
        assert float(stage(batch)["loss"]) < 1e-6


def test_true_velocity_is_what_the_sampler_integrates() -> None:
    x0 = torch.randn(1, 64, 4, 4, generator=torch.Generator().manual_seed(1))
    known, scale = KnownVelocity(x0), torch.tensor([4.0])

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return known(torch.from_numpy(x), torch.tensor([t]), x0, scale).numpy()

    noise = torch.randn(1, 64, 4, 4, generator=torch.Generator().manual_seed(2)).numpy()
    np.testing.assert_allclose(ddim(velocity, noise, 5), x0.numpy(), atol=1e-4)


def test_diffusion_times_are_one_for_a_share_and_uniform_else() -> None:
    times = diffusion_times(Draws(1, 20_000, Share(), CPU.device), 0.1)
    rest = times[times < 1]
    assert float((times == 1).float().mean()) == pytest.approx(0.1, abs=0.01)
    assert float(rest.mean()) == pytest.approx(0.5, abs=0.01)


def test_stage_computes_in_bfloat16_but_keeps_its_weights(
    make: MakeStage, toy: TrainingConfig, batches: Batches
) -> None:
    stage, batch = make("prior"), first(batches)
    half = Execution(CPU.device, Share(), is_bfloat16=True, compiles=False)
    full_loss = float(Trainer(stage, toy.prior, CPU).validate([batch])["loss"])
    trainer = Trainer(stage, toy.prior, half)
    assert trainer.validate([batch])["loss"] == pytest.approx(full_loss, rel=0.02)
    trainer.step(0, batch, learning_rate=1e-3)
    assert {parameter.dtype for parameter in stage.parameters()} == {torch.float32}


def test_unet_begins_with_given_weights(toy: TrainingConfig, weights: Path) -> None:
    stage = make_stage("diffusion", toy, weights)
    expected = load_weights(UNet(), weights / "unet.safetensors").state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in stage.networks()["unet"].state_dict().items())


def test_rehearsal_leaves_everything_as_it_was(make: MakeStage, toy: TrainingConfig, batches: Batches) -> None:
    stage = make("prior")
    before = {key: value.clone() for key, value in stage.state_dict().items()}
    trainer = Trainer(stage, toy.prior, CPU)
    trainer.rehearse(batches.between(0, 2))
    assert all(torch.equal(value, before[key]) for key, value in stage.state_dict().items())
    assert trainer.state()["optimizer"]["state"] == {}


def test_trainer_clips_the_gradient(make: MakeStage, toy: TrainingConfig, batches: Batches) -> None:
    stage = make("autoencoder")
    config = toy.autoencoder.model_copy(update={"clip_norm": 1e-3})
    Trainer(stage, config, CPU).step(0, first(batches), learning_rate=1e-3)
    norms = [parameter.grad.norm() for parameter in stage.parameters() if parameter.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(1e-3, rel=1e-3)
