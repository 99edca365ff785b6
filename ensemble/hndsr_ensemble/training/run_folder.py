"""The folder of a run: what it was told, what it left behind, and how far it has come.

RUN/config.toml                           the configuration; it reads as it was given
RUN/manifest.jsonl                        the images, as they were listed when it began
RUN/seen.txt                              those that the weights have seen, see `seen`
RUN/run.json                              data, machine, what it began with, finished stages and their figures
RUN/log.jsonl                             losses, one line for some steps each
RUN/weights/{autoencoder,fno,unet}.safetensors
RUN/checkpoints/STAGE-STEP.pt             or in another folder, since they are large
RUN/.lock                                 held by the process that writes all this
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.networks import read_weights, save_weights
from hndsr_ensemble.training.checkpoint import OtherConfigError
from hndsr_ensemble.training.config import TrainingConfig, differing, read_config
from hndsr_ensemble.training.durable import locked, replaced, write_text
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from hndsr_ensemble.training.seen import SEEN, Seen, read_seen, write_seen
from hndsr_ensemble.training.starting import copy_weights

UNKNOWN = "unknown"
"""Number of images that weights to begin with had seen, where nothing says so."""


class RunFileError(TrainingError):
    """A file of the run's folder is not what a run wrote."""

    def __init__(self, *, path: Path, cause: str) -> None:
        super().__init__(f"{path} cannot be read: {cause}")


class RunBusyError(TrainingError):
    """Another process trains into the same folder."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"another process trains into {folder}; wait for it, or train into another folder")


class NonFiniteWeightsError(TrainingError):
    """Weights cannot be stored: half precision, in which large tensors are, does not reach as far as they do."""

    def __init__(self, *, network: str) -> None:
        super().__init__(f"the weights of {network} are not finite in half precision; they are not written")


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
    def manifest(self) -> Path:
        """Its images."""
        return self.root / MANIFEST

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

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from training into the folder.

        Raises:
            RunBusyError: one does.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        return locked(self.root / ".lock", RunBusyError(folder=self.root))

    def begin(self, config: TrainingConfig, start: Path | None) -> None:
        """Write down configuration and images, or check that they are those the folder was begun with.

        Args:
            config: of the run.
            start: where weights to begin with are; it counts when the folder is new.

        Raises:
            OtherConfigError: they are others.
            NoWeightsError: there are no weights to begin with.
            TrainingError: the manifest, or what the weights to begin with have seen, cannot be read.
        """
        manifest = read_manifest(config.data.manifest)
        fields = self._differing(config, manifest)
        if fields:
            raise OtherConfigError(path=self.root, fields=fields)
        write_text(self.config, config.to_toml())
        write_manifest(self.manifest, manifest)
        if not self.facts.is_file():
            self.write_facts(self._start(start, manifest))

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
        """Write weights files; their sha256 by name.

        Raises:
            NonFiniteWeightsError: what would be stored of one is not finite; its file stays as it was.
        """
        digests = {}
        for name, network in networks.items():
            path = self.weights / f"{name}.safetensors"
            with replaced(path) as beside:
                save_weights(network, beside)
                if not all(tensor.isfinite().all() for tensor in read_weights(beside).values()):
                    raise NonFiniteWeightsError(network=name)
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

    def _differing(self, config: TrainingConfig, manifest: Manifest) -> list[str]:
        """What else than now the folder was begun with."""
        fields = differing(read_config(self.config).decisive(), config.decisive()) if self.config.is_file() else []
        if self.manifest.is_file() and read_manifest(self.manifest).digest != manifest.digest:
            fields.append("the images of data.manifest")
        return fields

    def _start(self, start: Path | None, manifest: Manifest) -> dict[str, Any]:
        """The first facts: what weights the run begins with, and what they have seen, which is written beside."""
        before = read_seen(start) if start else Seen()
        write_seen(self.root / SEEN, before.also(image.sha256 for image in manifest.images("train")))
        return {
            "started_from": copy_weights(start, self.weights) if start else {},
            "seen_before": len(before.images) if before.is_complete else UNKNOWN,
        }


def _is_before(line: str, stage: str, step: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return bool(entry.get("stage") != stage or entry.get("step", 0) <= step)
