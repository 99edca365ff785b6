"""The repository that this checkout serves, runs made of its weights, and folders of images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.manifest import file_digest, model_repository
from hndsr_ensemble.training.config import STAGES
from hndsr_ensemble.training.imagery.manifest import MANIFEST, Manifest, Settings, write_manifest
from hndsr_ensemble.training.imagery.manifest import Image as Record
from hndsr_ensemble.training.release.installing import copy_repository
from hndsr_ensemble.training.seen import SEEN, Seen, write_seen

CONFIG = """
[data]
manifest = "gone.jsonl"
[autoencoder]
steps = 1
learning_rate = 1e-3
[prior]
steps = 1
learning_rate = 6e-4
[diffusion]
steps = 1
learning_rate = 8e-4
"""
WEIGHTS = {"autoencoder": "decoder", "fno": "fno", "unet": "unet"}
SIDE_PX = 64
MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def repository() -> Path:
    return model_repository()


@pytest.fixture
def copied(repository: Path, tmp_path: Path) -> Path:
    """A copy of the repository, to be damaged or replaced."""
    copy_repository(repository, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn pictures of which two are equal."""
    folder = tmp_path_factory.mktemp("scenes")
    town = render_scene(3 * SIDE_PX, 3 * SIDE_PX, seed=5)
    for place in range(9):
        top, left = (SIDE_PX * index for index in divmod(place, 3))
        Image.fromarray(town[top : top + SIDE_PX, left : left + SIDE_PX]).save(folder / f"town{place}.png")
    Image.fromarray(town[:SIDE_PX, :SIDE_PX]).save(folder / "again.png", compress_level=1)
    return folder


@pytest.fixture
def make_run(repository: Path, tmp_path: Path) -> MakeRun:
    """Makes the folder of a run that came out with the weights of this checkout, trained on the files given."""

    def make(trained_on: Sequence[Path] = ()) -> Path:
        run = tmp_path / "run"
        (run / "weights").mkdir(parents=True)
        for name, model in WEIGHTS.items():
            shutil.copyfile(repository / model / "1/weights.safetensors", run / "weights" / f"{name}.safetensors")
        records = tuple(
            Record(str(path), path.stat().st_size, "1", sha256=file_digest(path), split="train") for path in trained_on
        )
        manifest = Manifest(Settings((0.9, 0.05, 0.05), "none"), records, ())
        write_manifest(run / MANIFEST, manifest)
        write_seen(run / SEEN, Seen(frozenset(record.sha256 for record in records)))
        facts = {"manifest_digest": manifest.digest, "started_from": {}, "weights": {}, "stages": dict.fromkeys(STAGES)}
        (run / "run.json").write_text(json.dumps(facts))
        (run / "config.toml").write_text(CONFIG)
        return run

    return make


@pytest.fixture
def flat_image(tmp_path: Path) -> Path:
    """A folder of one small picture."""
    folder = tmp_path / "flat"
    folder.mkdir()
    Image.fromarray(np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)).save(folder / "flat.png")
    return folder
