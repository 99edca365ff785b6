"""The real DVC goes through the committed pipeline at toy size, and does again only what depends on a change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.networks import UNet, load_weights, save_weights
from hndsr_ensemble.release import DOCUMENTS, RECORD, TRAINED, seal
from hndsr_ensemble.training.release.installing import copy_repository

ROOT = Path(__file__).parents[2]
DVC = ROOT / ".venv/dvc/bin/dvc"
STAGES = ["prepare", "run", "evaluate", "release"]
RUN = """\
--from {repository} --stages diffusion --device cpu --set tracking.mode=off --set diffusion.steps=2
    --set diffusion.batch=2 --set diffusion.learning_rate=1e-9 --set data.crop_px=64 --set data.lr_px_min=16
    --set data.lr_px_max=32 --set data.max_origin_px=16"""
PARAMS = """\
images: images
into: out/pipeline
prepare:
  options: --fractions 0.4,0.1,0.5 --workers 1
run:
  recipe: ensemble/hndsr_ensemble/training/recipe.toml
  minutes: 28
  options: {run}
evaluate:
  scales: "{scales}"
  options: --steps 2 --limit 2 --scene-px 0
release:
  data: drawn scenes (MIT)
  options: --without-openvino
"""
Repro = Callable[[str], list[str]]


@pytest.fixture
def repro(tmp_path: Path) -> Repro:
    """Has DVC reproduce a copy of the pipeline for some scales; the stages that it ran."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC")} | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "ensemble"),
        "DVC_NO_ANALYTICS": "1",
        **{f"DVC_{place}_DIR": str(tmp_path / "dvc") for place in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")},
    }
    project = tmp_path / "project"
    _lay_out(project, tmp_path / "bin")

    def dvc(*arguments: str) -> str:
        done = subprocess.run(
            [DVC, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def reproduced(scales: str) -> list[str]:
        options = RUN.format(repository=model_repository())
        (project / "params.yaml").write_text(PARAMS.format(run=options, scales=scales))
        return re.findall(r"Running stage '(\w+)'", dvc("repro"))

    dvc("init", "--no-scm", "--quiet")
    return reproduced


def _lay_out(project: Path, programs: Path) -> None:
    """The pipeline and its code, images, and a release before this one whose diffusion draws nothing but noise."""
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ensemble/hndsr_ensemble", project / "ensemble/hndsr_ensemble", ignore=left_out)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copyfile(ROOT / name, project / name)
    (project / "images").mkdir()
    for seed in range(20):
        Image.fromarray(render_scene(96, 96, seed=seed)).save(project / f"images/scene{seed:02d}.bmp")
    programs.mkdir()
    (programs / "hndsr-train").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hndsr_ensemble.training "$@"\n')
    (programs / "hndsr-train").chmod(0o755)
    repository = project / "out/pipeline/repository"
    repository.parent.mkdir(parents=True)
    copy_repository(model_repository(), repository)
    weights = repository / "unet/1/weights.safetensors"
    unet = load_weights(UNet(), weights)
    with torch.no_grad():
        unet.out.weight.zero_()
        unet.out.bias.zero_()
        unet.residual_std.mul_(8)
    save_weights(unet, weights)
    seal(repository, next(document for document in DOCUMENTS if document["triton_model"] == TRAINED))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not DVC.is_file(), reason="DVC is not installed: make .venv/done/dvc")
def test_pipeline_does_again_only_what_depends_on_a_change(repro: Repro, tmp_path: Path) -> None:
    assert repro("4") == STAGES
    assert (tmp_path / "project/out/pipeline/repository" / RECORD).is_file()
    assert repro("4") == []
    assert repro("2") == ["evaluate", "release"]
