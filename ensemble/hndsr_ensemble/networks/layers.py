"""Layers that more than one network uses."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows

NORM_EPSILON = 1e-6


class Conv(nn.Conv2d):
    """A convolution in the arithmetic of its weights, whatever comes in; in half precision its sums are fp32."""

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs y x"]:
        """Convolve `x`, rounded to the weights' precision, or to autocast's where that is on."""
        # Autocast rounds by itself: half precision would be widened to the weights', only to be rounded again.
        rounds = torch.is_autocast_enabled(x.device.type)
        return super().forward(x if rounds else x.to(self.weight.dtype))


def conv3(inputs: int, outputs: int, *, stride: int = 1) -> Conv:
    """A 3 × 3 convolution that pads one pixel of zeros."""
    return Conv(inputs, outputs, 3, stride=stride, padding=1)


def conv1(inputs: int, outputs: int) -> Conv:
    """A linear map of each pixel's channels."""
    return Conv(inputs, outputs, 1)


def film(h: Float[Tensor, "n c h w"], modulation: Float[Tensor, "n 2*c"]) -> Float[Tensor, "n c h w"]:
    """Scale and shift every channel; the first half of `modulation` is the gain minus one, the second the shift.

    Source: FiLM, arXiv 1709.07871, eq. 2.
    """
    gain, shift = modulation[:, :, None, None].chunk(2, dim=1)
    return h * (1 + gain) + shift


class ResidualBlock(nn.Module):
    """`x + conv2(silu(conv1(x)))` on a constant number of channels, without normalisation.

    Source: the block of EDSR, arXiv 1707.02921, fig. 2c, with SiLU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3(channels, channels)
        self.conv2 = conv3(channels, channels)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Refine `x` at its own resolution."""
        return x + self.conv2(F.silu(self.conv1(x)))


class ChannelNorm(nn.Module):
    """Root-mean-square normalisation over the channels of each pixel, with a learnt gain; blind to other pixels.

    Source: RMSNorm, arXiv 1910.07467, eq. 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Bring every pixel to unit mean square over its channels, times the gain."""
        # In fp32 whatever the activations are: the factor and the gain are, and decide the product's type.
        power = x.float().square().mean(dim=1, keepdim=True)
        return x * torch.rsqrt(power + NORM_EPSILON) * self.gain
