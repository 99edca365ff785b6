"""How source images are made from crops while training: pure functions of the crops, a size and a seed for each crop.

`bicubic` is the protocol of every table. `realistic` is drawn anew for every crop: the blur of an optic that is not
the same in all directions, a sensor whose pixels collect light over an area, noise that grows with the light, and often
JPEG.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.training.jpeg import BLOCK_PX, quantisation, through_jpeg
from hndsr_ensemble.training.resampling import reduce_bicubic_batch

Crops = UInt8[Tensor, "n 3 h w"]
Sources = UInt8[Tensor, "n 3 s s"]
Seeds = Int64[np.ndarray, "n"]

MTF_AT_NYQUIST = (0.2, 0.7)
"""Range of the optic's contrast at half a cycle per source pixel."""
SHOT_VARIANCE = 4e-4
"""Largest variance of a white pixel that is due to the light, white being 1."""
READ_DEVIATION = 6e-3
"""Largest standard deviation of a black pixel."""
SHARE_OF_JPEG = 0.5
JPEG_QUALITY = (60, 95)
BLUR_REACH = 3.0
"""Standard deviations after which a blur is taken to have ended."""


@dataclass(frozen=True)
class Cameras:
    """What is drawn for the crops of a batch, each from a seed of its own, and lies where they do."""

    covariances_px: Float32[Tensor, "n 2 2"]
    """Of the blur, in square source pixels."""
    shot_variance: Float32[Tensor, "n 1 1 1"]
    read_variance: Float32[Tensor, "n 1 1 1"]
    writes_jpeg: Bool[Tensor, "n 1 1 1"]
    jpeg_steps: Float32[Tensor, "n 2 8 8"]


def bicubic(crops: Crops, size_px: int, seeds: Seeds) -> Sources:  # noqa: ARG001 - nothing is drawn
    """Antialiased bicubic reduction (a = -1/2), rounded to 8 bits: the same bytes as `evaluation.degrade`'s."""
    return reduce_bicubic_batch(crops, size_px)


def realistic(crops: Crops, size_px: int, seeds: Seeds) -> Sources:
    """As an aerial camera of the coarser ground sampling might have taken them.

    Source: Gaussian optics and area detectors, Schowengerdt 2007, "Remote Sensing", sec. 3.3; noise with one part that
    grows with the signal, Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting", eq. 2.
    """
    cameras = _cameras(seeds, crops.device)
    pitch_px = crops.shape[-1] / size_px
    light = _blur(crops.float() / 255, cameras.covariances_px * pitch_px**2, reach_px=math.ceil(BLUR_REACH * pitch_px))
    rows, columns = (_area_on(side, size_px, crops.device) for side in crops.shape[-2:])
    light = (rows @ light @ columns.T).clamp(0, 1)
    deviation = (cameras.shot_variance * light + cameras.read_variance).sqrt()
    levels = ((light + deviation * _noise(seeds, light)) * 255).round().clamp(0, 255).to(torch.uint8)
    return torch.where(cameras.writes_jpeg, through_jpeg(levels, cameras.jpeg_steps), levels)


DEGRADATIONS: Final[Mapping[str, Callable[[Crops, int, Seeds], Sources]]] = MappingProxyType(
    {"bicubic": bicubic, "realistic": realistic}
)
"""By the name that the configuration gives."""


def _cameras(seeds: Seeds, device: torch.device) -> Cameras:
    """Drawn on the host and sent at once."""
    sent = upload(np.stack([_camera(int(seed)) for seed in seeds]), device)
    covariances, shot, read, writes_jpeg, steps = sent.split([4, 1, 1, 1, 2 * BLOCK_PX**2], dim=1)
    shot, read, writes_jpeg = (one[:, :, None, None] for one in (shot, read, writes_jpeg))
    return Cameras(
        covariances.unflatten(1, (2, 2)), shot, read, writes_jpeg.bool(), steps.unflatten(1, (2, BLOCK_PX, BLOCK_PX))
    )


def _camera(seed: int) -> Float32[np.ndarray, "135"]:
    """The fields of `Cameras` for one crop, one after the other."""
    draw = np.random.default_rng(seed)
    contrast, angle = draw.uniform(*MTF_AT_NYQUIST, size=2), draw.uniform(0, math.pi)
    # The transform of a Gaussian of deviation σ is exp(-2π²σ²f²), which is the contrast at f = 1/2.
    variances = -2 * np.log(contrast) / math.pi**2
    noise = draw.uniform(0, SHOT_VARIANCE), draw.uniform(0, READ_DEVIATION) ** 2
    writes_jpeg = draw.random() < SHARE_OF_JPEG
    steps = quantisation(int(draw.integers(*JPEG_QUALITY, endpoint=True)))
    covariance = _covariance(variances, angle)
    return np.concatenate([covariance.ravel(), noise, [writes_jpeg], steps.ravel()], dtype=np.float32)


def _covariance(variances: Float64[np.ndarray, "2"], angle: float) -> Float64[np.ndarray, "2 2"]:
    """Of variances along two axes, of which the first is at an angle."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return turn @ np.diag(variances) @ turn.T


def _blur(
    light: Float32[Tensor, "n 3 h w"], covariances: Float32[Tensor, "n 2 2"], *, reach_px: int
) -> Float32[Tensor, "n 3 h w"]:
    """Gaussian blur of a covariance for each image, in square pixels, mirrored at the edges."""
    reach = min(reach_px, *(side - 1 for side in light.shape[-2:]))
    padded = F.pad(light, (reach,) * 4, mode="reflect")
    down = torch.fft.fftfreq(padded.shape[-2], device=light.device)[:, None]
    across = torch.fft.rfftfreq(padded.shape[-1], device=light.device)
    (yy, yx), (_, xx) = covariances.permute(1, 2, 0)[..., None, None]
    transfer = torch.exp(-2 * math.pi**2 * (yy * down**2 + 2 * yx * down * across + xx * across**2))
    blurred = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer[:, None], s=padded.shape[-2:])
    return blurred[..., reach : reach + light.shape[-2], reach : reach + light.shape[-1]]


@lru_cache(maxsize=1024)
def _area_on(source_px: int, target_px: int, device: torch.device) -> Float32[Tensor, "target source"]:
    return torch.from_numpy(area_weights(source_px, target_px)).float().to(device)


def area_weights(source_px: int, target_px: int) -> Float64[np.ndarray, "{target_px} {source_px}"]:
    """The share of each source pixel in each target pixel's area, along one axis; rows sum to 1."""
    pitch, source = source_px / target_px, np.arange(source_px)
    start = np.arange(target_px)[:, None] * pitch
    common = np.minimum(start + pitch, source + 1) - np.maximum(start, source)
    return np.maximum(common, 0) / pitch


def _noise(seeds: Seeds, light: Float32[Tensor, "n 3 s s"]) -> Float32[Tensor, "n 3 s s"]:
    """Unit normal, drawn on the device, each image's from its seed."""
    drawn = torch.empty_like(light)
    for image, seed in zip(drawn, seeds, strict=True):
        image.normal_(generator=torch.Generator(light.device).manual_seed(int(seed)))
    return drawn
