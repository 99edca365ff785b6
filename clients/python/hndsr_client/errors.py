"""Everything this package raises on purpose, as one tree; each branch is named by who can mend it.

HndsrError
├── ArgumentError                 the call: no request can carry these arguments (also a ValueError)
│   └── ImageTooLargeError        the image does not fit in one message
├── GeoNotInstalledError          the extra `geo` is missing (also an ImportError)
├── LocalFileError                a file on this machine cannot be read or written (also an OSError)
│   ├── DestinationError          the destination must not be written to
│   └── JobError                  a job that was begun earlier cannot be gone on with
│       ├── JobInUseError         another process works on it
│       ├── JobMismatchError      it was begun for something else than is asked for
│       └── SourceChangedError    its source is not what it was
├── EmbeddedGatewayError          the gateway started on this machine did not start, or ended
│   └── EmbeddedNotInstalledError the extra `embedded` is missing
├── AnswerError                   the server answered what the contract does not allow
└── ServiceError                  the server, or the way to it, said no
    ├── InvalidRequestError       the request: its message names the limit
    │   └── NotFoundError         the request names something the server does not have
    ├── AccessError               the credentials
    ├── PreconditionError         the caller's view of the server, for instance another revision
    ├── UnavailableError          nobody: try again, or check the address
    │   └── OverloadedError       nobody: try again after `retry_delay_s`
    ├── DeadlineError             the caller: allow more time
    └── ServerError               the server's operator
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

ErrorT = TypeVar("ErrorT", bound="HndsrError")

BEGIN_ANEW = "pass resume=False (hndsr: --restart) to begin anew"


class HndsrError(Exception):
    """Base of all errors of this package. They can be pickled, so they cross process pools."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[ErrorT], args: tuple[object, ...], facts: Mapping[str, object]) -> ErrorT:
    """Restore an unpickled error without calling its constructor, whose keywords are not kept."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class ArgumentError(HndsrError, ValueError):
    """Arguments that no request can carry; the message names what is accepted."""


class ImageTooLargeError(ArgumentError):
    """The image is larger than one message may be."""

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the image is {size_bytes:,} bytes, one message carries at most {limit_bytes:,}; cut it into parts"
        )


class GeoNotInstalledError(HndsrError, ImportError):
    """What reads and writes rasters is not installed beside this package."""

    def __init__(self) -> None:
        super().__init__("rasters need the extra geo; install it with: pip install 'hndsr-client[geo]'")


class LocalFileError(HndsrError, OSError):
    """A file on this machine cannot be read or written. The cause is the operating system's own error."""

    def __init__(self, *, path: str | os.PathLike[str], problem: str) -> None:
        super().__init__(f"{os.fspath(path)}: {problem}")


class DestinationError(LocalFileError):
    """The destination must not be written to: it exists, or it is the source itself."""


class JobError(LocalFileError):
    """A job that was begun earlier cannot be gone on with; its path is that of the journal."""


class JobInUseError(JobError):
    """Another process works on the job."""

    def __init__(self, *, path: str | os.PathLike[str]) -> None:
        super().__init__(path=path, problem="another process works on this job; wait for it, or name another job")


class JobMismatchError(JobError):
    """The job was begun for something else than is asked for now.

    Attributes:
        what: What differs, for instance "scale" or "source size".
        journal: What the job was begun for.
        asked: What is asked for now.
    """

    def __init__(self, *, path: str | os.PathLike[str], what: str, journal: object, asked: object) -> None:
        super().__init__(
            path=path,
            problem=f"the job was begun with {what} {_shown(journal)}, asked for is {_shown(asked)}; {BEGIN_ANEW}",
        )
        self.what: str = what
        self.journal: object = journal
        self.asked: object = asked


class SourceChangedError(JobError):
    """Pixels of the source are not what they were when the job was begun.

    Attributes:
        tile: Row and column of the first tile in the plan whose source differs; None if the source was changed while
            it was read.
    """

    def __init__(self, *, path: str | os.PathLike[str], tile: tuple[int, int] | None = None) -> None:
        super().__init__(path=path, problem=_CHANGED_MEANWHILE if tile is None else _changed_tile(tile))
        self.tile: tuple[int, int] | None = tile


_CHANGED_MEANWHILE = "was changed while it was read; the same call again compares it with what is done, and goes on"


def _changed_tile(tile: tuple[int, int]) -> str:
    return f"the source of tile {tile[0]}, {tile[1]} is not what it was when the job was begun; {BEGIN_ANEW}"


def _shown(fact: object) -> str:
    return "the server's choice" if fact is None else str(fact)


class EmbeddedGatewayError(HndsrError):
    """The gateway on this machine did not start, or ended while it was needed."""

    def __init__(self, *, problem: str, log_lines: Sequence[str] = ()) -> None:
        report = "".join(f"\n  {line}" for line in log_lines)
        super().__init__(
            f"the gateway on this machine {problem}" + (f"; the last lines of its log:{report}" * bool(report))
        )


class EmbeddedNotInstalledError(EmbeddedGatewayError):
    """The gateway's package is not installed beside this one."""

    def __init__(self) -> None:
        super().__init__(problem="is not installed; install it with: pip install 'hndsr-client[embedded]'")


class AnswerError(HndsrError):
    """The server answered what the contract does not allow; client and server differ in version."""


class ServiceError(HndsrError):
    """The server, or the way to it, said no.

    Attributes:
        message: What is wrong and, where there is one, the remedy.
        reason: Stable name of the cause, upper snake case; the status code's name where the server gave none.
        code: Name of the gRPC status code, for instance "INVALID_ARGUMENT".
        retry_delay_s: Seconds to wait before trying again, None where the server named none.
        metadata: The facts that the server adds to `reason`.
        violations: The request's fields that are at fault, each with a description.
        attempts: How many times the call was tried.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "UNKNOWN",
        code: str = "UNKNOWN",
        retry_delay_s: float | None = None,
        metadata: Mapping[str, str] = MappingProxyType({}),
        violations: Sequence[tuple[str, str]] = (),
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.message: str = message
        self.reason: str = reason
        self.code: str = code
        self.retry_delay_s: float | None = retry_delay_s
        self.metadata: dict[str, str] = dict(metadata)
        self.violations: tuple[tuple[str, str], ...] = tuple(violations)
        self.attempts: int = attempts


class InvalidRequestError(ServiceError):
    """The request cannot be served as it is; the message names the limit."""


class NotFoundError(InvalidRequestError):
    """The request names something that the server does not have, for instance a model."""


class AccessError(ServiceError):
    """The server wants other credentials or refuses this caller: `Client(api_key=...)` and `Tls` say who calls."""


class PreconditionError(ServiceError):
    """The request was made for a state of the server that no longer holds, for instance another revision."""


class UnavailableError(ServiceError):
    """The server cannot be reached or cannot answer now; trying again may succeed."""


class OverloadedError(UnavailableError):
    """The server has too much to do, or this caller's quota is spent; wait `retry_delay_s`."""


class DeadlineError(ServiceError):
    """The time allowed passed before the answer came."""


class ServerError(ServiceError):
    """The server failed in a way that no request can mend, or it is no such server."""
