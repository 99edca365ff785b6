"""The model repository and its window models in this process."""

from pathlib import Path

import pytest

from hndsr_ensemble.manifest import Manifest, read_manifests
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.windows import WindowFunction


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[3] / "model_repository"


@pytest.fixture(scope="session")
def settings() -> ServingSettings:
    """Of the engine whose answers are the committed ones."""
    return ServingSettings.from_environment({"HNDSR_ENGINE": "onnxruntime"})


@pytest.fixture(scope="session")
def openvino_settings() -> ServingSettings:
    """In the arithmetic that is the faster one here."""
    pytest.importorskip("openvino")
    return ServingSettings.from_environment({"HNDSR_ENGINE": "openvino", "HNDSR_CPU_THREADS": "2"})


@pytest.fixture(scope="session")
def hndsr(repository: Path) -> Manifest:
    return read_manifests(repository)["hndsr"]


@pytest.fixture(scope="session")
def bicubic(repository: Path) -> Manifest:
    return read_manifests(repository)["bicubic"]


@pytest.fixture(scope="session")
def bicubic_function(repository: Path, bicubic: Manifest, settings: ServingSettings) -> WindowFunction:
    return load_pipeline(repository, bicubic, settings)


@pytest.fixture(scope="session")
def hndsr_function(repository: Path, hndsr: Manifest, settings: ServingSettings) -> WindowFunction:
    return load_pipeline(repository, hndsr, settings)


@pytest.fixture(scope="session")
def openvino_function(repository: Path, hndsr: Manifest, openvino_settings: ServingSettings) -> WindowFunction:
    return load_pipeline(repository, hndsr, openvino_settings)
