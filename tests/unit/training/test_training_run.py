"""A whole run at toy size: files, resumption, begun weights, refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights, read_weights
from hndsr_ensemble.training.command import main
from hndsr_ensemble.training.config import STAGES, TrainingConfig
from hndsr_ensemble.training.run_folder import RunFolder

SHIPPED = Path(__file__).parents[3] / "model_repository"


def train(into: Path, config: TrainingConfig, *arguments: str) -> int:
    file = into.with_suffix(".toml")
    file.write_text(config.to_toml())
    return main(["run", "--into", str(into), "--config", str(file), "--device", "cpu", *arguments])


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status of a process, and what it said."""
    _, said = process.communicate()
    return process.returncode, said


def equal_files(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def equal_weights(one: Path, other: Path) -> bool:
    pairs = [(load_file(one / f"weights/{name}.safetensors"), name) for name in ("autoencoder", "fno", "unet")]
    return all(
        torch.equal(tensor, load_file(other / f"weights/{name}.safetensors")[key])
        for tensors, name in pairs
        for key, tensor in tensors.items()
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Path:
    """A run of all stages that was never interrupted."""
    into = tmp_path_factory.mktemp("runs") / "finished"
    assert finish(begun(into, manifest))[0] == 0
    return into


def begun(into: Path, manifest: Path) -> subprocess.Popen[str]:
    """A process that trains 4 steps of each stage, a checkpoint after each."""
    file = into.with_suffix(".toml")
    file.write_text(RECIPE.format(manifest=manifest))
    command = [sys.executable, "-m", "hndsr_ensemble.training", "run", "--into", str(into), "--config", str(file)]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "--device", "cpu"], env=threads, stderr=subprocess.PIPE, text=True)


RECIPE = """
[data]
manifest = "{manifest}"
crop_px = 64
lr_px_min = 16
lr_px_max = 32
max_origin_px = 16
[autoencoder]
steps = 4
batch = 2
learning_rate = 1e-3
ema_decay = 0
[prior]
steps = 4
batch = 2
learning_rate = 6e-4
[diffusion]
steps = 4
batch = 2
learning_rate = 8e-4
[log]
every_steps = 2
validation_batches = 1
[checkpoints]
every_steps = 1
[tracking]
mode = "off"
"""


def test_run_leaves_weights_that_the_networks_load(finished: Path) -> None:
    for network, name in ((Autoencoder(), "autoencoder"), (FNO(), "fno"), (UNet(), "unet")):
        load_weights(network, finished / f"weights/{name}.safetensors")


def test_run_measures_the_statistics_of_latents_and_residuals(finished: Path) -> None:
    autoencoder = read_weights(finished / "weights/autoencoder.safetensors")
    residual_std = read_weights(finished / "weights/unet.safetensors")["residual_std"]
    assert not torch.allclose(autoencoder["latent_std"], torch.ones(()))
    assert not torch.allclose(autoencoder["latent_mean"], torch.zeros(()))
    assert (residual_std > 0).all()
    assert not torch.allclose(residual_std, torch.ones(()))


def test_run_logs_every_stage_with_its_rate_and_speed(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    steps = [(line["stage"], line["step"]) for line in lines if "loss" in line]
    assert steps == [(stage, step) for stage in STAGES for step in (2, 4)]
    assert all({"learning_rate", "images_per_s"} <= line.keys() for line in lines if "loss" in line)


def test_run_says_what_became_of_it(finished: Path) -> None:
    facts = json.loads((finished / "run.json").read_text())
    assert list(facts["stages"]) == list(STAGES)
    assert facts["images"] == {"train": 9, "val": 3}
    assert facts["weights"].keys() == {"autoencoder", "fno", "unet"}
    assert facts["seen_before"] == 0
    assert facts["stages"]["prior"]["validation"]["psnr_db"] > 0


def test_run_keeps_two_checkpoints_of_each_stage(finished: Path) -> None:
    names = sorted(path.name for path in (finished / "checkpoints").iterdir())
    assert names == sorted(f"{stage}-{step:09d}.pt" for stage in STAGES for step in (3, 4))


@pytest.mark.parametrize(
    "killed_at",
    [
        pytest.param("autoencoder 4/4", marks=pytest.mark.slow),
        "prior 2/4",
        pytest.param("diffusion 2/4", marks=pytest.mark.slow),
    ],
)
def test_run_gives_the_same_bits_when_it_was_killed_and_resumed(
    finished: Path, tmp_path: Path, manifest: Path, killed_at: str
) -> None:
    into = tmp_path / "killed"
    process = begun(into, manifest)
    assert process.stderr
    assert any(line.startswith(killed_at) for line in process.stderr)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    status, said = finish(begun(into, manifest))
    assert status == 0
    assert f"{killed_at.split(maxsplit=1)[0]}: goes on after step" in said
    assert equal_weights(finished, into)


def test_run_that_is_finished_does_nothing_when_run_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "log.jsonl").read_bytes()
    assert main(["run", "--into", str(finished), "--device", "cpu"]) == 0
    assert (finished / "log.jsonl").read_bytes() == before


def test_run_refuses_a_folder_of_another_configuration_naming_the_fields(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ["--set", "prior.learning_rate=1e-5", "--set", "seed=4"]
    assert main(["run", "--into", str(finished), "--device", "cpu", *changed]) == 2
    assert "differs in prior.learning_rate, seed" in capsys.readouterr().err


def test_run_takes_a_field_without_influence_when_resumed(finished: Path) -> None:
    assert main(["run", "--into", str(finished), "--device", "cpu", "--set", "log.every_steps=7"]) == 0


def test_run_begins_with_given_weights(tmp_path: Path, toy: TrainingConfig) -> None:
    into = tmp_path / "run"
    assert train(into, toy, "--stages", "diffusion", "--from", str(SHIPPED)) == 0
    assert sorted(path.name for path in (into / "weights").iterdir()) == [
        "autoencoder.safetensors",
        "fno.safetensors",
        "unet.safetensors",
    ]
    assert equal_files(into / "weights/fno.safetensors", SHIPPED / "fno/1/weights.safetensors")
    assert not equal_files(into / "weights/unet.safetensors", SHIPPED / "unet/1/weights.safetensors")


def test_run_refuses_a_stage_without_what_it_builds_on(
    tmp_path: Path, toy: TrainingConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", toy, "--stages", "prior") == 2
    assert "prior needs autoencoder.safetensors" in capsys.readouterr().err


def test_run_puts_checkpoints_where_it_is_told(tmp_path: Path, toy: TrainingConfig) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert train(tmp_path / "run", toy, "--stages", "autoencoder", "--checkpoints", str(elsewhere)) == 0
    assert [path.name for path in elsewhere.iterdir()] != []
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.slow
def test_run_fits_its_stages_into_the_minutes(tmp_path: Path, toy: TrainingConfig) -> None:
    into = tmp_path / "run"
    whole = ["--set", "autoencoder.share=1", "--stages", "autoencoder"]
    assert train(into, toy, "--minutes", "0.5", *whole) == 0
    stage = json.loads((into / "run.json").read_text())["stages"]["autoencoder"]
    assert stage["steps"] > 1
    assert json.loads((into / "log.jsonl").read_text().splitlines()[-1])["steps"] == stage["steps"]


def test_run_without_time_for_a_step_says_what_to_do(
    tmp_path: Path, toy: TrainingConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    into, whole = tmp_path / "run", ["--set", "autoencoder.share=1", "--stages", "autoencoder"]
    assert train(into, toy, "--minutes", "1e-6", *whole) == 2
    assert re.search(r"autoencoder has 0\.0 s left and a step .* --minutes, .* \S+steps=0", capsys.readouterr().err)
    assert not (into / "checkpoints").exists()
    assert json.loads((into / "run.json").read_text()).get("stages", {}) == {}


def test_run_is_refused_while_another_trains_into_its_folder(
    tmp_path: Path, toy: TrainingConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "run"
    with RunFolder(into, into / "checkpoints").locked():
        assert train(into, toy) == 2
    assert "another process trains into" in capsys.readouterr().err


def test_run_refuses_a_broken_weights_file(
    tmp_path: Path, toy: TrainingConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "weights"
    source.mkdir()
    (source / "autoencoder.safetensors").write_bytes(b"nothing of the kind")
    assert train(tmp_path / "run", toy, "--stages", "autoencoder", "--from", str(source)) == 2
    assert "does not hold this network's weights" in capsys.readouterr().err


def test_run_stops_when_it_diverges(tmp_path: Path, toy: TrainingConfig, capsys: pytest.CaptureFixture[str]) -> None:
    absurd = ["--set", "autoencoder.learning_rate=1", "--set", "autoencoder.steps=40"]
    weights = ["--set", "autoencoder.clip_norm=1e30", "--set", "autoencoder.latent_noise=1"]
    status = train(tmp_path / "run", toy, "--stages", "autoencoder", *absurd, *weights)
    assert (status, "diverged" in capsys.readouterr().err) == (2, True)
