"""The layers agree with the textbook forms they are written for."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader knows
from torch.utils._python_dispatch import TorchDispatchMode

from hndsr_ensemble.networks import FNO, UNet
from hndsr_ensemble.networks.layers import ChannelNorm, conv3
from hndsr_ensemble.networks.sampling import latent_centres, pixel_phases, sample_bilinear
from hndsr_ensemble.networks.spectral import MODES, SpectralConv, analyse, fourier_bases, synthesise

SIZES = [(16, 15), (17, 31), (64, 64), (33, 150)]


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def kept_modes(x: torch.Tensor) -> torch.Tensor:
    spectrum = torch.fft.rfft2(x, norm="forward")[..., :MODES]
    return torch.cat([spectrum[..., :MODES, :], spectrum[..., -MODES:, :]], dim=-2)


@pytest.mark.parametrize("size", SIZES)
def test_analyse_gives_the_lowest_modes_of_rfft2(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    spectrum = analyse(x, fourier_bases(*size, x.device))
    torch.testing.assert_close(torch.complex(*spectrum.unbind(2)), kept_modes(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_synthesise_gives_irfft2_of_the_modes(size: tuple[int, int]) -> None:
    height, width = size
    modes = torch.randn(2, 3, 2 * MODES, MODES, dtype=torch.complex64)
    spectrum = torch.zeros(2, 3, height, width // 2 + 1, dtype=torch.complex64)
    spectrum[..., :MODES, :MODES], spectrum[..., -MODES:, :MODES] = modes.chunk(2, dim=-2)
    image = synthesise(torch.view_as_real(modes).movedim(-1, 2).contiguous(), fourier_bases(*size, modes.device))
    torch.testing.assert_close(image, torch.fft.irfft2(spectrum, s=size, norm="forward"), rtol=0, atol=5e-5)


def test_spectral_conv_multiplies_each_mode_by_its_matrix() -> None:
    x, layer = torch.randn(2, 3, 20, 24), SpectralConv(3)
    bases = fourier_bases(20, 24, x.device)
    expected = torch.einsum("niyx,ioyx->noyx", kept_modes(x), torch.complex(*layer.weight))
    # Column 0 of a real image's spectrum is its own mirror image, so not every product survives there.
    torch.testing.assert_close(kept_modes(layer(x, bases))[..., 1:], expected[..., 1:], rtol=0, atol=1e-5)


def test_sample_bilinear_equals_grid_sample_with_border_padding() -> None:
    features = torch.randn(2, 3, 20, 24)
    y_px, x_px = torch.rand(2, 7) * 26 - 3, torch.rand(2, 9) * 30 - 3
    grid = torch.stack(torch.broadcast_tensors(x_px[:, None] / 12 - 1, y_px[:, :, None] / 10 - 1), dim=-1)
    expected = F.grid_sample(features, grid, align_corners=False, padding_mode="border")
    torch.testing.assert_close(sample_bilinear(features, y_px, x_px), expected, rtol=0, atol=1e-5)


def test_latent_centres_lie_in_the_middle_of_four_target_pixels() -> None:
    centres = latent_centres(torch.tensor([0.25]), torch.tensor([4.0]), 3)
    assert centres.tolist() == [[0.75, 1.75, 2.75]]


def test_pixel_phases_repeat_with_every_source_pixel() -> None:
    y_px, x_px = torch.tensor([[0.25, 100.25]]), torch.tensor([[0.125]])
    eighth = math.sqrt(0.5)
    expected = torch.tensor([1.0, 0.0, eighth, eighth])[None, :, None, None].expand(1, 4, 2, 1)
    torch.testing.assert_close(pixel_phases(y_px, x_px), expected)


def test_channel_norm_gives_unit_mean_square_in_each_pixel() -> None:
    normed = ChannelNorm(8)(torch.randn(2, 8, 3, 5) * 7)
    torch.testing.assert_close(normed.square().mean(dim=1), torch.ones(2, 3, 5))


def test_unet_pixel_depends_on_its_neighbourhood_only(unet: UNet) -> None:
    x, prior, scalar = torch.randn(1, 64, 4, 256), torch.randn(1, 64, 4, 256), torch.tensor([0.5])
    changed = x.clone()
    changed[..., -1] += 1
    difference = unet(x, scalar, prior, 4 + scalar) - unet(changed, scalar, prior, 4 + scalar)
    assert difference[..., :128].abs().max() < 1e-5 < difference[..., -1].abs().max()


def test_fno_runs_in_half_precision_around_its_spectral_part(fno: FNO) -> None:
    lr, scale, origin = torch.rand(1, 3, 16, 16) - 0.5, torch.tensor([4.0]), torch.zeros(1, 2)
    exact = fno(lr, scale, origin, (8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        rough = fno(lr, scale, origin, (8, 8))
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.2)


class Casts(TorchDispatchMode):
    """Notes the types that tensors are brought to."""

    def __init__(self) -> None:
        super().__init__()
        self.to = list[torch.dtype | None]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator as it is."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            self.to.append(kwargs.get("dtype"))
        return func(*args, **kwargs)


def test_convolution_leaves_rounding_to_autocast_where_that_is_on() -> None:
    conv, x = conv3(4, 4), torch.randn(1, 4, 8, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16), Casts() as casts:
        conv(x)
    assert torch.float32 not in casts.to


def test_convolution_widens_what_comes_in_where_autocast_is_off() -> None:
    conv, x = conv3(4, 4), torch.randn(1, 4, 8, 8, dtype=torch.bfloat16)
    assert torch.equal(conv(x), F.conv2d(x.float(), conv.weight, conv.bias, padding=1))
