"""From images to an installed release by the one command that a person types."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.networks import UNet, load_weights, save_weights
from hndsr_ensemble.release import CARD, RECORD
from hndsr_ensemble.training.config import NETWORKS
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.release.candidate import build_candidate
from hndsr_ensemble.training.release.verification import verify
from hndsr_ensemble.training.seen import read_seen

CHECKOUT = Path(__file__).resolve().parents[4]
COMMAND = ".venv/bin/hndsr-train "
IMAGES, SIDE_PX = 14, 96
FRACTIONS = "0.2,0.1,0.7"
"""By their contents, 2 of the images are for training, 1 for validation and 11 for the release."""
LARGEST_BYTES = 16 * 2**20
"""Of any file but a checkpoint, so that a rented machine's results come home."""
TOY = (
    "--stages diffusion --device cpu --set tracking.mode=off --set diffusion.steps=2 --set diffusion.batch=2 "
    "--set diffusion.learning_rate=1e-9 --set data.crop_px=64 --set data.lr_px_min=16 --set data.lr_px_max=32 "
    "--set data.max_origin_px=16"
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(IMAGES):
        Image.fromarray(render_scene(SIDE_PX, SIDE_PX, seed=seed)).save(folder / f"scene{seed:02d}.bmp")
    return folder


@pytest.fixture
def installation(repository: Path, tmp_path: Path) -> Path:
    """Another installation of this code, whose diffusion draws so much noise that any is better in every figure."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for name, model in NETWORKS.items():
        shutil.copyfile(repository / model / "1/weights.safetensors", weights / f"{name}.safetensors")
    unet = load_weights(UNet(), weights / "unet.safetensors")
    with torch.no_grad():
        unet.out.weight.zero_()
        unet.out.bias.zero_()
        unet.residual_std.mul_(8)
    save_weights(unet, weights / "unet.safetensors")
    build_candidate(weights, repository, tmp_path / "installation/model_repository")
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "ensemble", tmp_path / "installation/ensemble", ignore=left_out)
    return tmp_path / "installation"


def steps(**variables: str) -> list[list[str]]:
    """What `make train` runs, each as its arguments."""
    given = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "-n", "train", *given]
    printed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    lines = printed.stdout.replace("\\\n", " ").splitlines()
    return [shlex.split(line.partition(COMMAND)[2]) for line in lines if COMMAND in line]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_images_become_a_release_in_a_new_repository_by_one_command(
    repository: Path, images: Path, installation: Path, tmp_path: Path
) -> None:
    into, release = tmp_path / "out", tmp_path / "out/repository"
    environment = os.environ | {"PYTHONPATH": str(installation / "ensemble")}
    ran = []
    for arguments in steps(
        DATA=str(images),
        INTO=str(into),
        RELEASE=str(release),
        ABOUT="drawn scenes (MIT)",
        ARGS=f"--from {repository} {TOY}",
        PREPARE_ARGS=f"--fractions {FRACTIONS} --workers 1",
        EVALUATE_ARGS="--scales 4 --steps 2 --limit 2 --scene-px 0",
        RELEASE_ARGS="--without-openvino",
    ):
        subprocess.run([sys.executable, "-m", "hndsr_ensemble.training", *arguments], env=environment, check=True)
        ran.append(arguments[0])
    assert ran == ["prepare", "run", "evaluate", "release"]
    assert [str(check) for check in verify(release) if check.fault] == []
    assert "drawn scenes (MIT)" in (release / CARD).read_text()
    assert (release / RECORD).is_file()
    assert read_seen(release).images == {image.sha256 for image in read_manifest(into / "data").images("train")}
    large = [path for path in into.rglob("*") if path.is_file() and path.stat().st_size > LARGEST_BYTES]
    assert [path for path in large if path.parent.name != "checkpoints"] == []
