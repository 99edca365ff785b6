"""What a release needs of a training run's folder."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.training.config import NETWORKS, STAGES, TrainingConfig, read_config
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import MANIFEST, SPLITS, Manifest, read_manifest
from hndsr_ensemble.training.seen import Seen, read_seen

CONFIG, FACTS, WEIGHTS = "config.toml", "run.json", "weights"
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


class OutdatedStageError(TrainingError):
    """A stage was left out although the run changed what its network was trained on."""

    def __init__(self, *, folder: Path, changed: str, stage: str) -> None:
        super().__init__(
            f"{folder} trained the stage {changed}, but not {stage} after it, whose network was fitted to the weights "
            f"before; train it, into another folder, with `hndsr-train run --from {folder} --manifest "
            f"{folder / MANIFEST} --stages {stage}`"
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    folder: Path
    config: TrainingConfig
    data: Manifest
    started_from: Mapping[str, str]
    """sha256 of the weights that it began with, by network."""
    seen: Seen
    """Images that the networks, or the weights that they began with, were fitted to."""

    @property
    def weights(self) -> Path:
        """Folder of the networks' weights."""
        return self.folder / WEIGHTS

    @property
    def config_digest(self) -> str:
        """sha256 of the configuration's file, in hexadecimal."""
        return file_digest(self.folder / CONFIG)

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
        OutdatedStageError: a network was fitted to others than the run's.
        TrainingError: configuration or manifest cannot be read.
    """
    for name in (CONFIG, FACTS, *(f"{WEIGHTS}/{network}.safetensors" for network in NETWORKS)):
        if not (folder / name).is_file():
            raise IncompleteRunError(folder=folder, missing=name)
    config, facts = read_config(folder / CONFIG), _read_facts(folder)
    listed = folder / MANIFEST if (folder / MANIFEST).is_file() else config.data.manifest
    data = read_manifest(listed)
    if data.digest != facts["manifest_digest"]:
        raise OtherRunError(folder=folder, reason=f"{listed} lists other images than it was trained on")
    _check_stages(folder, config, facts["stages"])
    seen = read_seen(folder).also(image.sha256 for image in data.images("train"))
    run = Run(folder, config, data, facts["started_from"], seen)
    for network, digest in {**run.started_from, **facts["weights"]}.items():
        if file_digest(run.weights / f"{network}.safetensors") != digest:
            raise OtherRunError(folder=folder, reason=f"the weights of {network} were changed afterwards")
    return run


def _check_stages(folder: Path, config: TrainingConfig, finished: Container[str]) -> None:
    """Whether every stage is finished that was wanted, and every one that comes after a finished one."""
    changed = ""
    for stage in STAGES:
        if stage in finished:
            changed = stage
        elif config.stage(stage).is_wanted:
            raise IncompleteRunError(folder=folder, missing=f"the stage {stage}")
        elif changed:
            raise OutdatedStageError(folder=folder, changed=changed, stage=stage)


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
