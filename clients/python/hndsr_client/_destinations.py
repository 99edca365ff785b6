"""Where each file of a batch goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hndsr_client._core.requests import FileFormat
from hndsr_client._files import EXTENSIONS, format_of
from hndsr_client.errors import ArgumentError, DestinationError, HndsrError, LocalFileError

AnyPath = str | os.PathLike[str]
Destinations = AnyPath | Mapping[AnyPath, AnyPath] | Callable[[Path], AnyPath]


@dataclass(frozen=True)
class Job:
    """One file to be made of another."""

    source: Path
    destination: Path
    refusal: HndsrError | None
    """Why it is not even tried."""


def plan_jobs(
    sources: Iterable[AnyPath], into: Destinations, *, file_format: FileFormat | None, suffix: str
) -> Iterator[Job]:
    """The jobs of a batch: of a collection all checked now, of an iterator each when it is taken.

    Raises:
        ArgumentError: The sources are one path, or a destination is not named or stands for no format.
        DestinationError: Two sources of a collection share a destination, or a destination is a source.
        LocalFileError: The folder is missing and cannot be made.
    """
    if isinstance(sources, (str, bytes, os.PathLike)):
        raise ArgumentError(f"the sources are {sources!r}, accepted are several paths, such as a list")
    jobs = _jobs(sources, _naming(into, file_format=file_format, suffix=suffix))
    if isinstance(sources, Collection):
        jobs = iter(_checked(list(jobs)))
    if isinstance(into, (str, os.PathLike)):
        _make_folder(into)
    return jobs


def _naming(into: Destinations, *, file_format: FileFormat | None, suffix: str) -> Callable[[Path], AnyPath]:
    if isinstance(into, (str, os.PathLike)):
        return _in_folder(Path(into), _extension(file_format), suffix)
    if file_format is not None or suffix:
        raise ArgumentError("format and suffix go with a folder; name the files in full instead")
    return _by_mapping(into) if isinstance(into, Mapping) else into


def _in_folder(folder: Path, extension: str | None, suffix: str) -> Callable[[Path], Path]:
    def name(source: Path) -> Path:
        own = source.suffix if source.suffix.lower() in EXTENSIONS else ".png"
        return folder / f"{source.stem}{suffix}{extension or own}"

    return name


def _by_mapping(into: Mapping[AnyPath, AnyPath]) -> Callable[[Path], AnyPath]:
    named = {Path(source): destination for source, destination in into.items()}

    def name(source: Path) -> AnyPath:
        if source not in named:
            raise ArgumentError(f"{source}: no destination is named for it")
        return named[source]

    return name


def _extension(file_format: FileFormat | None) -> str | None:
    if file_format is None:
        return None
    first = {value: key for key, value in reversed(EXTENSIONS.items())}
    if file_format not in first:
        raise ArgumentError(f"format is {file_format!r}, accepted are {', '.join(sorted(first))}")
    return first[file_format]


def _make_folder(folder: AnyPath) -> None:
    try:
        Path(folder).mkdir(exist_ok=True)
    except FileExistsError as error:
        raise LocalFileError(path=folder, problem="is not a folder") from error
    except OSError as error:
        raise LocalFileError(path=folder, problem=(error.strerror or str(error)).lower()) from error


def _jobs(sources: Iterable[AnyPath], name: Callable[[Path], AnyPath]) -> Iterator[Job]:
    claimed: dict[str, Path] = {}
    for source in map(Path, sources):
        destination = Path(name(source))
        yield Job(source, destination, _refusal(source, destination, claimed))


def _refusal(source: Path, destination: Path, claimed: dict[str, Path]) -> HndsrError | None:
    """Claim a destination, or say why it cannot be."""
    try:
        format_of(destination)
    except ArgumentError as error:
        return error
    place = os.path.realpath(destination)
    if place == os.path.realpath(source):
        return DestinationError(path=destination, problem="is the source itself; name another destination")
    first = claimed.setdefault(place, source)
    if first is not source:
        return DestinationError(path=destination, problem=f"would be made of {first} and of {source}; name two")
    return None


def _checked(jobs: list[Job]) -> list[Job]:
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        if job.refusal is not None:
            raise job.refusal
        if os.path.realpath(job.destination) in sources:
            raise DestinationError(path=job.destination, problem="is one of the sources; name another destination")
    return jobs
