"""What MLflow is told of a run, and what happens without it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hndsr_ensemble.training.config import TrackingConfig, TrainingConfig
from hndsr_ensemble.training.tracking import NoTracking, TrackingMissingError, TrackingStoreError, open_tracking


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingConfig:
    """A store in a folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return TrackingConfig(store=str(tmp_path / "store"))


@pytest.fixture
def mlflow(recwarn: pytest.WarningsRecorder) -> Any:
    return pytest.importorskip("mlflow")


def runs(mlflow: Any, config: TrackingConfig) -> list[Any]:
    client = mlflow.MlflowClient(tracking_uri=Path(config.store).as_uri())
    return client.search_runs([client.get_experiment_by_name(config.experiment).experiment_id])


def test_tracking_keeps_parameters_metrics_and_files(mlflow: Any, local: TrackingConfig, tmp_path: Path) -> None:
    weights = tmp_path / "unet.safetensors"
    weights.write_bytes(b"weights")
    with open_tracking(local, tmp_path) as tracking:
        tracking.parameters({"prior.batch": "32"})
        tracking.metrics({"prior.loss": 0.25}, 10)
        tracking.artifact(weights)
    (run,) = runs(mlflow, local)
    assert (run.data.params, run.data.metrics) == ({"prior.batch": "32"}, {"prior.loss": 0.25})
    assert run.info.status == "FINISHED"
    assert [path.read_bytes() for path in Path(local.store).rglob("unet.safetensors")] == [b"weights"]


def test_tracking_goes_on_in_the_same_run_when_resumed(mlflow: Any, local: TrackingConfig, tmp_path: Path) -> None:
    for step in (1, 2):
        with open_tracking(local, tmp_path) as tracking:
            tracking.parameters({"seed": "0"})
            tracking.metrics({"prior.loss": 1.0 / step}, step)
    (run,) = runs(mlflow, local)
    assert run.data.metrics == {"prior.loss": 0.5}


def test_tracking_marks_a_run_that_failed(mlflow: Any, local: TrackingConfig, tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_tracking(local, tmp_path):
        raise KeyError
    assert [run.info.status for run in runs(mlflow, local)] == ["FAILED"]


def test_tracking_that_fails_is_told_once_and_stops_nothing(
    mlflow: Any, local: TrackingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_tracking(local, tmp_path) as tracking:
        shutil.rmtree(local.store)
        for step in (1, 2):
            tracking.metrics({"prior.loss": 0.25}, step)
        tracking.artifact(tmp_path / "absent")
    assert capsys.readouterr().err.count("MLflow is told nothing more") == 1


def test_tracking_goes_where_the_environment_says(
    mlflow: Any, local: TrackingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())
    with open_tracking(local, tmp_path):
        pass
    assert (tmp_path / "elsewhere").is_dir()
    assert not Path(local.store).exists()


def test_tracking_store_that_cannot_be_used_is_refused(mlflow: Any, tmp_path: Path) -> None:
    with pytest.raises(TrackingStoreError), open_tracking(TrackingConfig(store="nonsense://store"), tmp_path):
        pass


def test_tracking_without_mlflow_is_refused(
    local: TrackingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrackingMissingError, match="mlflow-skinny"), open_tracking(local, tmp_path):
        pass


@pytest.mark.parametrize(("config", "writes"), [(TrackingConfig(mode="off"), True), (TrackingConfig(), False)])
def test_tracking_that_is_off_writes_nothing(config: TrackingConfig, tmp_path: Path, *, writes: bool) -> None:
    with open_tracking(config, tmp_path, writes=writes) as tracking:
        assert isinstance(tracking, NoTracking)
        tracking.metrics({"loss": 1.0}, 1)
    assert list(tmp_path.iterdir()) == []


def test_tracking_is_told_a_whole_configuration(
    mlflow: Any, local: TrackingConfig, tmp_path: Path, toy: TrainingConfig
) -> None:
    with open_tracking(local, tmp_path) as tracking:
        tracking.parameters(toy.fields())
    (run,) = runs(mlflow, local)
    assert run.data.params["prior.learning_rate"] == "0.0006"
