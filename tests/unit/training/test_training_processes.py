"""Two processes that share the work compute what one computes alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hndsr_ensemble.training.config import TrainingConfig
from hndsr_ensemble.training.crops import Share
from hndsr_ensemble.training.execution import (
    BatchError,
    DeviceError,
    Execution,
    mean_of_all,
    open_execution,
)

ALONE = [sys.executable, "-m"]
TWO = [*ALONE, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def losses(into: Path) -> list[tuple[str, int, float]]:
    lines = [json.loads(line) for line in (into / "log.jsonl").read_text().splitlines()]
    return [(line["stage"], line["step"], line["loss"]) for line in lines if "loss" in line]


def run(launcher: list[str], into: Path, config: TrainingConfig) -> Path:
    file = into.with_suffix(".toml")
    file.write_text(config.to_toml())
    arguments = ["hndsr_ensemble.training", "run", "--into", str(into), "--config", str(file), "--device", "cpu"]
    subprocess.run([*launcher, *arguments], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return into


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path, toy: TrainingConfig) -> None:
    one, two = run(ALONE, tmp_path / "one", toy), run(TWO, tmp_path / "two", toy)
    assert len(losses(one)) == 6
    for alone, shared in zip(losses(one), losses(two), strict=True):
        assert shared[:2] == alone[:2]
        assert shared[2] == pytest.approx(alone[2], abs=1e-5)
    weights = (load_file(run / "weights/fno.safetensors") for run in (one, two))
    for first, second in zip(*(tensors.values() for tensors in weights), strict=True):
        # Halves of a batch round differently, and Adam's first steps turn the sign of a tiny gradient into a whole one.
        assert (first.float() - second.float()).abs().mean() < 1e-5


def test_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    execution = Execution(torch.device("cpu"), Share(0, 2), is_bfloat16=False, compiles=False)
    with pytest.raises(BatchError, match=r"prior\.batch is 3, which 2 processes"):
        execution.require_even("prior", 3)


def test_mean_of_all_is_the_value_itself_in_one_process() -> None:
    assert float(mean_of_all(torch.tensor(3.0))) == 3.0


def test_execution_without_torchrun_is_one_process_in_float32_on_the_cpu(toy: TrainingConfig) -> None:
    with open_execution(toy, "cpu", {}) as execution:
        assert execution.is_first
        assert (execution.device.type, execution.is_bfloat16, execution.compiles) == ("cpu", False, False)


def test_fewer_gpus_than_processes_are_refused_unless_there_is_none(
    toy: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {"LOCAL_WORLD_SIZE": "2"}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="2 cuda devices are needed"), open_execution(toy, "auto", two):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with open_execution(toy, "auto", two) as execution:
        assert execution.device.type == "cpu"


def test_images_may_take_on_the_cpu_what_the_configuration_says(toy: TrainingConfig) -> None:
    with open_execution(toy, "cpu", {}) as execution:
        assert execution.room_for_images(7) == 7 * 2**20


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_refused(toy: TrainingConfig) -> None:
    with pytest.raises(DeviceError, match="1 cuda devices are needed"), open_execution(toy, "cuda", {}):
        pass
