"""Batches of crops and the source images made of them, on the device and ready to be trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.training.config import DataConfig
from hndsr_ensemble.training.crops import CropSampler, Draws, Plan, Share
from hndsr_ensemble.training.degradations import DEGRADATIONS
from hndsr_ensemble.training.pixels import Pixels

AHEAD = 3
"""Batches that are asked for before it is their turn."""
LOOKED_THROUGH = 64
"""Batches among which one of every target size is looked for."""
HALF_RANGE = 127.5


@dataclass(frozen=True)
class Batch:
    """What one process sees in one step."""

    hr: Float32[Tensor, "n 3 t t"]
    """Targets, in [-1, 1]."""
    lr: Float32[Tensor, "n 3 s s"]
    """Source images of the crops that the targets lie in, in [-1, 1]; without a pixel where nobody reads them."""
    scale: Float32[Tensor, "n"]
    """Target pixels per source pixel."""
    origin: Float32[Tensor, "n 2"]
    """Row and column of the target's corner, in source pixels from the source image's corner."""
    draws: Draws


class Batches:
    """The batches of a stage, by number.

    Args:
        pixels: of the split.
        sampler: what each batch is made of.
        data: how source images are made.
        share: what this process works on.
        device: where batches are made.
        sources: whether source images are made.
    """

    def __init__(
        self,
        pixels: Pixels,
        sampler: CropSampler,
        data: DataConfig,
        *,
        share: Share,
        device: torch.device,
        sources: bool = True,
    ) -> None:
        self._pixels, self._sampler, self._share, self._device = pixels, sampler, share, device
        self._degrade, self._sources = DEGRADATIONS[data.degradation], sources

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches `start` to `stop` - 1."""
        return self.of(range(start, stop))

    def of(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """Batches of these numbers."""
        plans: list[Plan] = []
        for place, number in enumerate(numbers):
            for ahead in numbers[place + len(plans) : place + AHEAD + 1]:
                plans.append(self._sampler.plan(ahead).part(self._share))
                self._pixels.prefetch(plans[-1])
            yield self._batch(plans.pop(0), number)

    def one_of_each_size(self) -> list[int]:
        """Numbers of batches, one for each side that targets have."""
        return list({self._sampler.plan(number).target_px: number for number in range(LOOKED_THROUGH)}.values())

    def _batch(self, plan: Plan, number: int) -> Batch:
        crops = self._pixels.crops(plan)
        scale = plan.crop_px / plan.lr_px
        count, origins_px = len(plan.images), upload(plan.origins_px, self._device)
        return Batch(
            hr=_unit(_targets(crops, origins_px, plan.target_px)),
            lr=_unit(self._source(crops, plan)),
            scale=torch.full((count,), scale, device=self._device),
            origin=origins_px.float() / scale,
            draws=self._sampler.draws(number, self._share, self._device),
        )

    def _source(self, crops: UInt8[Tensor, "n 3 p p"], plan: Plan) -> UInt8[Tensor, "n 3 s s"]:
        if not self._sources:
            return crops[..., :0, :0]
        # Who asks may be computing in half precision; that is no camera's.
        with torch.autocast(self._device.type, enabled=False):
            return self._degrade(crops, plan.lr_px, plan.seeds)


def _targets(
    crops: UInt8[Tensor, "n 3 p p"], origins_px: Int64[Tensor, "n 2"], target_px: int
) -> UInt8[Tensor, "n 3 t t"]:
    if target_px == crops.shape[-1]:
        return crops
    inside = torch.arange(target_px, device=crops.device)
    rows, columns = ((origins_px[:, axis, None] + inside) for axis in (0, 1))
    images = torch.arange(len(crops), device=crops.device)[:, None, None]
    return crops.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _unit(levels: UInt8[Tensor, "n 3 h w"]) -> Float32[Tensor, "n 3 h w"]:
    return levels.float() / HALF_RANGE - 1
