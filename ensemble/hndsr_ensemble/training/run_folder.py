"""The folder of a run: what it was told, what it left behind, and how far it has come.

RUN/config.toml                           the configuration; it reads as it was given
RUN/run.json                              data, machine, what it began with, finished stages and their figures
RUN/log.jsonl                             losses, one line for some steps each
RUN/weights/{autoencoder,fno,unet}.safetensors
RUN/checkpoints/STAGE-STEP.pt             or in another folder, since they are large
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.networks import save_weights
from hndsr_ensemble.training.checkpoint import OtherConfigError
from hndsr_ensemble.training.config import TrainingConfig, differing, read_config
from hndsr_ensemble.training.durable import replaced, write_text
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.starting import copy_weights


class RunFileError(TrainingError):
    """A file of the run's folder is not what a run wrote."""

    def __init__(self, *, path: Path, cause: str) -> None:
        super().__init__(f"{path} cannot be read: {cause}")


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and what is written there."""

    root: Path
    checkpoints: Path

    @property
    def config(self) -> Path:
        """What the run was told."""
        return self.root / "config.toml"

    @property
    def facts(self) -> Path:
        """What became of it."""
        return self.root / "run.json"

    @property
    def log(self) -> Path:
        """Losses."""
        return self.root / "log.jsonl"

    @property
    def weights(self) -> Path:
        """What comes out."""
        return self.root / "weights"

    def begin(self, config: TrainingConfig, start: Path | None) -> None:
        """Write down the configuration, or check that it is the one the folder was begun with.

        Args:
            config: of the run.
            start: where weights to begin with are; it counts when the folder is new.

        Raises:
            OtherConfigError: it is another one.
            NoWeightsError: there are no weights to begin with.
        """
        if self.config.is_file():
            fields = differing(read_config(self.config).decisive(), config.decisive())
            if fields:
                raise OtherConfigError(path=self.root, fields=fields)
        write_text(self.config, config.to_toml())
        if not self.facts.is_file():
            self.write_facts({"started_from": copy_weights(start, self.weights) if start else {}})

    def read_facts(self) -> dict[str, Any]:
        """What is known of the run so far; empty at first.

        Raises:
            RunFileError: the file is broken.
        """
        if not self.facts.is_file():
            return {}
        try:
            return json.loads(self.facts.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunFileError(path=self.facts, cause=str(error)) from error

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace what is known."""
        write_text(self.facts, json.dumps(facts, indent=2) + "\n")

    def save_weights(self, networks: Mapping[str, nn.Module]) -> dict[str, str]:
        """Write weights files; their sha256 by name."""
        digests = {}
        for name, network in networks.items():
            path = self.weights / f"{name}.safetensors"
            with replaced(path) as beside:
                save_weights(network, beside)
            digests[name] = file_digest(path)
        return digests

    def append_log(self, line: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def rewind_log(self, stage: str, step: int) -> None:
        """Take away what was logged of a stage after a step, which is now done again, and a line that is cut off."""
        if not self.log.is_file():
            return
        kept = [line for line in self.log.read_text(encoding="utf-8").splitlines() if _is_before(line, stage, step)]
        write_text(self.log, "".join(f"{line}\n" for line in kept))


def _is_before(line: str, stage: str, step: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return bool(entry.get("stage") != stage or entry.get("step", 0) <= step)
