"""Checkpoints: all that a stage needs to go on as if it had never stopped."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from hndsr_ensemble.training.config import differing
from hndsr_ensemble.training.durable import replaced
from hndsr_ensemble.training.errors import TrainingError

KEPT = 2
"""Of each stage."""
NAME = re.compile(r"(?P<stage>[a-z]+)-(?P<step>[0-9]{9})\.pt")
UNREADABLE = (OSError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, KeyError, TypeError)


class CheckpointError(TrainingError):
    """None of a stage's checkpoints can be read."""

    def __init__(self, *, paths: Sequence[Path], cause: str) -> None:
        super().__init__(
            f"{', '.join(map(str, paths))}: no checkpoint can be read ({cause}); remove them to start anew"
        )


class OtherConfigError(TrainingError):
    """What was begun had another configuration."""

    def __init__(self, *, path: Path, fields: Sequence[str]) -> None:
        super().__init__(f"{path} belongs to a run that differs in {', '.join(fields)}; train into another folder")


@dataclass(frozen=True)
class Checkpoint:
    """A stage after `step` of `steps` steps."""

    stage: str
    step: int
    steps: int
    """Fixed when the stage began, so that the learning rates of all steps are."""
    spent_s: float
    """Of the run's time until then."""
    compiled: bool
    """Whether its parts are compiled, fixed when the stage began: compiled or not, sums round differently."""
    decisive: Mapping[str, str]
    """What decides which weights come out: see `TrainingConfig.decisive`."""
    trainer: Mapping[str, Any]
    """Weights, their moving average and the optimizer."""
    random: Mapping[str, Any]
    """State of torch's own generators."""

    def require(self, decisive: Mapping[str, str], path: Path) -> None:
        """Check that it belongs to a configuration.

        Raises:
            OtherConfigError: it does not.
        """
        names = differing(self.decisive, decisive)
        if names:
            raise OtherConfigError(path=path, fields=names)


FIELDS = [field.name for field in fields(Checkpoint)]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, and remove all of its stage but the last `KEPT`."""
    path = folder / f"{checkpoint.stage}-{checkpoint.step:09d}.pt"
    with replaced(path) as beside:
        torch.save({name: getattr(checkpoint, name) for name in FIELDS}, beside)
    for old in checkpoints_of(folder, checkpoint.stage)[:-KEPT]:
        old.unlink()
    return path


def load_checkpoint(folder: Path, stage: str, decisive: Mapping[str, str]) -> Checkpoint | None:
    """The newest checkpoint of a stage that can be read; None where there is none.

    Raises:
        CheckpointError: there are some, and none can be read.
        OtherConfigError: it belongs to another configuration.
    """
    paths, cause = checkpoints_of(folder, stage), ""
    for path in reversed(paths):
        try:
            checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        except UNREADABLE as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        checkpoint.require(decisive, path)
        return checkpoint
    if paths:
        raise CheckpointError(paths=paths, cause=cause)
    return None


def checkpoints_of(folder: Path, stage: str) -> list[Path]:
    """From the oldest to the newest."""
    names = [path.name for path in folder.glob("*.pt")] if folder.is_dir() else []
    matches = [found for found in map(NAME.fullmatch, names) if found and found["stage"] == stage]
    return [folder / found.string for found in sorted(matches, key=lambda found: int(found["step"]))]


def random_state() -> dict[str, Any]:
    """Of torch's generators, on the CPU and on every GPU."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put torch's generators where they were, those of GPUs if there are as many."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
