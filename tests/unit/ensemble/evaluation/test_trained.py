"""A run's weights, measured before they are exported."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, scene

torch = pytest.importorskip("torch")

from hndsr_ensemble.evaluation.degrade import reduce_bicubic  # noqa: E402 - torch is an extra
from hndsr_ensemble.evaluation.models import repository_model  # noqa: E402
from hndsr_ensemble.evaluation.trained import DeviceMissingError, WeightsFolderError, weights_model  # noqa: E402
from hndsr_ensemble.manifest import Options, model_repository  # noqa: E402

MODELS = {"autoencoder": "decoder", "fno": "fno", "unet": "unet"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights as a run leaves them."""
    folder = tmp_path_factory.mktemp("weights")
    for name, model in MODELS.items():
        shutil.copy(model_repository() / model / "1/weights.safetensors", folder / f"{name}.safetensors")
    return folder


@pytest.mark.parametrize("options", [Options(0, 0.0, 0), Options(2, 1.0, 7)], ids=["prior", "diffusion"])
def test_weights_make_what_their_export_makes(weights: Path, options: Options) -> None:
    source = reduce_bicubic(scene(1), 4)
    models = weights_model(weights, device="cpu"), repository_model(model_repository())
    ours, its = (model.upscale(source, FOUR, options) for model in models)
    difference = np.abs(ours.astype(int) - its)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_facts_tell_weights_by_their_bytes(weights: Path, tmp_path: Path) -> None:
    facts = weights_model(weights, device="cpu").facts
    assert (facts.source, facts.precision, facts.device) == ("weights", "fp32", "cpu")
    other = Path(shutil.copytree(weights, tmp_path / "other"))
    content = bytearray((other / "unet.safetensors").read_bytes())
    content[-1] ^= 1
    (other / "unet.safetensors").write_bytes(content)
    assert weights_model(other, device="cpu").facts.identity != facts.identity


def test_folder_without_a_network_is_refused(weights: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(weights, tmp_path / "other"))
    (other / "unet.safetensors").unlink()
    with pytest.raises(WeightsFolderError, match=r"does not hold autoencoder\.safetensors"):
        weights_model(other, device="cpu")


@pytest.mark.parametrize("content", [b"", b"no weights at all"])
def test_file_that_holds_no_weights_is_refused(weights: Path, tmp_path: Path, content: bytes) -> None:
    other = Path(shutil.copytree(weights, tmp_path / "other"))
    (other / "fno.safetensors").write_bytes(content)
    with pytest.raises(WeightsFolderError):
        weights_model(other, device="cpu")


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(weights, tmp_path / "other"))
    shutil.copy(other / "unet.safetensors", other / "fno.safetensors")
    with pytest.raises(WeightsFolderError, match="of this model"):
        weights_model(other, device="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_convolutions_on_a_gpu_are_not_rounded_to_tf32(weights: Path) -> None:
    weights_model(weights, device="cuda")
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there_is_refused(weights: Path) -> None:
    with pytest.raises(DeviceMissingError, match="finds no cuda here"):
        weights_model(weights, device="cuda")
