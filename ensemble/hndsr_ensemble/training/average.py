"""The moving average of weights, which generalises better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Exponential moving average of parameters, which forgets fast at first so that it soon leaves the start behind.

    The decay of step k is min(decay, (1 + k) / (10 + k)).

    Source: `tf.train.ExponentialMovingAverage` with `num_updates`.

    Args:
        parameters: that are averaged.
        decay: per step; 0: the parameters themselves.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self._parameters, self._decay = list(parameters), decay
        self._averages = [parameter.detach().clone() for parameter in parameters] if decay else []

    def update(self, step: int) -> None:
        """After step `step`, counted from 0."""
        if self._averages:
            decay = min(self._decay, (1 + step) / (10 + step))
            get_ema_multi_avg_fn(decay)(self._averages, self._parameters, None)

    def settle(self) -> None:
        """Put the average into the parameters, for good."""
        with torch.no_grad():
            for parameter, average in zip(self._parameters, self._averages, strict=False):
                parameter.copy_(average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the parameters for a while."""
        kept = [parameter.detach().clone() for parameter in self._parameters] if self._averages else []
        self.settle()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters, kept, strict=False):
                    parameter.copy_(value)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {str(index): average for index, average in enumerate(self._averages)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        for index, average in enumerate(self._averages):
            average.copy_(state[str(index)])
