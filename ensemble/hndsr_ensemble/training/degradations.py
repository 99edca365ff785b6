"""How source images are made from crops while training: pure functions of the crops, a size and a seed for each crop.

`bicubic` is the protocol of every table. `realistic` is drawn anew for every crop: the blur of an optic that is not
the same in all directions, a sensor whose pixels collect light over an area, noise that grows with the light, and often
JPEG.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

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
class Camera:
    """What is drawn for each crop."""

    deviations_px: Float64[np.ndarray, "2"]
    """Of the blur along its two axes, in source pixels."""
    angle: float
    """Of the first axis, in radians."""
    shot_variance: float
    read_deviation: float
    jpeg_quality: int | None
    noise: Float32[np.ndarray, "3 s s"]
    """Unit normal."""


def bicubic(crops: Crops, size_px: int, seeds: Seeds) -> Sources:  # noqa: ARG001 - nothing is drawn
    """Antialiased bicubic reduction (a = -1/2), rounded to 8 bits: the same bytes as `evaluation.degrade`'s."""
    return reduce_bicubic_batch(crops, size_px)


def realistic(crops: Crops, size_px: int, seeds: Seeds) -> Sources:
    """As an aerial camera of the coarser ground sampling might have taken them.

    Source: Gaussian optics and area detectors, Schowengerdt 2007, "Remote Sensing", sec. 3.3; noise with one part that
    grows with the signal, Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting", eq. 2.
    """
    cameras = [_camera(int(seed), size_px) for seed in seeds]
    covariances = torch.from_numpy(np.stack([_covariance(camera) for camera in cameras])).to(crops.device)
    pitch_px = crops.shape[-1] / size_px
    light = _blur(crops.float() / 255, covariances.float() * pitch_px**2, reach_px=math.ceil(BLUR_REACH * pitch_px))
    rows, columns = (_area_on(side, size_px, crops.device) for side in crops.shape[-2:])
    light = (rows @ light @ columns.T).clamp(0, 1)
    levels = ((light + _noise(light, cameras)) * 255).round().clamp(0, 255).to(torch.uint8)
    return _compressed(levels, cameras)


DEGRADATIONS: Final[Mapping[str, Callable[[Crops, int, Seeds], Sources]]] = MappingProxyType(
    {"bicubic": bicubic, "realistic": realistic}
)
"""By the name that the configuration gives."""


def _camera(seed: int, size_px: int) -> Camera:
    draw = np.random.default_rng(seed)
    contrast = draw.uniform(*MTF_AT_NYQUIST, size=2)
    return Camera(
        # The transform of a Gaussian of deviation σ is exp(-2π²σ²f²), which is the contrast at f = 1/2.
        deviations_px=np.sqrt(-2 * np.log(contrast)) / math.pi,
        angle=draw.uniform(0, math.pi),
        shot_variance=draw.uniform(0, SHOT_VARIANCE),
        read_deviation=draw.uniform(0, READ_DEVIATION),
        jpeg_quality=int(draw.integers(*JPEG_QUALITY, endpoint=True)) if draw.random() < SHARE_OF_JPEG else None,
        noise=draw.standard_normal((3, size_px, size_px), dtype=np.float32),
    )


def _covariance(camera: Camera) -> Float64[np.ndarray, "2 2"]:
    cosine, sine = math.cos(camera.angle), math.sin(camera.angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return turn @ np.diag(camera.deviations_px**2) @ turn.T


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


def _noise(light: Float32[Tensor, "n 3 s s"], cameras: list[Camera]) -> Float32[Tensor, "n 3 s s"]:
    drawn = torch.from_numpy(np.stack([camera.noise for camera in cameras])).to(light.device)
    facts = torch.tensor([(camera.shot_variance, camera.read_deviation**2) for camera in cameras], device=light.device)
    shot, read = facts.T[:, :, None, None, None]
    return drawn * (shot * light + read).sqrt()


def _compressed(levels: UInt8[Tensor, "n 3 s s"], cameras: list[Camera]) -> UInt8[Tensor, "n 3 s s"]:
    images = levels.permute(0, 2, 3, 1).cpu().numpy()
    done = [
        image if camera.jpeg_quality is None else _through_jpeg(image, camera.jpeg_quality)
        for image, camera in zip(images, cameras, strict=True)
    ]
    return torch.from_numpy(np.stack(done)).to(levels.device).permute(0, 3, 1, 2)


def _through_jpeg(image: UInt8[np.ndarray, "s s 3"], quality: int) -> UInt8[np.ndarray, "s s 3"]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        return np.asarray(decoded)
