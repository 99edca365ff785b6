"""One step of a stage, from the forward pass to the moving average."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from hndsr_ensemble.training.average import Average
from hndsr_ensemble.training.batches import Batch
from hndsr_ensemble.training.config import StageConfig
from hndsr_ensemble.training.execution import Execution, alone, mean_of_all
from hndsr_ensemble.training.stages import Losses, Stage

PEAK_POWER = 4.0
"""Squared span of pixels in [-1, 1]."""


class Trainer:
    """AdamW with clipped gradients and a moving average.

    Args:
        stage: on its device; parameters that require a gradient are trained.
        config: of the stage.
        execution: device and processes.
    """

    def __init__(self, stage: Stage, config: StageConfig, execution: Execution) -> None:
        self.stage, self._config, self._execution = stage, config, execution
        self._shared = execution.shared(stage)
        self._parameters = [parameter for parameter in stage.parameters() if parameter.requires_grad]
        self._optimizer = self._new_optimizer()
        self.average = Average(self._parameters, config.ema_decay)

    def step(self, number: int, batch: Batch, *, learning_rate: float) -> Losses:
        """Step `number`, counted from 0; the losses before it."""
        losses = self._try(batch, learning_rate)
        self.average.update(number)
        return losses

    def rehearse(self, batches: Iterable[Batch]) -> None:
        """Do what steps do, so that all is loaded and compiled, and leave everything as it was."""
        for batch in batches:
            self._try(batch, learning_rate=0.0)
        self._optimizer = self._new_optimizer()

    def attempt(self, batches: Iterable[Batch]) -> None:
        """Compute losses and gradients, and losses without gradients, of this process alone; nothing is changed."""
        with alone():
            for batch in batches:
                torch.autograd.grad(self._losses(batch, self.stage)["loss"], self._parameters, allow_unused=True)
                self.validate([batch])

    @property
    def is_finite(self) -> bool:
        """Whether all weights and their averages are numbers."""
        values = [value for value in self.stage.state_dict().values() if value.is_floating_point()]
        return bool(torch.stack([value.isfinite().all() for value in [*values, *self.average.state().values()]]).all())

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean losses of the averaged weights."""
        with self.average.applied(), torch.no_grad():
            found = [self._losses(batch, self.stage) for batch in batches]
        return mean_losses(found)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "stage": self.stage.state_dict(),
            "average": self.average.state(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.stage.load_state_dict(state["stage"])
        self.average.load(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _try(self, batch: Batch, learning_rate: float) -> Losses:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        losses = self._losses(batch, self._shared)
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._config.clip_norm)
        self._optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _losses(self, batch: Batch, stage: Any) -> Losses:
        with self._execution.arithmetic():
            return stage(batch)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self._parameters,
            lr=self._config.learning_rate,
            betas=self._config.betas,
            weight_decay=self._config.weight_decay,
            fused=self._execution.device.type == "cuda",
        )


def cosine(peak: float, step: int, steps: int) -> float:
    """The learning rate of step `step` of `steps`: from `peak` down to 0.

    Source: SGDR, Loshchilov & Hutter 2016, arXiv 1608.03983, eq. 5, without restarts.
    """
    return peak * (1 + math.cos(math.pi * step / steps)) / 2


def mean_losses(losses: Iterable[Losses]) -> dict[str, float]:
    """Means over steps and processes, with the peak signal-to-noise ratio in dB where there is an error of pixels."""
    listed = list(losses)
    stacked = torch.stack([torch.stack(list(one.values())) for one in listed])
    means = dict(zip(listed[0], _numbers(mean_of_all(stacked.mean(dim=0))), strict=True))
    if 0 < means.get("pixel_mse", 0.0) < math.inf:
        means["psnr_db"] = 10 * math.log10(PEAK_POWER / means["pixel_mse"])
    return means


def _numbers(values: Tensor) -> list[float]:
    return [float(value) for value in values.tolist()]
