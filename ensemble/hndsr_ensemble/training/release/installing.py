"""Put a release in place so that a crash leaves the old one, the new one, or what is finished by running again.

All files are first written beside the ones they replace. The record of the release, staged last, commits: from then on
the installation can only go forward, by renaming one file after the other and the record at the end. Nothing is ever
written into a file that somebody may be reading.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.release import RECORD, RELEASED, read_record
from hndsr_ensemble.training.durable import locked, replaced, synchronise
from hndsr_ensemble.training.errors import TrainingError

LEFT_BEHIND = ("__pycache__", ".*.incoming", ".*.unfinished")
"""What a copy of a repository leaves out."""


class RepositoryNotWritableError(TrainingError):
    """A release cannot be installed where it should be: an installed package is often read-only."""

    def __init__(self, *, folder: Path, reason: str) -> None:
        super().__init__(
            f"{folder} cannot be written ({reason}); give --into a folder that does not exist yet: it becomes a whole "
            "repository, which HNDSR_MODEL_REPOSITORY names to the gateway"
        )


class NoRepositoryError(TrainingError):
    """A folder that exists, but holds no model repository, is not written into."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"{folder} exists and is no model repository of this service; name one, or a new folder")


class RepositoryBusyError(TrainingError):
    """Another release goes into the same repository."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"another release into {folder} is under way")


class HalfInstalledError(TrainingError):
    """An installation was interrupted, and what it needs to be finished is lost."""

    def __init__(self, *, name: str) -> None:
        super().__init__(
            f"an installation was interrupted and {name} is neither in place nor beside it; "
            "restore the repository, then release again"
        )


def kept_to_itself(repository: Path) -> AbstractContextManager[None]:
    """Keep other releases out of a repository, or out of the folder where it will be.

    Raises:
        RepositoryBusyError: one is under way there.
    """
    folder = repository if repository.exists() else repository.resolve().parent
    return locked(folder, RepositoryBusyError(folder=repository))


def check_writable(repository: Path) -> None:
    """Try what an installation will do, before anything is computed for it.

    Raises:
        RepositoryNotWritableError: a folder takes no new files.
        NoRepositoryError: the folder is there, but no repository.
    """
    if not repository.exists():
        _try_to_write(repository.resolve().parent)
        return
    folders = {(repository / name).parent for name in (*RELEASED, RECORD)}
    if not all(folder.is_dir() for folder in folders):
        raise NoRepositoryError(folder=repository)
    for folder in sorted(folders):
        _try_to_write(folder)


def install(candidate: Path, repository: Path) -> None:
    """Make the candidate what `repository` holds: its released files, or all of it where nothing is there yet.

    Raises:
        OSError: what is there stays as it was.
    """
    if not repository.exists():
        _install_whole(candidate, repository)
        return
    written = [_staged(repository / name) for name in RELEASED]
    try:
        for name in RELEASED:
            _copy_durably(candidate / name, _staged(repository / name))
        _sync_folders(written)
        # From here on the installation goes forward; the record appears in one piece.
        with replaced(_staged(repository / RECORD)) as record:
            shutil.copyfile(candidate / RECORD, record)
    except BaseException:
        for path in () if is_unfinished(repository) else written:
            path.unlink(missing_ok=True)
        raise
    finish(repository)


def finish(repository: Path) -> bool:
    """Finish an installation that was interrupted after it was committed; whether there was one.

    Raises:
        HalfInstalledError: a file of it is lost.
    """
    record = _staged(repository / RECORD)
    if not record.is_file():
        return False
    files = read_record(record)
    if lost := next(lost_files(repository, files), None):
        raise HalfInstalledError(name=lost)
    for name, digest in files.items():
        staged = _staged(repository / name)
        if file_digest(staged) == digest:
            staged.replace(repository / name)
    _sync_folders(repository / name for name in files)
    record.replace(repository / RECORD)
    synchronise(record.parent)
    return True


def is_unfinished(repository: Path) -> bool:
    """Whether an installation was committed, but not finished."""
    return _staged(repository / RECORD).is_file()


def lost_files(repository: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Files of an installation that are neither in place nor staged, by name."""
    for name, digest in files.items():
        path = repository / name
        if digest not in {file_digest(_staged(path)), file_digest(path)}:
            yield name


def leftovers(repository: Path) -> list[Path]:
    """Staged files of an installation that never was committed; they are in nobody's way."""
    staged = [_staged(repository / name) for name in RELEASED]
    return [] if is_unfinished(repository) else [path for path in staged if path.exists()]


def copy_repository(source: Path, target: Path) -> None:
    """Copy a model repository, its files' contents alone: the copy of a read-only one can be written."""
    left_out = shutil.ignore_patterns(*LEFT_BEHIND)
    shutil.copytree(source, target, ignore=left_out, copy_function=shutil.copyfile)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def _install_whole(candidate: Path, repository: Path) -> None:
    beside = _staged(repository.resolve())
    shutil.rmtree(beside, ignore_errors=True)
    try:
        copy_repository(candidate, beside)
        for path in (*beside.rglob("*"), beside):
            synchronise(path)
        beside.rename(repository)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    synchronise(repository.resolve().parent)


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}.incoming")


def _copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    synchronise(target)


def _sync_folders(files: Iterable[Path]) -> None:
    for folder in sorted({path.parent for path in files}):
        synchronise(folder)


def _try_to_write(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RepositoryNotWritableError(folder=folder, reason=error.strerror or str(error)) from error
