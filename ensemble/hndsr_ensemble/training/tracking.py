"""MLflow: parameters, metrics and files of runs, kept where the user says. Only this module and `registry` know it.

Nothing is sent anywhere else: MLflow's own telemetry is switched off before it is imported. A store that fails later
ends no training, whose record is its own log.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
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
IMPATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Unless they are set: a training would wait a quarter of an hour for a store that is gone."""
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
    """One run of MLflow's; the first failure is told, and the last call that is made."""

    def __init__(self, client: Any, run_id: str, entities: Any) -> None:
        self._client, self._run_id, self._entities = client, run_id, entities
        self._failed = False

    def parameters(self, values: Mapping[str, str]) -> None:
        """What the run was told; a second time changes nothing."""
        self._try(lambda: self._log_new(values))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers after a step."""
        now_ms = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now_ms, step) for name, value in values.items()]
        self._try(lambda: self._client.log_batch(self._run_id, metrics=metrics))

    def artifact(self, path: Path) -> None:
        """A copy of a file."""
        self._try(lambda: self._client.log_artifact(self._run_id, str(path)))

    def end(self, status: str) -> None:
        """What became of the run."""
        self._try(lambda: self._client.set_terminated(self._run_id, status))

    def _log_new(self, values: Mapping[str, str]) -> None:
        known = self._client.get_run(self._run_id).data.params
        new = [self._entities.Param(name, text[:LONGEST_VALUE]) for name, text in values.items() if name not in known]
        if new:
            self._client.log_batch(self._run_id, params=new)

    def _try(self, call: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001 - stores fail with whatever their drivers raise
            self._failed = True
            cause = str(error).strip().partition("\n")[0]
            sys.stderr.write(f"MLflow is told nothing more of this run, since it failed: {cause}\n")


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
    with open_store(config) as (mlflow, client):
        run_id = _run_id(client, config, run_folder)
    tracking, status = MlflowTracking(client, run_id, mlflow.entities), "FAILED"
    try:
        yield tracking
        status = "FINISHED"
    finally:
        tracking.end(status)


@contextmanager
def open_store(config: TrackingConfig) -> Iterator[tuple[Any, Any]]:
    """MLflow, and a client of the store that is configured; what the store refuses inside is told as its error.

    Raises:
        TrackingMissingError: MLflow is not installed.
        TrackingStoreError: its store cannot be used.
    """
    os.environ.update(SETTINGS)
    for name, value in IMPATIENCE.items():
        os.environ.setdefault(name, value)
    if find_spec("mlflow") is None:
        raise TrackingMissingError
    import mlflow  # noqa: PLC0415 - after its telemetry is off, and only where it is asked for

    store = os.environ.get("MLFLOW_TRACKING_URI") or _address(config.store)
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or store
    try:
        # The registry in files asks another client of MLflow's, which would make a database in the working directory.
        with _environment("MLFLOW_TRACKING_URI", store):
            yield mlflow, mlflow.MlflowClient(store, registry)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise TrackingStoreError(store=store, cause=str(error).strip().partition("\n")[0]) from error


def experiment_of(client: Any, config: TrackingConfig) -> str:
    """The identifier of the experiment, which is made where it is not there."""
    known = client.get_experiment_by_name(config.experiment)
    return str(known.experiment_id if known else client.create_experiment(config.experiment))


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _address(store: str) -> str:
    return store if "://" in store else Path(store).resolve().as_uri()


def _run_id(client: Any, config: TrackingConfig, run_folder: Path) -> str:
    file = run_folder / RUN_FILE
    if file.is_file():
        run_id = file.read_text(encoding="utf-8").strip()
        client.update_run(run_id, "RUNNING")
        return run_id
    run_id = str(client.create_run(experiment_of(client, config), run_name=run_folder.name).info.run_id)
    file.write_text(run_id + "\n", encoding="utf-8")
    return run_id
