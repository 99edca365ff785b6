"""The rows of a table: ways from a source to a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic
from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.evaluation.sharpening import Fit, sharpen
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale

BICUBIC, PRIOR = "bicubic", "prior"


@runtime_checkable
class Method(Protocol):
    """A row: the target of a source, the same for the same arguments."""

    @property
    def name(self) -> str:
        """Of the row."""

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:
        """Restore an image of 8 bits; `degrade.target_px` says how large the result is."""


@runtime_checkable
class Model(Protocol):
    """What `prior`, `diffusion` and `sharpened prior` are made with."""

    def upscale(self, lr: Rgb, scale: Scale, options: Options) -> Rgb:
        """The whole target of an image."""


@dataclass(frozen=True, slots=True)
class Bicubic:
    """The baseline that no table is without: what the served model of this name makes, Keys' kernel with a = −1/2."""

    @property
    def name(self) -> str:
        """Of the row."""
        return BICUBIC

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:  # noqa: ARG002 - nothing is drawn
        """Enlarge an image."""
        return enlarge_bicubic(lr, scale)


@dataclass(frozen=True, slots=True)
class Prior:
    """The regression alone: no steps, nothing drawn."""

    model: Model

    @property
    def name(self) -> str:
        """Of the row."""
        return PRIOR

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:
        """Restore an image."""
        return self.model.upscale(lr, scale, Options(0, 0.0, seed))


@dataclass(frozen=True, slots=True)
class Diffusion:
    """The prior and a drawn residual."""

    model: Model
    steps: int
    """Of DDIM, in [1, 100]."""
    texture: float = 1.0
    """Weight of the residual, in (0, 1.5]."""

    @property
    def name(self) -> str:
        """Of the row."""
        return f"diffusion, {self.steps} step{'s' if self.steps > 1 else ''}, texture {self.texture:g}"

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:
        """Restore an image, with the noise of a seed."""
        return self.model.upscale(lr, scale, Options(self.steps, self.texture, seed))


@dataclass(frozen=True, slots=True)
class SharpenedPrior:
    """What diffusion has to beat: the prior with a constant gain on all that the source's grid cannot carry.

    The gain gives it the energy of a diffusion row in that very band, without a network: see `sharpening.match_gain`.
    """

    model: Model
    fit: Fit
    like: str
    """Name of the row whose energy it has."""

    @property
    def name(self) -> str:
        """Of the row."""
        return f"sharpened prior, as {self.like}"

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:
        """Restore an image, and sharpen it."""
        return sharpen(Prior(self.model)(lr, scale, seed), scale, self.fit.gain)
