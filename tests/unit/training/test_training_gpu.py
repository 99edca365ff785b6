"""What only a GPU shows: the same batches as on the CPU, bfloat16, compiled parts, and a resumption to the bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hndsr_ensemble.training.batches import Batch, Batches
from hndsr_ensemble.training.command import main
from hndsr_ensemble.training.config import TrainingConfig
from hndsr_ensemble.training.crops import CropSampler, Share
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.pixels import ResidentPixels

SHIPPED = Path(__file__).parents[3] / "model_repository"
COMPILING = """
import sys
from hndsr_ensemble.training import budget
from hndsr_ensemble.training.command import main
budget.COMPILED_FROM_STEPS = 0
sys.exit(main(sys.argv[1:]))
"""
"""A process of its own, since the compiler cannot look through annotations that are checked."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore"),
]


def batches(config: TrainingConfig, device: torch.device) -> Batches:
    pixels = ResidentPixels(read_manifest(config.data.manifest).images("train"), workers=1, device=device)
    sampler = CropSampler(pixels.sizes_px, config.data, batch=2, seed=0, stream="test")
    return Batches(pixels, sampler, config.data, share=Share(), device=device)


def levels(images: torch.Tensor) -> torch.Tensor:
    return ((images.cpu() + 1) * 127.5).round()


def test_gpu_makes_the_batches_of_the_cpu(toy: TrainingConfig) -> None:
    made = [batches(toy, torch.device(kind)).between(0, 8) for kind in ("cpu", "cuda")]
    pairs: list[tuple[Batch, Batch]] = list(zip(*made, strict=True))
    for one, other in pairs:
        assert torch.equal(levels(one.hr), levels(other.hr))
        assert torch.equal(levels(one.lr), levels(other.lr))
        torch.testing.assert_close(one.origin, other.origin.cpu())


@pytest.mark.parametrize("degradation", ["bicubic", "realistic"])
def test_gpu_makes_batches_without_waiting(toy: TrainingConfig, degradation: str) -> None:
    config = toy.model_copy(update={"data": toy.data.model_copy(update={"degradation": degradation})})
    made = batches(config, torch.device("cuda"))
    list(made.between(0, 64))
    torch.cuda.set_sync_debug_mode("error")
    try:
        list(made.between(0, 64))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["autoencoder", "prior", "diffusion"])
def test_gpu_compiles_a_stage_without_changing_its_losses(name: str, toy: TrainingConfig, tmp_path: Path) -> None:
    file = tmp_path / "toy.toml"
    file.write_text(toy.to_toml())
    found = {}
    for mode in ("off", "auto"):
        into = tmp_path / mode
        recipe = ["--config", str(file), "--stages", name, "--from", str(SHIPPED), "--set", f"compile={mode}"]
        command = [sys.executable, "-c", COMPILING, "run", "--into", str(into), "--device", "cuda", *recipe]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ran.returncode, "without compiling" in ran.stderr) == (0, False), ran.stderr
        lines = map(json.loads, (into / "log.jsonl").read_text().splitlines())
        found[mode] = [line["loss"] for line in lines if "loss" in line]
    assert found["auto"] == pytest.approx(found["off"], rel=0.02)


def test_gpu_run_gives_the_same_bits_when_resumed(tmp_path: Path, toy: TrainingConfig) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    changes = {"steps": 6, "share": None}
    config = toy.model_copy(update={"compile": "off", "prior": toy.prior.model_copy(update=changes)})
    file = tmp_path / "toy.toml"
    file.write_text(config.to_toml())
    recipe = ["--config", str(file), "--device", "cuda", "--from", str(SHIPPED), "--stages", "prior"]
    every = ["--set", "checkpoints.every_steps=3"]
    for into in (whole, halves):
        assert main(["run", "--into", str(into), *recipe, *every]) == 0
    facts = json.loads((halves / "run.json").read_text())
    (halves / "run.json").write_text(json.dumps({**facts, "stages": {}}))
    (halves / "checkpoints/prior-000000006.pt").unlink()
    assert main(["run", "--into", str(halves), *recipe, *every]) == 0
    one, other = (load_file(run / "weights/fno.safetensors") for run in (whole, halves))
    assert all(torch.equal(one[key], other[key]) for key in one)
