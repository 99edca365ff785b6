"""MLflow, of which only this module knows: parameters, metrics and files of runs, kept where the user says.

Nothing is sent anywhere else: MLflow's own telemetry is switched off before it is imported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hndsr_ensemble.training.config import TrackingConfig
from hndsr_ensemble.training.errors import TrainingError

RUN_FILE = "mlflow-run.txt"
"""In the run's folder: the identifier under which MLflow knows it, so that a resumed run goes on there."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Files are what is asked for: a local folder that needs no database.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
LONGEST_VALUE = 500


class TrackingMissingError(TrainingError):
    """MLflow is asked for and not installed."""

    def __init__(self) -> None:
        super().__init__("tracking.mode is mlflow, which is not installed: install mlflow-skinny, or set it to off")


class TrackingStoreError(TrainingError):
    """MLflow cannot use its store."""

    def __init__(self, *, store: str, cause: str) -> None:
        super().__init__(f"MLflow cannot use {store}: {cause}")


@runtime_checkable
class Tracking(Protocol):
    """Where a run is written down to be compared with others."""

    def parameters(self, values: Mapping[str, str]) -> None:
        """What the run was told."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers after a step."""

    def artifact(self, path: Path) -> None:
        """A file that came out."""


class NoTracking:
    """Writes nothing down."""

    def parameters(self, values: Mapping[str, str]) -> None:
        """Nothing."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def artifact(self, path: Path) -> None:
        """Nothing."""


class MlflowTracking:
    """One run of MLflow's."""

    def __init__(self, client: Any, run_id: str, entities: Any) -> None:
        self._client, self._run_id, self._entities = client, run_id, entities

    def parameters(self, values: Mapping[str, str]) -> None:
        """What the run was told; a second time changes nothing."""
        known = self._client.get_run(self._run_id).data.params
        new = [self._entities.Param(name, text[:LONGEST_VALUE]) for name, text in values.items() if name not in known]
        if new:
            self._client.log_batch(self._run_id, params=new)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers after a step."""
        now_ms = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def artifact(self, path: Path) -> None:
        """A copy of a file."""
        self._client.log_artifact(self._run_id, str(path))


@contextmanager
def open_tracking(config: TrackingConfig, run_folder: Path, *, writes: bool = True) -> Iterator[Tracking]:
    """The tracking of a run, which is marked as finished or failed at the end.

    Args:
        config: where.
        run_folder: remembers the run's identifier.
        writes: False in all processes but the first.

    Raises:
        TrackingMissingError: MLflow is asked for and not installed.
        TrackingStoreError: its store cannot be used.
    """
    if config.mode == "off" or not writes:
        yield NoTracking()
        return
    os.environ.update(SETTINGS)
    if find_spec("mlflow") is None:
        raise TrackingMissingError
    import mlflow  # noqa: PLC0415 - after its telemetry is off, and only where it is asked for

    store = os.environ.get("MLFLOW_TRACKING_URI") or _address(config.store)
    try:
        client = mlflow.MlflowClient(tracking_uri=store)
        run_id = _run_id(client, config, run_folder)
    except mlflow.exceptions.MlflowException as error:
        raise TrackingStoreError(store=store, cause=error.message.splitlines()[0]) from error
    status = "FAILED"
    try:
        yield MlflowTracking(client, run_id, mlflow.entities)
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _address(store: str) -> str:
    return store if "://" in store else Path(store).resolve().as_uri()


def _run_id(client: Any, config: TrackingConfig, run_folder: Path) -> str:
    file = run_folder / RUN_FILE
    if file.is_file():
        run_id = file.read_text(encoding="utf-8").strip()
        client.update_run(run_id, "RUNNING")
        return run_id
    known = client.get_experiment_by_name(config.experiment)
    experiment = known.experiment_id if known else client.create_experiment(config.experiment)
    run_id = str(client.create_run(experiment, run_name=run_folder.name).info.run_id)
    file.write_text(run_id + "\n", encoding="utf-8")
    return run_id
