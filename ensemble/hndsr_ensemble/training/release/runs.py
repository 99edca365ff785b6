"""What a release needs of a training run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.training.config import STAGES, TrainingConfig, read_config
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import SPLITS, Manifest, read_manifest

CONFIG, FACTS, WEIGHTS = "config.toml", "run.json", "weights"
NETWORKS: Final = ("autoencoder", "fno", "unet")
"""By the names of their weights files."""
DEGRADATIONS: Final = {
    "bicubic": "antialiased bicubic (a = -0.5), rounded to 8 bits",
    "realistic": "anisotropic blur, a sensor's sampling, noise that depends on the signal, JPEG",
}
"""In words, by the name that a configuration has for them."""


class IncompleteRunError(TrainingError):
    """A run's folder lacks what a finished run leaves."""

    def __init__(self, *, folder: Path, missing: str) -> None:
        super().__init__(f"{folder} is no finished run: {missing} is missing")


class OtherRunError(TrainingError):
    """Something in a run's folder is not what the run left or was made from."""

    def __init__(self, *, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} is not as the run left it: {reason}")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    folder: Path
    config: TrainingConfig
    data: Manifest
    started_from: Mapping[str, str]
    """sha256 of the weights that it began with, by network: they may have seen images that are not in `data`."""

    @property
    def weights(self) -> Path:
        """Folder of the networks' weights."""
        return self.folder / WEIGHTS

    @property
    def config_digest(self) -> str:
        """sha256 of the configuration's file, in hexadecimal."""
        return file_digest(self.folder / CONFIG)

    @property
    def trained_on(self) -> frozenset[str]:
        """sha256 of the files whose pixels the networks were fitted to."""
        return frozenset(image.sha256 for image in self.data.images("train"))

    @property
    def images(self) -> dict[str, int]:
        """Number of images by split."""
        return {split: len(self.data.images(split)) for split in SPLITS}

    @property
    def degradation(self) -> str:
        """How sources were made, in words."""
        return DEGRADATIONS[self.config.data.degradation]

    @property
    def scales(self) -> str:
        """From the smallest to the largest that was trained."""
        data = self.config.data
        return f"{data.crop_px / data.lr_px_max:.2g} to {data.crop_px / data.lr_px_min:.2g}"


def read_run(folder: Path) -> Run:
    """Read a finished run's folder, and the manifest of its images.

    Raises:
        IncompleteRunError: the run is not finished.
        OtherRunError: weights or images are not those of the run.
        TrainingError: configuration or manifest cannot be read.
    """
    for name in (CONFIG, FACTS, *(f"{WEIGHTS}/{network}.safetensors" for network in NETWORKS)):
        if not (folder / name).is_file():
            raise IncompleteRunError(folder=folder, missing=name)
    config, facts = read_config(folder / CONFIG), _read_facts(folder)
    run = Run(folder, config, read_manifest(config.data.manifest), facts["started_from"])
    for stage in STAGES:
        if config.stage(stage).is_wanted and stage not in facts["stages"]:
            raise IncompleteRunError(folder=folder, missing=f"the stage {stage}")
    if run.data.digest != facts["manifest_digest"]:
        raise OtherRunError(folder=folder, reason=f"{config.data.manifest} lists other images than it was trained on")
    for network, digest in {**run.started_from, **facts["weights"]}.items():
        if file_digest(run.weights / f"{network}.safetensors") != digest:
            raise OtherRunError(folder=folder, reason=f"the weights of {network} were changed afterwards")
    return run


def _read_facts(folder: Path) -> dict[str, Any]:
    """What a run wrote down of itself."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise OtherRunError(folder=folder, reason=f"{FACTS} cannot be read") from error
    names = {"started_from", "manifest_digest", "stages", "weights"}
    if not isinstance(facts, dict) or names - facts.keys():
        raise IncompleteRunError(folder=folder, missing=f"a finished stage in {FACTS}")
    return facts
