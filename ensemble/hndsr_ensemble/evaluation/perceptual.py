"""LPIPS, a learnt perceptual distance, from a file of weights that the user brings; needs torch.

The trunks are defined here, so that nothing is downloaded; their weights have a licence of their own and are not part
of this project.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hndsr_ensemble.evaluation.metrics import BORDER_PX, Rgb
from hndsr_ensemble.training.errors import TrainingError

LEAST_PX = 32
"""Shortest side that both trunks have features of."""
EPSILON = 1e-10
SHIFT, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's statistics for images in [-1, 1]."""


class PerceptualWeightsError(TrainingError):
    """A file that does not hold the weights of LPIPS."""

    def __init__(self, *, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} does not hold LPIPS: {reason}. Save the state dictionary of lpips.LPIPS(net='alex') or "
            "lpips.LPIPS(net='vgg'), version 0.1, with safetensors or torch.save"
        )


class _Convolution(NamedTuple):
    """One convolution of a trunk and the ReLU behind it, and where its weights lie in a slice of the original."""

    place: int
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 1


class _Slice(NamedTuple):
    """Layers up to the next features that are compared; `pool` is the kernel of the pooling before them, or 0."""

    pool: int
    convolutions: tuple[_Convolution, ...]


def _vgg(pool: int, place: int, inputs: int, outputs: int, count: int) -> _Slice:
    widths = [inputs] + [outputs] * (count - 1)
    return _Slice(pool, tuple(_Convolution(place + 2 * at, width, outputs, 3) for at, width in enumerate(widths)))


ALEX = (
    _Slice(0, (_Convolution(0, 3, 64, 11, stride=4, padding=2),)),
    _Slice(3, (_Convolution(3, 64, 192, 5, padding=2),)),
    _Slice(3, (_Convolution(6, 192, 384, 3),)),
    _Slice(0, (_Convolution(8, 384, 256, 3),)),
    _Slice(0, (_Convolution(10, 256, 256, 3),)),
)
VGG = (
    _vgg(0, 0, 3, 64, 2),
    _vgg(2, 5, 64, 128, 2),
    _vgg(2, 10, 128, 256, 3),
    _vgg(2, 17, 256, 512, 3),
    _vgg(2, 24, 512, 512, 3),
)
TRUNKS = {"alex": ALEX, "vgg": VGG}
"""Up to the ReLUs conv1…conv5 of AlexNet, and conv1_2…conv5_3 of VGG-16, as torchvision has them.

Source: Krizhevsky 2014, arXiv 1404.5997; Simonyan & Zisserman 2014, arXiv 1409.1556, column D.
"""


class Lpips:
    """A distance of images: between features of a trunk, each pixel's at unit length, weighted by channel.

    Source: LPIPS, Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric",
    arXiv 1801.03924, eq. 1; weights of version 0.1.

    Args:
        weights: the state dictionary of the original.
        trunk: of `TRUNKS`.
    """

    def __init__(self, weights: Mapping[str, Tensor], trunk: str) -> None:
        self.trunk = trunk
        self._slices = [_layers(entry, weights, number) for number, entry in enumerate(TRUNKS[trunk], start=1)]
        self._weights = [weights[f"lin{number}.model.1.weight"].float() for number in range(len(self._slices))]

    def __call__(self, image: Rgb, truth: Rgb) -> float:
        """0 for equal images; the project's border is cut from both first.

        Raises:
            ValueError: shapes differ, or less than `LEAST_PX` are left inside the border.
        """
        if image.shape != truth.shape or min(image.shape[:2]) - 2 * BORDER_PX < LEAST_PX:
            raise ValueError(f"{image.shape} has no features to measure against {truth.shape}")
        with torch.inference_mode():
            triples = zip(self._features(image), self._features(truth), self._weights, strict=True)
            return sum(float(((ours - its) ** 2 * weight).sum(dim=1).mean()) for ours, its, weight in triples)

    def _features(self, image: Rgb) -> Iterator[Float[Tensor, "1 c h w"]]:
        inside = image[BORDER_PX : image.shape[0] - BORDER_PX, BORDER_PX : image.shape[1] - BORDER_PX]
        unit = torch.from_numpy(np.ascontiguousarray(inside)).permute(2, 0, 1)[None].float() / 127.5 - 1
        x = (unit - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
        for layers in self._slices:
            x = layers(x)
            yield x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)


def load_lpips(path: Path) -> Lpips:
    """LPIPS with the weights of a file; which trunk they are for is seen from their shapes.

    Raises:
        PerceptualWeightsError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise PerceptualWeightsError(path=path, reason="there is no such file")
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise PerceptualWeightsError(path=path, reason=str(error).splitlines()[0]) from error
    if not isinstance(weights, Mapping):
        raise PerceptualWeightsError(path=path, reason="it is no state dictionary")
    first = weights.get("net.slice1.0.weight")
    try:
        return Lpips(weights, "alex" if first is not None and first.shape[-1] == 11 else "vgg")
    except (KeyError, RuntimeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise PerceptualWeightsError(path=path, reason=reason) from error


def _layers(entry: _Slice, weights: Mapping[str, Tensor], number: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.MaxPool2d(entry.pool, 2)] if entry.pool else []
    for place, inputs, outputs, kernel, stride, padding in entry.convolutions:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding)
        prefix = f"net.slice{number}.{place}"
        convolution.load_state_dict({name: weights[f"{prefix}.{name}"] for name in ("weight", "bias")})
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers).eval().requires_grad_(requires_grad=False)
