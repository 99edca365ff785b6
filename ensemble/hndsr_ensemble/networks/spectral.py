"""The spectral convolution of the Fourier neural operator as matrix products.

A 2-D real Fourier transform that keeps few modes is cheaper as products with short cosine and sine bases than as an
FFT, needs no complex numbers, and exports to ONNX operators that every runtime has. With θ = 2π·kx·x/w and
φ = 2π·ky·y/h, the bases are

    columns = [cos θ | sin θ]            (w, 2·kx)
    rows    = [[cos φ, -sin φ],
               [-sin φ, -cos φ]]         (2·ky, 2·h)

A real image times `columns`, its two halves stacked as rows, then `rows` times that, gives the real and imaginary parts
of the spectrum one above the other. The way back is the transpose of the same bases, with every column but kx = 0
counted twice: it stands for its mirror image -kx too.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

MODES = 8


class FourierBases(NamedTuple):
    """Cosine and sine bases of one image size; all spectral convolutions of that size share them."""

    rows: Float32[Tensor, "2*ky 2*h"]
    columns: Float32[Tensor, "w 2*kx"]
    mirror: Float32[Tensor, " 2*kx"]
    """How often each column counts on the way back."""


def fourier_bases(height: int, width: int, device: torch.device) -> FourierBases:
    """Bases of the lowest `MODES` frequencies of a `height` × `width` image, 2 · `MODES` of either sign vertically.

    Args:
        height: at least 16, so that positive and negative frequencies differ.
        width: at least 15, so that the Nyquist frequency is not kept.
        device: where the spectral convolutions run.
    """
    kx = torch.arange(MODES, device=device)
    ky = torch.cat([kx, kx - MODES])
    theta, phi = _angles(kx, width), _angles(ky, height)
    sine, cosine = phi.sin(), phi.cos()
    rows = torch.cat([torch.cat([cosine, -sine], 1), torch.cat([-sine, -cosine], 1)])
    columns = torch.cat([theta.cos(), theta.sin()]).T
    return FourierBases(rows, columns, (1 + (kx > 0)).float().repeat(2))


def analyse(x: Float32[Tensor, "n c h w"], bases: FourierBases) -> Float32[Tensor, "n c 2 ky kx"]:
    """The lowest modes of `x`, real and imaginary part, where mode (0, 0) is the mean.

    Source: `rfft2(x, norm="forward")`, rows ky = 0 … m - 1, -m … -1 and columns kx = 0 … m - 1 of it.
    """
    halves = torch.cat((x @ bases.columns).chunk(2, dim=-1), dim=-2)
    spectrum = bases.rows @ halves / (x.shape[-2] * x.shape[-1])
    return spectrum.unflatten(-2, (2, 2 * MODES))


def synthesise(spectrum: Float32[Tensor, "n c 2 ky kx"], bases: FourierBases) -> Float32[Tensor, "n c h w"]:
    """The image that has these lowest modes and no others.

    Source: `irfft2(spectrum, norm="forward")`.
    """
    halves = torch.cat((bases.rows.T @ spectrum.flatten(-3, -2)).chunk(2, dim=-2), dim=-1)
    return halves @ (bases.columns * bases.mirror).T


class SpectralConv(nn.Module):
    """A global convolution: every kept Fourier mode is multiplied by its own complex channel matrix, always in fp32.

    `weight` is (real or imaginary, in, out, ky, kx).

    Source: FNO, arXiv 2010.08895, eq. 4 and 5.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, channels, channels, 2 * MODES, MODES) / channels)

    def forward(self, x: Float[Tensor, "n c h w"], bases: FourierBases) -> Float32[Tensor, "n c h w"]:
        """Convolve a window, taken as periodic, with kernels as large as itself."""
        with torch.autocast(x.device.type, enabled=False):
            return synthesise(self._mix(analyse(x.float(), bases)), bases)

    def _mix(self, spectrum: Float32[Tensor, "n c 2 ky kx"]) -> Float32[Tensor, "n c 2 ky kx"]:
        real, imaginary = self.weight.float()
        complex_product = torch.stack([torch.stack([real, imaginary]), torch.stack([-imaginary, real])])
        return torch.einsum("nipyx,pqioyx->noqyx", spectrum, complex_product)


def _angles(modes: Int64[Tensor, " k"], length: int) -> Float32[Tensor, "k length"]:
    # The product is reduced while it is an exact integer; fp32 would lose phase with every period.
    turns = torch.outer(modes, torch.arange(length, device=modes.device)) % length
    return turns.float() / length * (2 * math.pi)
