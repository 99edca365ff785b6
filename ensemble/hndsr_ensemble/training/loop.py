"""One loop for all stages: steps, checkpoints, a log, looks at the validation images."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hndsr_ensemble.training.batches import Batches
from hndsr_ensemble.training.budget import Clock
from hndsr_ensemble.training.checkpoint import Checkpoint, random_state, save_checkpoint
from hndsr_ensemble.training.config import StageConfig, TrainingConfig
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.run_folder import RunFolder
from hndsr_ensemble.training.stages import Losses
from hndsr_ensemble.training.tracking import Tracking
from hndsr_ensemble.training.trainer import Trainer, cosine, mean_losses


class DivergedError(TrainingError):
    """The loss, or the weights, are no numbers any more."""

    def __init__(self, *, stage: str, step: int) -> None:
        super().__init__(f"{stage} diverged before step {step}: lower {stage}.learning_rate or {stage}.clip_norm")


@dataclass(frozen=True)
class Run:
    """What all stages of a run share."""

    config: TrainingConfig
    folder: RunFolder
    execution: Execution
    tracking: Tracking
    clock: Clock
    decisive: Mapping[str, str]
    """What decides which weights come out, the data included."""

    def say(self, text: str) -> None:
        """Tell whoever waits."""
        if self.execution.is_first:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


@dataclass(frozen=True)
class Loop:
    """The steps of a stage, of which there are `steps`."""

    run: Run
    name: str
    steps: int
    trainer: Trainer
    batches: Batches
    validation: Batches | None
    compiled: bool
    """Whether parts of the stage are."""

    @property
    def config(self) -> StageConfig:
        """Of the stage."""
        return self.run.config.stage(self.name)

    def go(self, start: int) -> None:
        """Do steps `start` and after.

        Raises:
            DivergedError: the loss, or the weights, are no numbers any more.
        """
        log, since, losses = self.run.config.log, time.monotonic(), list[Losses]()
        for step, batch in enumerate(self.batches.between(start, self.steps), start):
            rate = cosine(self.config.learning_rate, step, self.steps)
            losses.append(self.trainer.step(step, batch, learning_rate=rate))
            done = step + 1
            if done % log.every_steps == 0 or done == self.steps:
                self._report(done, rate, losses, len(losses) / (time.monotonic() - since))
                since, losses = time.monotonic(), []
            if done < self.steps and log.validate_every_steps and done % log.validate_every_steps == 0:
                self.validate(done)
            if done % self.run.config.checkpoints.every_steps == 0 or done == self.steps:
                if losses:
                    self._means(done, losses)
                self.save(done)

    def validate(self, done: int) -> dict[str, float]:
        """Mean losses over validation images, which are written down; empty where there are none.

        Raises:
            DivergedError: they are no numbers.
        """
        if self.validation is None:
            return {}
        found = self.trainer.validate(self.validation.between(0, self.run.config.log.validation_batches))
        self._require_numbers(done, found)
        self._write(done, {f"validation_{name}": value for name, value in found.items()})
        return found

    def save(self, done: int) -> None:
        """Write a checkpoint; the other processes wait, so that none is ahead of what can be resumed.

        Raises:
            DivergedError: the weights are no numbers any more; the checkpoint before stays the last.
        """
        run = self.run
        if not self.trainer.is_finite:
            raise DivergedError(stage=self.name, step=done)
        if run.execution.is_first:
            state = Checkpoint(
                stage=self.name,
                step=done,
                steps=self.steps,
                spent_s=run.clock.spent_s,
                compiled=self.compiled,
                decisive=dict(run.decisive),
                trainer=self.trainer.state(),
                random=random_state(),
            )
            save_checkpoint(run.folder.checkpoints, state)
        run.execution.wait()

    def _report(self, done: int, rate: float, losses: list[Losses], steps_per_s: float) -> None:
        speed = {"learning_rate": rate, "images_per_s": round(steps_per_s * self.config.batch, 2)}
        self._write(done, {**self._means(done, losses), **speed})

    def _means(self, done: int, losses: list[Losses]) -> dict[str, float]:
        """Mean losses, which are numbers: nothing else gets into a log or a checkpoint."""
        means = mean_losses(losses)
        self._require_numbers(done, means)
        return means

    def _require_numbers(self, done: int, values: Mapping[str, float]) -> None:
        if not all(map(math.isfinite, values.values())):
            raise DivergedError(stage=self.name, step=done)

    def _write(self, done: int, values: Mapping[str, float]) -> None:
        if not self.run.execution.is_first:
            return
        self.run.folder.append_log({"stage": self.name, "step": done, "steps": self.steps, **values})
        self.run.tracking.metrics({f"{self.name}.{name}": value for name, value in values.items()}, done)
        told = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.run.say(f"{self.name} {done}/{self.steps} {told}")
