"""What the exit codes of `hndsr` mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hndsr_client.errors import (
    AccessError,
    ArgumentError,
    DeadlineError,
    EmbeddedGatewayError,
    GeoNotInstalledError,
    HndsrError,
    ImageTooLargeError,
    InvalidRequestError,
    LocalFileError,
    PreconditionError,
    UnavailableError,
)

OK, UNFORESEEN, USAGE, REFUSED, UNAVAILABLE, DEADLINE, LOCAL_FILE, WRONG_ANSWER, INTERRUPTED = *range(8), 130
# The nearest ancestor wins.
EXIT_CODES: dict[type[BaseException], int] = {
    HndsrError: UNFORESEEN,
    ArgumentError: USAGE,
    GeoNotInstalledError: USAGE,
    ImageTooLargeError: REFUSED,
    InvalidRequestError: REFUSED,
    AccessError: REFUSED,
    PreconditionError: REFUSED,
    UnavailableError: UNAVAILABLE,
    EmbeddedGatewayError: UNAVAILABLE,
    DeadlineError: DEADLINE,
    LocalFileError: LOCAL_FILE,
}
# From what no second try will mend to what it may well mend.
TELLING = UNFORESEEN, USAGE, LOCAL_FILE, REFUSED, DEADLINE, UNAVAILABLE, OK
PASSING = UNAVAILABLE, DEADLINE


def exit_code(error: HndsrError) -> int:
    """The exit code that says what kind of error ended the command."""
    return next(EXIT_CODES[cls] for cls in type(error).__mro__ if cls in EXIT_CODES)


def batch_exit_code(errors: Collection[HndsrError]) -> int:
    """The exit code of the error that a second try is least likely to mend, 0 where there is none."""
    return telling(map(exit_code, errors))


def telling(codes: Iterable[int]) -> int:
    """The exit code of several, that which a second try is least likely to mend."""
    return min(codes, key=TELLING.index, default=OK)
