"""`hndsr-train promote`, `rollback` and `fetch`: releases in MLflow's registry, one of which is in production.

A version of the registered model is a whole model repository that passed the gate. The alias `production` says which
one is served; each version remembers which one it took the place of.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hndsr_ensemble.manifest import Manifest, read_manifest
from hndsr_ensemble.release import CARD, RECORD, TRAINED
from hndsr_ensemble.training.config import TrackingConfig, read_config
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.release.installing import (
    check_writable,
    copy_repository,
    finish,
    install,
    kept_to_itself,
)
from hndsr_ensemble.training.release.verification import verify
from hndsr_ensemble.training.run import RECIPE
from hndsr_ensemble.training.tracking import RUN_FILE, experiment_of, open_store

if TYPE_CHECKING:
    from argparse import _SubParsersAction

MODEL: Final = "hndsr"
"""Name of the registered model."""
ALIAS: Final = "production"
DIGEST_TAG: Final = "hndsr.manifest"
"""Of a version: the digest of its manifest."""
BEFORE_TAG: Final = "hndsr.before"
"""Of a version: the one that was in production before it; without one it was the first."""
PARENT_TAG: Final = "mlflow.parentRunId"
"""Under which MLflow shows one run below another."""
FOLDER: Final = "repository"
"""Of the repository among the artifacts of a version's run."""


class NotReleasedError(TrainingError):
    """A repository did not come out of a release, or is not as it did."""

    def __init__(self, *, repository: Path, reason: str) -> None:
        super().__init__(f"{repository} is not a release as `hndsr-train release` leaves it: {reason}")


class NoVersionError(TrainingError):
    """There is no version to serve or to go back to."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the registry has no version for this: {reason}")


@dataclass(frozen=True, slots=True)
class Version:
    """A release in the registry."""

    number: str
    digest: str
    """Of its manifest, in hexadecimal."""
    run_id: str
    """MLflow's run that holds its files."""
    before: str
    """Number of the version whose place it took; empty of the first."""

    def __str__(self) -> str:
        return f"{MODEL} version {self.number}, manifest {self.digest[:12]}"


def promote(repository: Path, config: TrackingConfig, *, run: Path | None = None) -> Version:
    """Register a released repository and put it into production, unless its weights are there already.

    Args:
        repository: installed by `hndsr-train release`.
        config: where the registry is.
        run: folder of the run that was released, below which MLflow then shows the version's files.

    Raises:
        NotReleasedError: it is no release, or damaged.
        TrackingMissingError, TrackingStoreError: there is no registry to use.
    """
    with tempfile.TemporaryDirectory(prefix="hndsr-promote-") as folder:
        copy = Path(folder) / FOLDER
        if not (repository / RECORD).is_file():
            raise NotReleasedError(repository=repository, reason=f"it has no {RECORD}")
        with kept_to_itself(repository):
            copy_repository(repository, copy)
        manifest = _checked(copy, named=repository)
        with open_store(config) as (mlflow, client):
            before = _production(mlflow, client)
            if before and before.digest == manifest.digest:
                return before
            tags = {DIGEST_TAG: manifest.digest, **({BEFORE_TAG: before.number} if before else {})}
            run_id = _upload(client, copy, manifest, experiment=experiment_of(client, config), parent=_run_of(run))
            source = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
            note = f"{manifest.description} See {CARD} among its files."
            _make_model(mlflow, client)
            made = client.create_model_version(MODEL, source, run_id, tags=tags, description=note)
            client.set_registered_model_alias(MODEL, ALIAS, str(made.version))
            return _version(made)


def rollback(config: TrackingConfig) -> Version:
    """Put the version into production whose place the present one took.

    Raises:
        NoVersionError: there is none.
        TrackingMissingError, TrackingStoreError: there is no registry to use.
    """
    with open_store(config) as (mlflow, client):
        now = _in_production(mlflow, client)
        if not now.before:
            raise NoVersionError(reason=f"{now} was the first in production")
        before = _version(client.get_model_version(MODEL, now.before))
        client.set_registered_model_alias(MODEL, ALIAS, before.number)
        return before


def fetch(config: TrackingConfig, into: Path) -> Version:
    """Install the version that is in production.

    Args:
        config: where the registry is.
        into: a model repository, or a folder that does not exist yet and becomes one.

    Raises:
        NoVersionError: none is in production.
        NotReleasedError: its files are not those that were promoted.
        TrackingMissingError, TrackingStoreError: there is no registry to use.
        TrainingError: nothing can be installed there.
    """
    check_writable(into)
    with tempfile.TemporaryDirectory(prefix="hndsr-fetch-") as folder:
        with open_store(config) as (mlflow, client):
            version = _in_production(mlflow, client)
            copy = Path(client.download_artifacts(version.run_id, FOLDER, folder))
        if _checked(copy, named=copy).digest != version.digest:
            raise NotReleasedError(repository=copy, reason=f"{version} should have another manifest")
        with kept_to_itself(into):
            if into.exists():
                finish(into)
            install(copy, into)
    return version


def add_parser(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Add the three subcommands."""
    promoting = subparsers.add_parser("promote", help="register a release with MLflow and put it into production")
    promoting.add_argument("repository", metavar="REPOSITORY", type=Path, help="that `release` installed")
    promoting.add_argument("--run", metavar="RUN", dest="run_folder", type=Path, help="folder of the run it is of")
    promoting.set_defaults(run=_run_promote)
    back = subparsers.add_parser("rollback", help="put the release before into production again")
    back.set_defaults(run=_run_rollback)
    fetching = subparsers.add_parser("fetch", help="install the release that is in production")
    fetching.add_argument(
        "--into", metavar="REPOSITORY", type=Path, required=True, help="model repository to replace, or a new folder"
    )
    fetching.set_defaults(run=_run_fetch)
    for parser in (promoting, back, fetching):
        parser.add_argument(
            "--config",
            metavar="FILE",
            type=Path,
            default=RECIPE,
            help="whose [tracking] says where the registry is (default: the shipped recipe); MLFLOW_TRACKING_URI and "
            "MLFLOW_REGISTRY_URI go before it",
        )


def _run_promote(arguments: Namespace) -> int:
    version = promote(arguments.repository, _config(arguments), run=arguments.run_folder)
    return _answer(f"in production: {version}")


def _run_rollback(arguments: Namespace) -> int:
    return _answer(f"in production again: {rollback(_config(arguments))}; `hndsr-train fetch` installs it")


def _run_fetch(arguments: Namespace) -> int:
    version = fetch(_config(arguments), arguments.into)
    return _answer(f"installed in {arguments.into}: {version}; services take it up when restarted")


def _config(arguments: Namespace) -> TrackingConfig:
    return read_config(arguments.config).tracking


def _answer(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 0


def _checked(copy: Path, *, named: Path) -> Manifest:
    faults = [str(check) for check in verify(copy) if check.fault]
    if faults:
        raise NotReleasedError(repository=named, reason="; ".join(faults))
    return read_manifest(copy, TRAINED)


def _run_of(folder: Path | None) -> str:
    """What MLflow knows a run's folder as; empty where it was never told."""
    file = folder / RUN_FILE if folder else None
    return file.read_text(encoding="utf-8").strip() if file and file.is_file() else ""


def _upload(client: Any, copy: Path, manifest: Manifest, *, experiment: str, parent: str) -> str:
    """Keep the repository's files in a run of their own; its identifier."""
    tags = {PARENT_TAG: parent} if parent else {}
    run = client.create_run(experiment, run_name=f"release-{manifest.digest[:12]}", tags=tags)
    client.log_artifacts(run.info.run_id, str(copy), FOLDER)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _make_model(mlflow: Any, client: Any) -> None:
    try:
        client.create_registered_model(MODEL)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _in_production(mlflow: Any, client: Any) -> Version:
    version = _production(mlflow, client)
    if version is None:
        raise NoVersionError(reason="none is in production; `hndsr-train promote` puts one there")
    return version


def _production(mlflow: Any, client: Any) -> Version | None:
    try:
        aliases = client.get_registered_model(MODEL).aliases
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return _version(client.get_model_version(MODEL, str(aliases[ALIAS]))) if ALIAS in aliases else None


def _version(found: Any) -> Version:
    tags = found.tags
    return Version(str(found.version), tags.get(DIGEST_TAG, ""), str(found.run_id), tags.get(BEFORE_TAG, ""))
