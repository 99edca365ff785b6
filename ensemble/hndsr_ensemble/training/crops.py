"""Which crops make up a batch: a pure function of the seed, the stage and the batch's number.

A batch is drawn for all processes together and each takes its part, so that the same images are seen in the same order
however many processes there are, and whenever the run was interrupted.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from hndsr_ensemble.training.config import DataConfig

MAIN_SCALE = 4
"""What `share_at_4` is the share of."""


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes works on."""

    rank: int = 0
    ranks: int = 1

    def slice_of(self, batch: int) -> slice:
        """Its part of a batch that the number of processes divides."""
        part = batch // self.ranks
        return slice(self.rank * part, (self.rank + 1) * part)


@dataclass(frozen=True)
class Draws:
    """What is drawn on the device for a batch: for all processes alike, of which each keeps its part."""

    seed: int
    batch: int
    """Images of all processes together."""
    share: Share
    device: torch.device

    def normal(self, shape: Sequence[int], *, stream: int = 0) -> Tensor:
        """Unit normal numbers for each image of this process, in fp32; equal again for an equal `stream`."""
        whole = torch.randn((self.batch, *shape), generator=self._generator(stream), device=self.device)
        return whole[self.share.slice_of(self.batch)]

    def uniform(self, *, stream: int = 0) -> Tensor:
        """A number in [0, 1) for each image of this process."""
        whole = torch.rand(self.batch, generator=self._generator(stream), device=self.device)
        return whole[self.share.slice_of(self.batch)]

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.seed + stream)


@dataclass(frozen=True)
class Plan:
    """Where the crops of a batch lie, how each is turned, and what source images are made of them."""

    images: Int64[np.ndarray, "n"]
    """By number."""
    corners: Int64[np.ndarray, "n 2"]
    """Row and column of each crop's first pixel in its image."""
    flips: Bool[np.ndarray, "n 2"]
    """Whether rows and columns run backwards."""
    transposed: Bool[np.ndarray, "n"]
    """Whether rows and columns change places after that."""
    origins_px: Int64[np.ndarray, "n 2"]
    """Row and column of each target's first pixel in its crop."""
    seeds: Int64[np.ndarray, "n"]
    """Of each image's degradation."""
    crop_px: int
    target_px: int
    lr_px: int

    def part(self, share: Share) -> Plan:
        """What one process works on."""
        kept = share.slice_of(len(self.images))
        names = ("images", "corners", "flips", "transposed", "origins_px", "seeds")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})


class CropSampler:
    """Draws plans over images of given sizes, each image as often as it holds crops side by side.

    Args:
        sizes_px: height and width of each image, neither below the crop's side.
        data: crop, source sides and origins.
        batch: images of a batch, all processes together.
        seed: of the run.
        stream: names the sequence of batches, so that stages draw apart from one another.
    """

    def __init__(
        self, sizes_px: Int64[np.ndarray, "m 2"], data: DataConfig, *, batch: int, seed: int, stream: str
    ) -> None:
        self.batch = batch
        self._sizes_px, self._data, self._seed, self._stream = sizes_px, data, seed, zlib.crc32(stream.encode())
        crops = sizes_px.prod(axis=1) / data.crop_px**2
        self._reached = np.cumsum(crops / crops.sum())

    def plan(self, number: int) -> Plan:
        """Batch `number`."""
        data, draw = self._data, self._generator(number, 0)
        picked = np.searchsorted(self._reached, draw.random(self.batch), side="right")
        images = np.minimum(picked, len(self._reached) - 1)
        room = self._sizes_px[images] - data.crop_px + 1
        corners = np.floor(draw.random((self.batch, 2)) * room).astype(np.int64)
        flips, transposed = draw.random((self.batch, 2)) < 0.5, draw.random(self.batch) < 0.5
        inside, step_px = data.max_origin_px if draw.random() < data.share_with_origin else 0, data.origin_step_px
        return Plan(
            images=images.astype(np.int64),
            corners=corners,
            flips=flips,
            transposed=transposed,
            origins_px=step_px * draw.integers(0, inside // step_px, (self.batch, 2), endpoint=True),
            seeds=draw.integers(0, 2**62, self.batch),
            crop_px=data.crop_px,
            target_px=data.crop_px - inside,
            lr_px=self._lr_px(draw),
        )

    def draws(self, number: int, share: Share, device: torch.device) -> Draws:
        """What is drawn on the device for batch `number`."""
        seed = int(self._generator(number, 1).integers(2**62))
        return Draws(seed, self.batch, share, device)

    def _lr_px(self, draw: np.random.Generator) -> int:
        data = self._data
        other = int(draw.integers(data.lr_px_min, data.lr_px_max, endpoint=True))
        return data.crop_px // MAIN_SCALE if draw.random() < data.share_at_4 else other

    def _generator(self, number: int, kind: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._stream, number, kind])
