"""What a job has done, line by line: a line that was torn or damaged is as if it were not there."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hndsr_client._core.files import problem
from hndsr_client._stream.asked import Asked, Fact, Pin
from hndsr_client.errors import BEGIN_ANEW, HndsrError, JobError, JobInUseError, JobMismatchError, LocalFileError

FORMAT = "hndsr-journal"
VERSION = 1

# What is on the disk when it returns; the times of the file are no part of it, where the system can tell them apart.
sync_data = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True)
class Header:
    """What a job was begun for."""

    pin: Pin
    target_px: tuple[int, int]
    rows_px: tuple[int, ...]
    columns_px: tuple[int, ...]
    """Where the tiles begin and end: 0, …, the target's height or width."""
    asked: dict[str, Fact]

    def check(self, asked: Asked, path: Path) -> None:
        """Refuse to go on for something else; what is left to the server is what it was.

        Raises:
            JobMismatchError: Naming the first difference.
        """
        pin = asdict(self.pin)
        for what, now in asked.facts().items():
            then = self.asked.get(what)
            left_to_job = now is None and what in {"revision", "cores_per_tile"}
            if not left_to_job and now != then and (now is None or now != pin.get(what)):
                raise JobMismatchError(path=path, what=what, journal=then, asked=now)

    def line(self) -> bytes:
        """The journal's first line."""
        return _line({"format": FORMAT, "version": VERSION, **asdict(self)})


@dataclass(frozen=True, slots=True)
class Entry:
    """A tile that lies in the work file, with the checksums of its source and target, masks included."""

    row: int
    column: int
    source: int
    target: int


class Journal(contextlib.AbstractContextManager["Journal"]):
    """An open journal that no other process can open.

    Attributes:
        path: Where it is.
        header: What its job was begun for, None if that cannot be read.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        first = next(self._lines(), None)
        self.header = None if first is None else _header(first)

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def opened(cls, path: Path) -> Journal | None:
        """The journal of a job that was begun, None if there is none.

        Raises:
            JobInUseError: Another process has opened it.
            LocalFileError: It cannot be read.
        """
        with local(path):
            while True:
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                except FileNotFoundError:
                    return None
                with _closed_if_it_fails(descriptor):
                    _lock(descriptor, path)
                    # Who had it before may have finished the job, or begun it anew, just now.
                    if _is_at(path, descriptor):
                        _new(path).unlink(missing_ok=True)
                        return cls(path, descriptor)
                os.close(descriptor)

    @classmethod
    def created(cls, path: Path, header: Header) -> Journal:
        """A new journal, which appears with its first line or not at all.

        Raises:
            JobInUseError: Another process was faster.
            LocalFileError: It cannot be written.
        """
        with local(path):
            # One name for all runs, so that a run that was cut off here leaves nothing that the next does not take.
            descriptor = os.open(_new(path), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            with _closed_if_it_fails(descriptor):
                _lock(descriptor, path)
                if not _is_at(_new(path), descriptor):
                    raise JobInUseError(path=path)
                try:
                    os.ftruncate(descriptor, 0)
                    write_all(descriptor, header.line())
                    os.fsync(descriptor)
                    _place(_new(path), path)
                    return cls(path, descriptor)
                finally:
                    _new(path).unlink(missing_ok=True)

    def entries(self) -> dict[tuple[int, int], Entry]:
        """The tiles that are done, by their places; the last line of each counts."""
        return {(entry.row, entry.column): entry for entry in map(_entry, self._lines()) if entry is not None}

    @property
    def is_bare(self) -> bool:
        """Whether no tile is done; of one that cannot be read nobody knows."""
        return self.header is not None and not self.entries()

    def add(self, entry: Entry) -> None:
        """Say that a tile is done; it is on the disk when this returns.

        Raises:
            LocalFileError: It cannot be written.
        """
        self._append(asdict(entry))

    def add_published(self, target: Path, *, invalid_px: int) -> None:
        """Say that the work file has become the target, and all that is left is to tidy up.

        Raises:
            LocalFileError: It cannot be written.
        """
        with local(target):
            identity = _identity(target)
        self._append({"published": identity, "invalid_px": invalid_px})

    def _append(self, record: dict[str, Any]) -> None:
        with local(self.path):
            size = os.fstat(self._descriptor).st_size
            is_torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
            write_all(self._descriptor, b"\n" * is_torn + _line(record))
            sync_data(self._descriptor)

    def remove(self) -> None:
        """Forget the job, and close."""
        with local(self.path):
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let others open it. Closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def checked_header(self) -> Header:
        """What the job was begun for.

        Raises:
            JobError: That cannot be read.
        """
        if self.header is None:
            raise JobError(path=self.path, problem=f"is damaged, or of another version of this package; {BEGIN_ANEW}")
        return self.header

    def _lines(self) -> Iterator[dict[str, Any]]:
        with open(os.dup(self._descriptor), "rb") as file:  # noqa: PTH123  a descriptor has no path
            file.seek(0)
            yield from _read(file)


def begun_for(journal: Path) -> dict[str, Fact] | None:
    """What a job was begun for, None if that cannot be read or none was begun."""
    with contextlib.suppress(OSError), journal.open("rb") as lines:
        first = next(_read(lines), None)
        header = None if first is None else _header(first)
        return None if header is None else header.asked
    return None


def count_tiles(journal: Path) -> int:
    """How many tiles a job has done, 0 where none was begun."""
    with contextlib.suppress(OSError), journal.open("rb") as lines:
        return len({(entry.row, entry.column) for entry in map(_entry, _read(lines)) if entry is not None})
    return 0


def published_invalid_px(journal: Path, target: Path) -> int | None:
    """The invalid pixels of a file that is, unchanged, what a job's work file has become; None for any other."""
    with contextlib.suppress(OSError), journal.open("rb") as lines:
        for record in _read(lines):
            if record.get("published") == _identity(target):
                return int(record["invalid_px"])
    return None


@contextlib.contextmanager
def local(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what the operating system says of a file as an error of this package."""
    try:
        yield
    except HndsrError:
        raise
    except (OSError, ValueError) as error:
        raise LocalFileError(path=path, problem=problem(error)) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write at the end of a file; the system may take it in parts."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps({**record, "crc32": _checksum(record)}, sort_keys=True).encode() + b"\n"


def _checksum(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _read(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            record = json.loads(line)
            if record.pop("crc32") == _checksum(record):
                yield record


def _header(record: dict[str, Any]) -> Header | None:
    if record.get("format") != FORMAT or record.get("version") != VERSION:
        return None
    height_px, width_px = record["target_px"]
    rows_px, columns_px = tuple(record["rows_px"]), tuple(record["columns_px"])
    return Header(Pin(**record["pin"]), (height_px, width_px), rows_px, columns_px, record["asked"])


def _entry(record: dict[str, Any]) -> Entry | None:
    return Entry(**record) if record.keys() == Entry.__dataclass_fields__.keys() else None


def _lock(descriptor: int, path: Path) -> None:
    import fcntl  # noqa: PLC0415  not on every system, and needed for jobs alone

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JobInUseError(path=path) from error


def locked(path: Path) -> int:
    """A descriptor of a file that no other process has locked, made if it is missing.

    Raises:
        JobInUseError: Another process has.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with _closed_if_it_fails(descriptor):
            _lock(descriptor, path)
        # Who had it before may have removed it just now.
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116  beside fstat
    except FileNotFoundError:
        return False


def _identity(target: Path) -> list[int]:
    state = target.stat()
    return [state.st_ino, state.st_size, state.st_mtime_ns]


def _new(path: Path) -> Path:
    """Where a journal is until its first line is on the disk."""
    return path.with_name(f"{path.name}-new")


def _place(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError as error:
        raise JobInUseError(path=path) from error
    except OSError:
        # No links on this file system: between the question and the answer somebody may be as fast.
        if path.exists():
            raise JobInUseError(path=path) from None
        temporary.replace(path)


@contextlib.contextmanager
def _closed_if_it_fails(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise
