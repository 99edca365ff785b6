"""One step and what is around it: rates, averages, rehearsals, budgets, checkpoints."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from hndsr_ensemble.training.average import Average
from hndsr_ensemble.training.budget import Clock, is_worth_compiling, stage_seconds, steps_within
from hndsr_ensemble.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    OtherConfigError,
    checkpoints_of,
    load_checkpoint,
    save_checkpoint,
)
from hndsr_ensemble.training.config import TrainingConfig, parse_config
from hndsr_ensemble.training.durable import replaced, write_text
from hndsr_ensemble.training.trainer import cosine, mean_losses

DECISIVE = {"seed": "0", "prior.batch": "32"}


def shares(minutes: float, **stages: float) -> TrainingConfig:
    tables = {name: {"share": share, "learning_rate": 1e-3} for name, share in stages.items()}
    return parse_config({"minutes": minutes, **tables}, source="test")


def checkpoint(step: int, **changes: Any) -> Checkpoint:
    facts = {"stage": "prior", "step": step, "steps": 9, "spent_s": 1.0, "decisive": DECISIVE}
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


def test_steps_fit_their_time_and_are_one_at_least() -> None:
    assert 0.9 * 1000 < steps_within(100.0, 0.1) <= 1000
    assert steps_within(0.0, 0.1) == 1


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
