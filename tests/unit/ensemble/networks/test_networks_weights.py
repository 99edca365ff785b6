"""Weights files hold exactly the networks' parameters."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights, read_weights, save_weights

NETWORKS = [("decoder", Autoencoder), ("fno", FNO), ("unet", UNet)]


@pytest.mark.parametrize(("network", "millions"), [(Autoencoder, 2.32), (FNO, 4.44), (UNet, 5.18)])
def test_network_has_the_documented_number_of_parameters(network: type[nn.Module], millions: float) -> None:
    assert round(sum(parameter.numel() for parameter in network().parameters()) / 1e6, 2) == millions


def test_load_weights_refuses_a_file_that_lacks_a_parameter(repository: Path, tmp_path: Path) -> None:
    tensors = load_file(repository / "unet/1/weights.safetensors")
    del tensors["stem.bias"]
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(RuntimeError, match=r"Missing key.*stem\.bias"):
        load_weights(UNet(), tmp_path / "weights.safetensors")


def test_load_weights_refuses_a_file_with_an_unknown_parameter(repository: Path, tmp_path: Path) -> None:
    tensors = load_file(repository / "unet/1/weights.safetensors")
    save_file({**tensors, "stern.bias": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(RuntimeError, match=r"Unexpected key.*stern\.bias"):
        load_weights(UNet(), tmp_path / "weights.safetensors")


def test_load_weights_leaves_the_network_in_evaluation_mode(fno: FNO) -> None:
    assert not any(module.training for module in fno.modules())


def test_read_weights_gives_fp32(repository: Path) -> None:
    weights = read_weights(repository / "fno/1/weights.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.parametrize(("model", "network"), NETWORKS)
def test_save_weights_writes_the_file_that_was_loaded(
    repository: Path, tmp_path: Path, model: str, network: type[nn.Module]
) -> None:
    shipped, saved = repository / model / "1/weights.safetensors", tmp_path / "weights.safetensors"
    save_weights(load_weights(network(), shipped), saved)
    assert saved.read_bytes() == shipped.read_bytes()
