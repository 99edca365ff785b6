"""Whether a stage is compiled: decided when it begins, kept when it goes on, and given up where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from hndsr_ensemble.training import budget, recipe
from hndsr_ensemble.training.batches import Batches
from hndsr_ensemble.training.budget import Clock
from hndsr_ensemble.training.checkpoint import Checkpoint
from hndsr_ensemble.training.config import TrainingConfig
from hndsr_ensemble.training.crops import CropSampler, Share
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.loop import Run
from hndsr_ensemble.training.pixels import ResidentPixels
from hndsr_ensemble.training.recipe import train
from hndsr_ensemble.training.run_folder import RunFolder
from hndsr_ensemble.training.stages import make_stage
from hndsr_ensemble.training.tracking import NoTracking
from hndsr_ensemble.training.trainer import Trainer

SHIPPED = Path(__file__).parents[3] / "model_repository"
CPU = torch.device("cpu")


class Willing(Execution):
    """Counts as compiled what it is told to compile."""

    def compile(self, module: nn.Module, *, dynamic: bool = False) -> None:
        """Nothing."""


class Broken(Execution):
    """Has a compiler that does not work."""

    def compile(self, module: nn.Module, *, dynamic: bool = False) -> None:
        """Fails when the module is called, as a compiler does."""

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("there is no compiler")

        module._compiled_call_impl = fail


def execution(kind: type[Execution], *, compiles: bool = True) -> Execution:
    return kind(CPU, Share(), is_bfloat16=False, compiles=compiles)


def long(toy: TrainingConfig) -> TrainingConfig:
    """With a first stage that is worth compiling."""
    steps = toy.autoencoder.model_copy(update={"steps": budget.COMPILED_FROM_STEPS})
    return toy.model_copy(update={"autoencoder": steps})


def begun(*, compiled: bool) -> Checkpoint:
    facts = {"stage": "autoencoder", "step": 1, "steps": 2, "spent_s": 0.0, "decisive": {}, "trainer": {}, "random": {}}
    return Checkpoint(**facts, compiled=compiled)


@pytest.fixture(autouse=True)
def few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "TRIED_BATCHES", 0)
    monkeypatch.setattr(recipe, "STATISTICS_BATCHES", 1)


def decided(config: TrainingConfig, one: Execution, folder: Path, found: Checkpoint | None) -> bool:
    run = Run(config, RunFolder(folder, folder), one, NoTracking(), Clock(0.0), {})
    pixels = ResidentPixels(read_manifest(config.data.manifest).images("train"), workers=1, device=CPU)
    sampler = CropSampler(pixels.sizes_px, config.data, batch=1, seed=0, stream="test")
    batches = Batches(pixels, sampler, config.data, share=Share(), device=CPU)
    trainer = Trainer(make_stage("autoencoder", config, folder), config.autoencoder, one)
    return recipe._compiled(run, "autoencoder", trainer, batches, found)


def test_stage_that_begins_is_compiled_if_it_pays(toy: TrainingConfig, tmp_path: Path) -> None:
    assert decided(long(toy), execution(Willing), tmp_path, None)
    assert not decided(toy, execution(Willing), tmp_path, None)


@pytest.mark.parametrize("compiled", [True, False])
def test_stage_that_goes_on_is_compiled_if_it_was(toy: TrainingConfig, tmp_path: Path, *, compiled: bool) -> None:
    config = toy if compiled else long(toy)
    assert decided(config, execution(Willing), tmp_path, begun(compiled=compiled)) is compiled


def test_stage_that_was_compiled_elsewhere_goes_on_without_and_says_so(
    toy: TrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not decided(toy, execution(Willing, compiles=False), tmp_path, begun(compiled=True))
    assert "goes on without compiling" in capsys.readouterr().err


def test_run_survives_a_compiler_that_fails(
    toy: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "COMPILED_FROM_STEPS", 0)
    left_out = {name: getattr(toy, name).model_copy(update={"steps": 0}) for name in ("autoencoder", "prior")}
    config = toy.model_copy(update={**left_out, "diffusion": toy.diffusion.model_copy(update={"steps": 1})})
    folder = RunFolder(tmp_path, tmp_path / "checkpoints")
    folder.begin(config, SHIPPED)
    train(config, folder, execution(Broken), NoTracking())
    assert "diffusion: goes on without compiling, which failed: RuntimeError: there is no" in capsys.readouterr().err
    assert json.loads(folder.facts.read_text())["stages"]["diffusion"]["compiled"] is False
