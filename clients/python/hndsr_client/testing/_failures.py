"""Refusals of the fake's own and failures that a test asks for, as a gateway would answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from hndsr_client._core.status import DETAILS_KEY, DOMAIN
from hndsr_client.errors import ArgumentError

INVALID_ARGUMENT = "INVALID_ARGUMENT"
CODES = {
    "IMAGE_TOO_LARGE": INVALID_ARGUMENT,
    "EMPTY_IMAGE": INVALID_ARGUMENT,
    "UNSUPPORTED_FORMAT": INVALID_ARGUMENT,
    "IMAGE_DAMAGED": INVALID_ARGUMENT,
    "DECOMPRESSION_BOMB": INVALID_ARGUMENT,
    "RAW_IMAGE_INVALID": INVALID_ARGUMENT,
    "OUTPUT_UNSUPPORTED": INVALID_ARGUMENT,
    "REFERENCE_MISMATCH": INVALID_ARGUMENT,
    "SCALE_OUT_OF_RANGE": INVALID_ARGUMENT,
    "OPTION_OUT_OF_RANGE": INVALID_ARGUMENT,
    "PLAN_INCOMPATIBLE": INVALID_ARGUMENT,
    "STREAM_PROTOCOL": INVALID_ARGUMENT,
    "TILE_MISMATCH": INVALID_ARGUMENT,
    "CHECKSUM_MISMATCH": INVALID_ARGUMENT,
    "VALUE_RANGE_INVALID": INVALID_ARGUMENT,
    "MODEL_NOT_FOUND": "NOT_FOUND",
    "REVISION_CHANGED": "FAILED_PRECONDITION",
    "UNAUTHENTICATED": "UNAUTHENTICATED",
    "PERMISSION_DENIED": "PERMISSION_DENIED",
    "OVERLOADED": "RESOURCE_EXHAUSTED",
    "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
    "BACKEND_UNAVAILABLE": "UNAVAILABLE",
    "STREAM_STALLED": "UNAVAILABLE",
    "BACKEND_MISMATCH": "INTERNAL",
    "NOT_FINITE": "INTERNAL",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "INTERNAL": "INTERNAL",
}
"""The status that the gateway answers with each reason."""
DELAYS_S = {"OVERLOADED": 1.0, "QUOTA_EXCEEDED": 1.0, "BACKEND_UNAVAILABLE": 1.0, "STREAM_STALLED": 1.0}
"""Reasons with which it always says when to try again."""
DEGRADING = {"BACKEND_UNAVAILABLE", "NOT_FINITE", "BACKEND_MISMATCH"}
"""Reasons for which it rather gives a lesser answer, where the caller allows that."""


@dataclass(frozen=True)
class Failure:
    """A status, and the details that explain it."""

    code: str
    reason: str | None = None
    message: str = "the test asked for this"
    retry_delay_s: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if self.code not in grpc.StatusCode.__members__ or self.code == "OK":
            raise ArgumentError(f"code is {self.code!r}, accepted is the name of a gRPC status other than OK")
        if self.reason is None and (self.retry_delay_s is not None or self.metadata or self.violations):
            raise ArgumentError("reason is None, accepted with further details is a reason, such as 'OVERLOADED'")

    def abort(self, context: grpc.ServicerContext) -> None:
        """End the call with it."""
        code = grpc.StatusCode[self.code]
        if self.reason is not None:
            status = status_pb2.Status(code=code.value[0], message=self.message)
            for detail in self._details():
                status.details.add().Pack(detail)
            context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
        context.abort(code, self.message)

    def _details(self) -> list[Message]:
        details: list[Message] = [
            error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=dict(self.metadata))
        ]
        if self.retry_delay_s is not None:
            details.append(error_details_pb2.RetryInfo(retry_delay=duration_of(self.retry_delay_s)))
        if self.violations:
            request = error_details_pb2.BadRequest()
            for name, description in self.violations:
                request.field_violations.add(field=name, description=description)
            details.append(request)
        return details


class Refusal(ValueError):  # noqa: N818  what a service makes of it is an error
    """A request that the gateway refuses as well.

    Attributes:
        failure: What it answers.
    """

    def __init__(self, message: object, *, reason: str, field: str = "") -> None:
        super().__init__(message)
        violations = [(field, str(message))] if field else []
        self.failure = Failure(CODES[reason], reason, str(message), violations=violations)


class BeyondFakeError(NotImplementedError):
    """A request that the gateway answers and the fake cannot, for want of an image library."""

    @property
    def failure(self) -> Failure:
        """A status that the gateway gives no image."""
        return Failure("UNIMPLEMENTED", message=str(self))


def duration_of(seconds: float) -> Duration:
    """A span of time as the message that carries it."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def usual_code(reason: str | None) -> str:
    """The status that comes with a reason, UNAVAILABLE without one.

    Raises:
        ArgumentError: The gateway has no such reason.
    """
    if reason is None:
        return "UNAVAILABLE"
    if reason not in CODES:
        raise ArgumentError(f"reason is {reason!r}, accepted without a code are {', '.join(CODES)}")
    return CODES[reason]
