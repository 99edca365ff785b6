"""One step and what is around it: rates, averages, rehearsals, budgets, checkpoints."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from hndsr_ensemble.training.average import Average
from hndsr_ensemble.training.batches import Batch, Batches
from hndsr_ensemble.training.budget import Clock, NoTimeError, is_worth_compiling, rehearse, stage_seconds, steps_within
from hndsr_ensemble.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    OtherConfigError,
    checkpoints_of,
    load_checkpoint,
    save_checkpoint,
)
from hndsr_ensemble.training.config import TrainingConfig, parse_config
from hndsr_ensemble.training.crops import CropSampler, Share
from hndsr_ensemble.training.durable import locked, replaced, write_text
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.loop import DivergedError, Loop, Run
from hndsr_ensemble.training.pixels import ResidentPixels
from hndsr_ensemble.training.recipe import _planned
from hndsr_ensemble.training.run_folder import NonFiniteWeightsError, RunFolder
from hndsr_ensemble.training.stages import Compiler, Losses, Stage
from hndsr_ensemble.training.tracking import NoTracking
from hndsr_ensemble.training.trainer import Trainer, cosine, mean_losses

CPU = Execution(torch.device("cpu"), Share(), is_bfloat16=False, compiles=False)
DECISIVE = {"seed": "0", "prior.batch": "32"}


def shares(minutes: float, **stages: float) -> TrainingConfig:
    tables = {name: {"share": share, "learning_rate": 1e-3} for name, share in stages.items()}
    return parse_config({"minutes": minutes, **tables}, source="test")


def checkpoint(step: int, **changes: Any) -> Checkpoint:
    facts = {"stage": "prior", "step": step, "steps": 9, "spent_s": 1.0, "decisive": DECISIVE, "compiled": False}
    return Checkpoint(**{**facts, "trainer": {"weight": torch.full((3,), float(step))}, "random": {}, **changes})


def test_rate_falls_from_its_peak_to_nothing() -> None:
    rates = [cosine(2.0, step, 10) for step in range(11)]
    assert rates[0] == 2.0
    assert rates[5] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(0.0)
    assert rates == sorted(rates, reverse=True)


def test_average_follows_the_parameters_quickly_at_first_and_slowly_later() -> None:
    parameter = torch.zeros(1)
    average = Average([parameter], 0.9)
    parameter += 1
    average.update(0)
    with average.applied():
        assert float(parameter) == pytest.approx(0.9)
    average.update(10_000)
    with average.applied():
        assert float(parameter) == pytest.approx(0.91)
    assert float(parameter) == 1


def test_average_without_decay_is_the_parameters_themselves() -> None:
    parameter = torch.ones(1)
    average = Average([parameter], 0.0)
    parameter += 1
    average.update(0)
    average.settle()
    assert (float(parameter), average.state()) == (2.0, {})


def test_average_comes_back_from_a_checkpoint() -> None:
    parameter = torch.zeros(2)
    average, other = Average([parameter], 0.9), Average([parameter], 0.9)
    parameter += 1
    average.update(3)
    other.load(average.state())
    other.settle()
    assert torch.allclose(parameter, torch.tensor(1 - 4 / 13))


def test_mean_losses_are_means_with_a_psnr() -> None:
    found = mean_losses([{"loss": torch.tensor(one), "pixel_mse": torch.tensor(0.04)} for one in (1.0, 3.0)])
    assert found == pytest.approx({"loss": 2.0, "pixel_mse": 0.04, "psnr_db": 20.0})


def test_budget_gives_each_stage_its_share_of_what_is_left() -> None:
    config = shares(10.0, autoencoder=0.1, prior=0.6, diffusion=0.3)
    assert stage_seconds(config, "autoencoder", 0.0) == pytest.approx(60)
    assert stage_seconds(config, "prior", 60.0) == pytest.approx(360)
    assert stage_seconds(config, "diffusion", 500.0) == pytest.approx(100)
    assert stage_seconds(config, "diffusion", 700.0) == 0


def test_budget_is_not_asked_by_a_stage_of_given_steps(toy: TrainingConfig) -> None:
    assert stage_seconds(toy, "prior", 0.0) is None


@pytest.mark.parametrize(("minutes", "pays"), [(4.0, False), (40.0, True)])
def test_compiling_pays_for_long_stages(minutes: float, *, pays: bool) -> None:
    assert is_worth_compiling(shares(minutes, autoencoder=0.2, prior=0.4, diffusion=0.4), "prior", 0.0) is pays


def test_steps_fit_their_time() -> None:
    assert 0.9 * 1000 < steps_within(100.0, 0.1) <= 1000
    assert steps_within(0.05, 0.1) == 0


class Watched(Stage):
    """A stage of one weight that remembers the sides of the targets it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.with_gradients, self.without = set[int](), set[int]()

    def forward(self, batch: Batch) -> Losses:
        """The weight's square."""
        (self.with_gradients if torch.is_grad_enabled() else self.without).add(batch.hr.shape[-1])
        return {"loss": self.weight.square().sum()}

    def compile_parts(self, compiler: Compiler) -> None:
        """None."""

    def networks(self) -> dict[str, torch.nn.Module]:
        """None."""
        return {}


@pytest.fixture
def batches(toy: TrainingConfig) -> Batches:
    pixels = ResidentPixels(read_manifest(toy.data.manifest).images("train"), workers=1, device=CPU.device)
    sampler = CropSampler(pixels.sizes_px, toy.data, batch=1, seed=0, stream="test")
    return Batches(pixels, sampler, toy.data, share=Share(), device=CPU.device)


def test_rehearsal_sees_every_size_of_target_with_and_without_gradients(toy: TrainingConfig, batches: Batches) -> None:
    stage = Watched()
    rehearse(Trainer(stage, toy.prior, CPU), batches, CPU)
    assert (stage.with_gradients, stage.without) == ({64, 48}, {64, 48})


def planned(toy: TrainingConfig, folder: Path, batches: Batches, *, spent_s: float) -> int:
    timed = toy.prior.model_copy(update={"steps": None, "share": 1.0})
    config = toy.model_copy(update={"minutes": 2.0, "prior": timed})
    run = Run(config, RunFolder(folder, folder), CPU, NoTracking(), Clock(spent_s), {})
    return _planned(run, "prior", Trainer(Watched(), timed, CPU), batches, spent_s)


def test_stage_plans_as_many_steps_as_fit_its_time(toy: TrainingConfig, tmp_path: Path, batches: Batches) -> None:
    assert planned(toy, tmp_path, batches, spent_s=0.0) > 1


def test_stage_without_time_for_a_step_is_refused(toy: TrainingConfig, tmp_path: Path, batches: Batches) -> None:
    with pytest.raises(NoTimeError, match=r"prior has 0\.0 s left"):
        planned(toy, tmp_path, batches, spent_s=120.0)


def test_attempt_changes_nothing(toy: TrainingConfig, batches: Batches) -> None:
    stage = Watched()
    Trainer(stage, toy.prior, CPU).attempt(batches.between(0, 2))
    assert (stage.weight.detach().item(), stage.weight.grad) == (1.0, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_trainer_knows_weights_and_averages_that_are_no_numbers(toy: TrainingConfig, value: float) -> None:
    trainer = Trainer(Watched(), toy.prior, CPU)
    assert trainer.is_finite
    trainer.average.state()["0"].fill_(value)
    assert not trainer.is_finite


def test_weights_that_are_no_numbers_get_into_no_checkpoint(
    toy: TrainingConfig, tmp_path: Path, batches: Batches
) -> None:
    trainer = Trainer(Watched(), toy.prior, CPU)
    run = Run(toy, RunFolder(tmp_path, tmp_path), CPU, NoTracking(), Clock(0.0), {})
    loop = Loop(run, "prior", 9, trainer, batches, None, compiled=False)
    loop.save(1)
    with torch.no_grad():
        trainer.stage.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="diverged before step 2"):
        loop.save(2)
    assert [path.name for path in checkpoints_of(tmp_path, "prior")] == ["prior-000000001.pt"]


def test_weights_that_half_precision_does_not_hold_are_not_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tmp_path)
    folder.save_weights({"fno": torch.nn.Linear(32, 32)})
    before = (folder.weights / "fno.safetensors").read_bytes()
    large = torch.nn.Linear(32, 32)
    torch.nn.init.constant_(large.weight, 1e6)
    with pytest.raises(NonFiniteWeightsError, match="fno"):
        folder.save_weights({"fno": large})
    assert (folder.weights / "fno.safetensors").read_bytes() == before


def test_clock_counts_what_earlier_processes_spent() -> None:
    clock = Clock(100.0)
    assert 100 <= clock.spent_s < 110
    clock.resume_at(150.0)
    assert 150 <= clock.spent_s < 160


def test_newest_checkpoint_is_read_and_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, checkpoint(step))
    found = load_checkpoint(tmp_path, "prior", DECISIVE)
    assert found is not None
    assert (found.step, found.steps, float(found.trainer["weight"][0])) == (10, 9, 10.0)
    assert [path.name for path in checkpoints_of(tmp_path, "prior")] == ["prior-000000002.pt", "prior-000000010.pt"]


def test_checkpoints_of_other_stages_are_left_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1, stage="diffusion"))
    assert load_checkpoint(tmp_path, "prior", DECISIVE) is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a file", pickle.dumps(print, protocol=2)])
def test_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: bytes) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    save_checkpoint(tmp_path, checkpoint(2)).write_bytes(damage)
    found = load_checkpoint(tmp_path, "prior", DECISIVE)
    assert found is not None
    assert found.step == 1


def test_damaged_checkpoints_alone_are_an_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1)).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="prior-000000001"):
        load_checkpoint(tmp_path, "prior", DECISIVE)


def test_checkpoint_of_another_configuration_is_refused_naming_the_fields(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1))
    with pytest.raises(OtherConfigError, match=r"differs in prior\.batch, prior\.clip_norm;"):
        load_checkpoint(tmp_path, "prior", {"seed": "0", "prior.batch": "16", "prior.clip_norm": "1.0"})


def break_off(path: Path) -> None:
    """Stop while writing."""
    with replaced(path) as beside:
        beside.write_text("half")
        raise KeyError


def test_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    write_text(path, "old")
    with pytest.raises(KeyError):
        break_off(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", ".lock"])
def test_lock_keeps_others_out_until_it_is_given_back(tmp_path: Path, name: str) -> None:
    busy = KeyError("busy")
    with locked(tmp_path / name, busy), pytest.raises(KeyError, match="busy"), locked(tmp_path / name, busy):
        pass
    with locked(tmp_path / name, busy):
        pass
