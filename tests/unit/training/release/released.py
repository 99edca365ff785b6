"""A model repository as a release leaves it, without one."""

from __future__ import annotations

from pathlib import Path

from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.release import CARD, GOLDEN, SEEN, write_record
from hndsr_ensemble.training.release.golden import write_golden
from hndsr_ensemble.training.release.installing import copy_repository
from hndsr_ensemble.training.release.torch_networks import torch_networks
from hndsr_ensemble.training.seen import Seen, write_seen


def make_released(folder: Path) -> Path:
    """The repository of this checkout with all that a release adds to it."""
    copy_repository(model_repository(), folder)
    write_golden(folder / GOLDEN, torch_networks(folder))
    (folder / CARD).write_text("a card")
    write_seen(folder / SEEN, Seen())
    write_record(folder)
    return folder
