"""Releases in MLflow's own registry, kept in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.training.release.released import make_released

from hndsr_ensemble.manifest import model_repository, read_manifest
from hndsr_ensemble.networks import UNet, load_weights, save_weights
from hndsr_ensemble.release import (
    CARD,
    DOCUMENTS,
    GOLDEN,
    RECORD,
    TRAINED,
    read_record,
    write_manifest,
    write_record,
)
from hndsr_ensemble.training.command import main
from hndsr_ensemble.training.config import TrackingConfig
from hndsr_ensemble.training.registry import NotReleasedError, NoVersionError, fetch, promote, rollback
from hndsr_ensemble.training.release.golden import write_golden
from hndsr_ensemble.training.release.installing import copy_repository
from hndsr_ensemble.training.release.torch_networks import torch_networks
from hndsr_ensemble.training.release.verification import verify
from hndsr_ensemble.training.tracking import open_store, open_tracking


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of this checkout as a release leaves it."""
    return make_released(tmp_path_factory.mktemp("releases") / "first")


@pytest.fixture
def second(first: Path, tmp_path: Path) -> Path:
    """A release of slightly other weights."""
    folder = tmp_path / "second"
    copy_repository(first, folder)
    weights = folder / "unet/1/weights.safetensors"
    network = load_weights(UNet(), weights)
    network.residual_std *= 1.0001
    save_weights(network, weights)
    write_manifest(folder, next(document for document in DOCUMENTS if document["triton_model"] == TRAINED))
    write_golden(folder / GOLDEN, torch_networks(folder))
    write_record(folder)
    return folder


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> TrackingConfig:
    """One in a folder; MLflow warns when it is imported."""
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    return TrackingConfig(store=str(tmp_path / "store"))


def in_production(config: TrackingConfig) -> str:
    """Digest of the manifest that MLflow itself names."""
    with open_store(config) as (_, client):
        return str(client.get_model_version_by_alias("hndsr", "production").tags["hndsr.manifest"])


@pytest.mark.slow
def test_registry_goes_back_to_the_release_before_and_installs_it(
    first: Path, second: Path, registry: TrackingConfig, tmp_path: Path
) -> None:
    promote(first, registry)
    promote(second, registry)
    assert in_production(registry) == read_manifest(second, TRAINED).digest
    rollback(registry)
    assert in_production(registry) == read_manifest(first, TRAINED).digest
    copy_repository(second, tmp_path / "served")
    assert fetch(registry, tmp_path / "served").digest == read_manifest(first, TRAINED).digest
    assert read_record(tmp_path / "served" / RECORD) == read_record(first / RECORD)
    assert [check for check in verify(tmp_path / "served") if check.fault] == []


def test_registry_promotes_the_same_weights_once(
    first: Path, registry: TrackingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert promote(first, registry) == promote(first, registry)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    with pytest.raises(NoVersionError, match="was the first"):
        rollback(registry)


def test_registry_shows_a_release_below_its_run(first: Path, registry: TrackingConfig, tmp_path: Path) -> None:
    with open_tracking(registry, tmp_path):
        pass
    version = promote(first, registry, run=tmp_path)
    with open_store(registry) as (_, client):
        parent = client.get_run(version.run_id).data.tags["mlflow.parentRunId"]
        assert client.get_run(parent).info.run_name == tmp_path.name


def test_registry_takes_no_repository_that_no_release_left(registry: TrackingConfig, tmp_path: Path) -> None:
    copy_repository(model_repository(), tmp_path / "repository")
    (tmp_path / "repository" / RECORD).unlink(missing_ok=True)
    with pytest.raises(NotReleasedError, match=r"release\.json"):
        promote(tmp_path / "repository", registry)
    assert not Path(registry.store).exists()


def test_registry_takes_no_damaged_release(first: Path, registry: TrackingConfig, tmp_path: Path) -> None:
    copy_repository(first, tmp_path / "repository")
    (tmp_path / "repository" / CARD).write_text("another card")
    with pytest.raises(NotReleasedError, match=CARD):
        promote(tmp_path / "repository", registry)


def test_registry_that_is_empty_has_nothing_to_install(
    registry: TrackingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Path(registry.store).as_uri())
    assert main(["fetch", "--into", str(tmp_path / "repository")]) == 2
    assert "none is in production" in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()
