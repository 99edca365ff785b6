"""LPIPS with weights made up on the spot: its layers, its properties, and files that do not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import blurred, noisy, scene

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402 - torch is an extra

from hndsr_ensemble.evaluation.perceptual import TRUNKS, Lpips, PerceptualWeightsError, load_lpips  # noqa: E402

VGG16_PARAMETERS, ALEXNET_PARAMETERS = 14_714_688, 2_469_696
"""Of the convolutions, as the papers' architectures have them."""

Weights = dict[str, torch.Tensor]


def made_up(trunk: str) -> Weights:
    """Random weights with the names and shapes of the original."""
    generator, weights = torch.Generator().manual_seed(0), {}
    for number, entry in enumerate(TRUNKS[trunk], start=1):
        for place, inputs, outputs, kernel, *_ in entry.convolutions:
            shape = (outputs, inputs, kernel, kernel)
            scale = (2 / (inputs * kernel**2)) ** 0.5
            weights[f"net.slice{number}.{place}.weight"] = torch.randn(shape, generator=generator) * scale
            weights[f"net.slice{number}.{place}.bias"] = torch.zeros(outputs)
        weights[f"lin{number - 1}.model.1.weight"] = torch.rand((1, outputs, 1, 1), generator=generator)
    return weights


@pytest.fixture(scope="module")
def alex() -> Lpips:
    return Lpips(made_up("alex"), "alex")


@pytest.mark.parametrize(("trunk", "parameters"), [("alex", ALEXNET_PARAMETERS), ("vgg", VGG16_PARAMETERS)])
def test_trunk_has_the_parameters_of_its_paper(trunk: str, parameters: int) -> None:
    weights = made_up(trunk)
    assert sum(tensor.numel() for name, tensor in weights.items() if name.startswith("net.")) == parameters


def test_distance_of_equal_pictures_is_nothing(alex: Lpips) -> None:
    assert alex(scene(1), scene(1)) == 0


def test_distance_is_symmetric(alex: Lpips) -> None:
    assert alex(scene(1), noisy(scene(1))) == pytest.approx(alex(noisy(scene(1)), scene(1)))


def test_distance_grows_with_blur_and_noise(alex: Lpips) -> None:
    for spoil in (blurred, noisy):
        near, far = (alex(spoil(scene(1), amount), scene(1)) for amount in (0.7, 6.0))
        assert 0 < near < far


def test_distance_does_not_see_the_border(alex: Lpips) -> None:
    framed = scene(1).copy()
    framed[:4] = 0
    assert alex(framed, scene(1)) == 0


def test_distance_is_that_of_the_formula() -> None:
    weights = made_up("vgg")
    found = Lpips(weights, "vgg")(noisy(scene(1)), scene(1))
    assert found == pytest.approx(_by_hand(weights, noisy(scene(1)), scene(1)), rel=1e-4)


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_read_from_a_file(tmp_path: Path, trunk: str, suffix: str) -> None:
    path = tmp_path / f"lpips{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(made_up(trunk), path)
    assert load_lpips(path).trunk == trunk


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PerceptualWeightsError, match="there is no such file"):
        load_lpips(tmp_path / "lpips.safetensors")


@pytest.mark.parametrize("name", ["lpips.safetensors", "lpips.pth"])
def test_file_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(PerceptualWeightsError, match="does not hold LPIPS"):
        load_lpips(tmp_path / name)


def test_file_without_all_weights_is_refused(tmp_path: Path) -> None:
    weights = made_up("alex")
    del weights["lin3.model.1.weight"]
    save_file(weights, tmp_path / "lpips.safetensors")
    with pytest.raises(PerceptualWeightsError, match=r"it lacks 'lin3\.model\.1\.weight'"):
        load_lpips(tmp_path / "lpips.safetensors")


def _by_hand(weights: Weights, image: np.ndarray, truth: np.ndarray) -> float:
    """Plainly, layer by layer, after the description of VGG-16 and the paper's equation 1."""
    shift, spread = (
        torch.tensor(values)[:, None, None] for values in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    places = [(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)]
    inner = [torch.tensor(picture[4:-4, 4:-4].transpose(2, 0, 1)).float() / 127.5 - 1 for picture in (image, truth)]
    maps = [((picture - shift) / spread)[None] for picture in inner]
    total = 0.0
    for number, convolutions in enumerate(places, start=1):
        for place in convolutions:
            kernel, bias = (weights[f"net.slice{number}.{place}.{name}"] for name in ("weight", "bias"))
            maps = [torch.relu(torch.nn.functional.conv2d(x, kernel, bias, padding=1)) for x in maps]
        ours, its = (x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1e-10) for x in maps)
        total += float((weights[f"lin{number - 1}.model.1.weight"] * (ours - its) ** 2).sum(dim=1).mean())
        maps = [torch.nn.functional.max_pool2d(x, 2) for x in maps]
    return total
