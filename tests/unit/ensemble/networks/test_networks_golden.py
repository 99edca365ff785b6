"""The PyTorch networks give what they gave when they were trained."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from hndsr_ensemble.networks import FNO, Autoencoder, UNet
from hndsr_ensemble.schedule import ddim

Case = dict[str, np.ndarray]
AssertGolden = Callable[[str, np.ndarray], None]

TEXTURES = {"image_texture_1": 1.0, "image_texture_0p5": 0.5, "image_texture_0": 0.0}


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def tensors(golden: Case, *names: str) -> list[torch.Tensor]:
    return [torch.from_numpy(golden[name]) for name in names]


def test_fno_gives_the_golden_prior(fno: FNO, golden: Case, assert_golden: AssertGolden) -> None:
    prior = fno(*tensors(golden, "lr", "scale", "origin"), golden["prior"].shape[2:])
    assert_golden("prior", prior.numpy())


def test_unet_gives_the_golden_velocity(unet: UNet, golden: Case, assert_golden: AssertGolden) -> None:
    assert_golden("v", unet(*tensors(golden, "x", "t", "prior", "scale")).numpy())


def test_unet_gives_the_golden_residual_when_sampled(unet: UNet, golden: Case, assert_golden: AssertGolden) -> None:
    prior, scale = tensors(golden, "prior", "scale")

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return unet(torch.from_numpy(x), torch.tensor([t]), prior, scale).numpy()

    assert_golden("residual", ddim(velocity, golden["x"], int(golden["steps"][0])))


@pytest.mark.parametrize("name", TEXTURES)
def test_decoder_gives_the_golden_image(
    autoencoder: Autoencoder, unet: UNet, golden: Case, assert_golden: AssertGolden, name: str
) -> None:
    prior, residual = tensors(golden, "prior", "residual")
    assert_golden(name, autoencoder.decode(prior + TEXTURES[name] * unet.residual_std * residual).numpy())


def test_encoder_gives_the_golden_latent(autoencoder: Autoencoder, golden: Case, assert_golden: AssertGolden) -> None:
    assert_golden("encoded_hr", autoencoder.encode(*tensors(golden, "hr")).numpy())
