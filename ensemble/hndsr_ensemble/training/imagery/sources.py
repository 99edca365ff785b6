"""Files of a source: a folder or file of this machine, or a storage that fsspec knows."""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hndsr_ensemble.training.errors import TrainingError

REMOTE: Final = "://"
VERSIONS: Final = ("ETag", "etag", "version_id", "LastModified", "last_modified", "updated", "mtime", "created")
"""What storages call the sign that a file has changed, the surest first."""
BLOCK_BYTES: Final = 1 << 20


class SourceError(TrainingError):
    """A source that cannot be listed."""

    def __init__(self, *, source: str, fault: str) -> None:
        super().__init__(f"{source} {fault}")


class StorageMissingError(SourceError):
    """The package that reads a kind of storage is not installed."""

    def __init__(self, *, source: str, remedy: str) -> None:
        super().__init__(source=source, fault=f"cannot be opened here: {remedy}")


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a source."""

    path: str
    """Absolute, or a URL."""
    size_bytes: int
    modified: str
    """Changes whenever the file does; empty where the storage does not say."""
    name: str
    """Its path from the source's folder on, with the name of that."""


def find_files(source: str) -> list[Found]:
    """All files at or below a source, by path; names that begin with a dot are passed over.

    Raises:
        SourceError: it is not there or cannot be listed.
        StorageMissingError: nothing that reads such a URL is installed.
    """
    return _remote_files(source) if REMOTE in source else _local_files(source)


def read_remote(path: str) -> bytes:
    """The whole content of a URL.

    Raises:
        OSError: it cannot be read.
    """
    system, name = _file_system(path)
    try:
        content: bytes = system.cat_file(name)
    except Exception as error:  # every storage has errors of its own
        raise OSError(str(error)) from error
    return content


def file_sha256(path: Path) -> str:
    """sha256 of a file of any size, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _local_files(source: str) -> list[Found]:
    root = Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100 - links keep the names they are known by
    if root.is_file():
        return [_local(root, root.parent)]
    if not root.is_dir():
        raise SourceError(source=source, fault="is neither a folder nor a file")
    files = []
    for folder, folders, names in os.walk(root, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return [_local(path, root) for path in sorted(files) if path.is_file()]


def _local(path: Path, root: Path) -> Found:
    state = path.stat()
    return Found(str(path), state.st_size, str(state.st_mtime_ns), path.relative_to(root.parent).as_posix())


def _refuse(error: OSError) -> None:
    raise SourceError(source=str(error.filename), fault=f"cannot be listed ({error.strerror})")


def _remote_files(source: str) -> list[Found]:
    system, root = _file_system(source)
    try:
        listed: dict[str, dict[str, Any]] = system.find(root, detail=True)
    except Exception as error:  # every storage has errors of its own
        raise SourceError(source=source, fault=f"cannot be listed ({error})") from error
    if not listed:
        raise SourceError(source=source, fault="holds no file")
    folder = PurePosixPath(root).parent if root in listed else PurePosixPath(root)
    below = {name: PurePosixPath(name).relative_to(folder).parts for name in listed}
    seen = sorted(
        name for name, parts in below.items() if name == root or not any(part.startswith(".") for part in parts)
    )
    return [
        _remote(system.unstrip_protocol(name), listed[name], "/".join((folder.name, *below[name]))) for name in seen
    ]


def _remote(path: str, facts: dict[str, Any], name: str) -> Found:
    version = next((str(facts[name]) for name in VERSIONS if facts.get(name)), "")
    return Found(path, int(facts.get("size") or 0), version, name)


def _file_system(url: str) -> tuple[Any, str]:
    try:
        fsspec = importlib.import_module("fsspec")
        system, name = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        remedy = "install the extra `train`" if getattr(error, "name", None) == "fsspec" else str(error)
        raise StorageMissingError(source=url, remedy=remedy) from error
    return system, name
