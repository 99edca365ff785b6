"""What can go wrong between the gateway and a worker; callers see other errors, made of these."""

from __future__ import annotations

import enum

from hndsr_gateway.errors import StartupError


class ExchangeError(Exception):
    """The other side sent what no side of ours sends."""


class Cause(enum.Enum):
    """Why a job came to nothing."""

    TIME = "took too long"
    MEMORY = "took too much memory"
    CRASH = "broke its worker"
    KILLED = "had its worker killed from outside"
    DEFECT = "raised what was not foreseen"


class JobFailedError(Exception):
    """A job came to nothing, and its worker is of no further use."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class WorkerStartError(Exception):
    """A worker did not get as far as to announce itself."""


class ImageWorkersError(StartupError):
    """The processes that read and write image files cannot start."""

    def __init__(self, *, happened: str) -> None:
        super().__init__(f"no image worker can start; mend what keeps it from it: {happened}")
