"""Where each file of a batch goes, and each scene of several."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path, PurePath

from hndsr_client._core.files import EXTENSIONS, format_of, problem
from hndsr_client._core.requests import FileFormat
from hndsr_client._raster.address import local_path, public
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
    name = _naming(into, _extension(file_format), suffix)
    if isinstance(sources, Collection):
        located = [_located(source) for source in sources]
        jobs = iter(_accepted(_jobs(located, name, known=located, file_format=file_format)))
    else:
        known = [_located(source) for source in into] if isinstance(into, Mapping) else []
        jobs = _jobs(map(_located, sources), name, known=known, file_format=file_format)
    if isinstance(into, (str, os.PathLike)):
        _make_folder(into)
    return jobs


@dataclass(frozen=True)
class Scene:
    """One raster to be made of another."""

    source: str
    destination: str

    @property
    def name(self) -> str:
        """The source's, for people."""
        return public(self.source)


def expanded(patterns: Iterable[str]) -> list[str]:
    """The paths that patterns stand for, each sorted; an address, and a file that is there, stands for itself.

    Raises:
        LocalFileError: Nothing matches.
    """
    return [path for pattern in patterns for path in _matches(pattern)]


def is_folder(destination: str) -> bool:
    """Whether files are to go into it; a zarr store is one file."""
    if PurePath(destination).suffix.lower() == ".zarr":
        return False
    return destination.endswith(("/", os.sep)) or Path(destination).is_dir()


def plan_scenes(sources: Sequence[str], folder: str, *, extension: str, suffix: str) -> tuple[list[Scene], list[str]]:
    """Where each of several sources goes, and which are left out: what another of them is to become, or became.

    Raises:
        ArgumentError: The suffix is no part of a name.
        DestinationError: Two sources share a destination, or one is its own.
    """
    name = _in_folder(Path(folder), extension, suffix)
    scenes = [Scene(source, str(name(Path(_file_name(source))))) for source in sources]
    made = {_real_path(Path(scene.destination)): scene.source for scene in scenes}
    left_out = [source for source in sources if made.get(_place(source), source) != source]
    scenes = [scene for scene in scenes if scene.source not in left_out]
    located = [_Source(scene.name, _place(scene.source)) for scene in scenes]
    places = _Places(located)
    for scene, source in zip(scenes, located, strict=True):
        refusal = places.refusal(source, Path(scene.destination))
        if refusal is not None:
            raise refusal
    return scenes, left_out


@contextmanager
def folder_made(folder: str, *, kept: bool) -> Iterator[None]:
    """Make a folder if it is missing; one that is not kept is removed in the end.

    Raises:
        LocalFileError: It cannot be made.
    """
    is_new = not Path(folder).exists()
    _make_folder(folder)
    try:
        yield
    finally:
        if is_new and not kept:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def is_file_name(source: str) -> bool:
    """Whether it is that of a file or folder on this machine, rather than an address or another name of GDAL's own."""
    return local_path(source) is not None


def _matches(pattern: str) -> list[str]:
    if not is_file_name(pattern) or not has_magic(pattern) or os.path.lexists(pattern):
        return [pattern]
    matches = sorted(path for path in glob(pattern, recursive=True) if ".hndsr-" not in path)  # noqa: PTH207  as typed
    if not matches:
        raise LocalFileError(path=pattern, problem="no file matches")
    return matches


def _file_name(source: str) -> str:
    """A name for a file: of an address what stands before a question mark, of a part of a file both their names."""
    if is_file_name(source):
        return Path(source).name
    last = source.partition("?")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r'[":]+', "_", re.sub(r'(\.\w+)?"?:(\w+)$', r"_\2", last))


def _place(source: str) -> str:
    return _real_path(Path(source)) if is_file_name(source) else source


def _naming(into: Destinations, extension: str | None, suffix: str) -> Callable[[Path], AnyPath]:
    if isinstance(into, (str, os.PathLike)):
        return _in_folder(Path(into), extension, suffix)
    if suffix:
        raise ArgumentError("suffix goes with a folder; name the files in full instead")
    return _by_mapping(into) if isinstance(into, Mapping) else into


def _in_folder(folder: Path, extension: str | None, suffix: str) -> Callable[[Path], Path]:
    if os.path.basename(suffix) != suffix:  # noqa: PTH119  a suffix is no path
        raise ArgumentError(f"suffix is {suffix!r}, accepted is a part of a file's name")

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
    except (OSError, ValueError) as error:
        raise LocalFileError(path=folder, problem=problem(error)) from error


def _jobs(
    sources: Iterable[_Source],
    name: Callable[[Path], AnyPath],
    *,
    known: Iterable[_Source],
    file_format: FileFormat | None,
) -> Iterator[Job]:
    places = _Places(known)
    for source in sources:
        path = Path(source.name)
        destination = Path(name(path))
        refusal = _without_format(destination) if file_format is None else None
        yield Job(path, destination, refusal or places.refusal(source, destination))


def _accepted(jobs: Iterable[Job]) -> list[Job]:
    accepted = list(jobs)
    for job in accepted:
        if job.refusal is not None:
            raise job.refusal
    return accepted


def _without_format(destination: Path) -> ArgumentError | None:
    try:
        format_of(destination)
    except ArgumentError as error:
        return error
    return None


@dataclass(frozen=True)
class _Source:
    name: str
    place: str
    """Its path without links."""


class _Places:
    """What a batch reads, as far as that is known, and what it makes of which source."""

    def __init__(self, known: Iterable[_Source]) -> None:
        self._read = {source.place for source in known}
        self._made: dict[str, _Source] = {}

    def refusal(self, source: _Source, destination: Path) -> DestinationError | None:
        """Claim a destination, or say why it cannot be."""
        self._read.add(source.place)
        place = _real_path(destination)
        conflict = self._conflict(source, place)
        if conflict is not None:
            return DestinationError(path=destination, problem=conflict)
        self._made[place] = source
        return None

    def _conflict(self, source: _Source, place: str) -> str | None:
        if place == source.place:
            return "is the source itself; name another destination"
        if place in self._read:
            return "is one of the sources; name another destination"
        if source.place in self._made:
            return f"would be made of {source.name}, which the batch makes as well; leave that out of the sources"
        first = self._made.get(place)
        if first is None:
            return None
        if first.place == source.place:
            return f"would be made twice, for {source.name} is listed twice; list it once"
        return f"would be made of {first.name} and of {source.name}; give them two names or folders"


def _located(source: AnyPath) -> _Source:
    path = Path(source)
    return _Source(str(path), _real_path(path))


def _real_path(path: Path) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # no file can have the name, which its own outcome says
        return str(path)
