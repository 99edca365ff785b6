"""How many steps fit a budget of time: measured once, then fixed, so that all that follows depends on steps alone."""

from __future__ import annotations

import time

from hndsr_ensemble.training.batches import Batches
from hndsr_ensemble.training.config import STAGES, TrainingConfig
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.trainer import Trainer

WARM_UP, MEASURED = 12, 24
"""Steps on a GPU before and while the clock runs: sides of source images differ, and with them the time of a step. One
step with each size of target comes before them."""
WARM_UP_CPU, MEASURED_CPU = 0, 4
USED = 0.95
"""Share of the time that steps are planned for; checkpoints and looks at validation images take the rest."""
COMPILED_FROM_S = 300.0
"""Budget of a stage from which compiling, which takes a minute or two, pays."""
COMPILED_FROM_STEPS = 10_000
"""The same in steps."""


class NoTimeError(TrainingError):
    """A stage's share of the time is over before its first step."""

    def __init__(self, *, stage: str, left_s: float, step_s: float) -> None:
        super().__init__(
            f"{stage} has {left_s:.1f} s left and a step of it takes {step_s:.2g} s: give more --minutes, "
            f"or begin a run that leaves it out (--set {stage}.steps=0)"
        )


class Clock:
    """The run's time over all the processes that worked on it one after the other.

    Args:
        spent_s: by earlier processes.
    """

    def __init__(self, spent_s: float) -> None:
        self._before_s, self._started = spent_s, time.monotonic()

    @property
    def spent_s(self) -> float:
        """Until now."""
        return self._before_s + time.monotonic() - self._started

    def resume_at(self, spent_s: float) -> None:
        """Count an earlier process's time up to its last checkpoint."""
        self._before_s = max(self._before_s, spent_s)


def stage_seconds(config: TrainingConfig, stage: str, spent_s: float) -> float | None:
    """Time of a stage that is about to begin: its share of what is left, relative to the stages still to run.

    None for a stage whose number of steps is given.
    """
    share = config.stage(stage).share
    if share is None:
        return None
    to_run = STAGES[STAGES.index(stage) :]
    shares = sum(config.stage(name).share or 0 for name in to_run)
    return max(0.0, config.minutes * 60 - spent_s) * share / shares


def is_worth_compiling(config: TrainingConfig, stage: str, spent_s: float) -> bool:
    """Whether a stage is long enough."""
    seconds, steps = stage_seconds(config, stage, spent_s), config.stage(stage).steps or 0
    return steps >= COMPILED_FROM_STEPS if seconds is None else seconds >= COMPILED_FROM_S


def rehearse(trainer: Trainer, batches: Batches, execution: Execution) -> float:
    """Seconds that a step takes, with everything loaded and compiled; nothing is trained."""
    on_gpu = execution.device.type == "cuda"
    warm_up, measured = (WARM_UP, MEASURED) if on_gpu else (WARM_UP_CPU, MEASURED_CPU)
    sizes = batches.one_of_each_size()
    trainer.rehearse(batches.of([*sizes, *range(warm_up)]))
    trainer.validate(batches.of(sizes))
    execution.finish()
    started = time.monotonic()
    trainer.rehearse(batches.between(warm_up, warm_up + measured))
    execution.finish()
    return (time.monotonic() - started) / measured


def steps_within(seconds: float, step_s: float) -> int:
    """How many steps of `step_s` fit."""
    return int(USED * seconds / step_s)
