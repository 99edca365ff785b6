"""Small made-up images, their manifest, and the recipe at toy size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image as Picture
from unit.training.toy_images import listed, made_up

from hndsr_ensemble.training.config import TrainingConfig, parse_config
from hndsr_ensemble.training.imagery.manifest import Manifest, Settings, write_manifest

TOY = {
    "data": {"crop_px": 64, "lr_px_min": 16, "lr_px_max": 32, "max_origin_px": 16, "workers": 2},
    "autoencoder": {"steps": 2, "batch": 2, "learning_rate": 1e-3, "ema_decay": 0.0},
    "prior": {"steps": 2, "batch": 2, "learning_rate": 6e-4},
    "diffusion": {"steps": 2, "batch": 2, "learning_rate": 8e-4},
    "log": {"every_steps": 1, "validation_batches": 1},
    "tracking": {"mode": "off"},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, and cores left to whoever else tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images with edges and gradients, of three sizes."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(12):
        sides = [(80, 96), (64, 64), (100, 72)][number % 3]
        Picture.fromarray(made_up(number, *sides)).save(folder / f"image{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def manifest(image_folder: Path) -> Path:
    """Of the images, every fourth of which is for validation."""
    paths = sorted(image_folder.glob("*.png"))
    records = tuple(listed(path, "val" if number % 4 == 3 else "train") for number, path in enumerate(paths))
    file = image_folder / "manifest.jsonl"
    write_manifest(file, Manifest(Settings((0.75, 0.25, 0.0), "none"), records, ()))
    return file


@pytest.fixture
def toy(manifest: Path) -> TrainingConfig:
    """Two steps of each stage on tiny crops."""
    return parse_config({**TOY, "data": {**TOY["data"], "manifest": str(manifest)}}, source="toy")
