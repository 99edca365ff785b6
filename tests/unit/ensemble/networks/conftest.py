"""The shipped networks and their golden cases."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights

ROOT = Path(__file__).parents[4]
Case = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def autoencoder(repository: Path) -> Autoencoder:
    return load_weights(Autoencoder(), repository / "decoder/1/weights.safetensors")


@pytest.fixture(scope="session")
def fno(repository: Path) -> FNO:
    return load_weights(FNO(), repository / "fno/1/weights.safetensors")


@pytest.fixture(scope="session")
def unet(repository: Path) -> UNet:
    return load_weights(UNet(), repository / "unet/1/weights.safetensors")


@pytest.fixture(params=["x4", "x3p14", "x8"])
def golden(request: pytest.FixtureRequest) -> Case:
    """Inputs and fp32 outputs of the networks as they were trained."""
    prefix = f"{request.param}__"
    with np.load(ROOT / "tests/golden/golden.npz") as arrays:
        return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}


@pytest.fixture
def assert_golden(golden: Case) -> Callable[[str, np.ndarray], None]:
    """Compares an output with the golden one of that name."""

    def compare(name: str, actual: np.ndarray) -> None:
        np.testing.assert_allclose(actual, golden[name], rtol=0, atol=1e-4)

    return compare
