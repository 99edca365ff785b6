"""What the loop asks of every stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from hndsr_ensemble.training.batches import Batch

Losses = dict[str, Tensor]
"""Scalars by name; `loss` is what is minimised."""


@runtime_checkable
class Compiler(Protocol):
    """Has a module compiled, as `Execution.compile` does."""

    def __call__(self, module: nn.Module, *, dynamic: bool = False) -> None:
        """`dynamic`: one compilation serves all shapes."""


class Stage(nn.Module, ABC):
    """Networks, which of their parameters are trained (those that require a gradient), and on what loss."""

    reads_sources: ClassVar[bool] = True
    """Whether the loss depends on source images."""

    @abstractmethod
    def forward(self, batch: Batch) -> Losses:
        """The losses of a batch."""

    @abstractmethod
    def compile_parts(self, compiler: Compiler) -> None:
        """Have those parts compiled that are worth it."""

    @abstractmethod
    def networks(self) -> Mapping[str, nn.Module]:
        """What comes out of the stage, by the name of its file."""

    def measure_before(self, batches: Iterable[Batch]) -> None:
        """Measure what the first step needs, on training data."""

    def measure_after(self, batches: Iterable[Batch]) -> None:
        """Measure on training data what belongs to the weights that come out."""


def frozen(network: nn.Module) -> nn.Module:
    """Take a network's parameters out of the training."""
    return network.requires_grad_(requires_grad=False)


def channel_statistics(
    maps: Iterator[Float32[Tensor, "n c h w"]],
) -> tuple[Float32[Tensor, "1 c 1 1"], Float32[Tensor, "1 c 1 1"]]:
    """Mean and standard deviation of each channel over all that is given, summed up in float64."""
    total, squares, count = torch.zeros(()), torch.zeros(()), 0
    for one in maps:
        values: Float64[Tensor, "n c h w"] = one.double()
        total = total.to(one.device) + values.sum(dim=(0, 2, 3), keepdim=True)
        squares = squares.to(one.device) + values.square().sum(dim=(0, 2, 3), keepdim=True)
        count += one[:, 0].numel()
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0).sqrt().float()
