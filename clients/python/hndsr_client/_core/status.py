"""The one translator of gRPC's errors into this package's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from hndsr_client.errors import (
    AccessError,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    ServerError,
    ServiceError,
    UnavailableError,
)

DOMAIN = "hndsr"
DETAILS_KEY = "grpc-status-details-bin"
# What gRPC says of a call that was under way when the server stopped, or was killed.
BROKEN_CALLS = ("Cancelling all calls", "Socket closed")
# What it says of two ends that will never agree, however often they try.
TLS_FAILURES = (
    "CERTIFICATE_VERIFY_FAILED",
    "Hostname Verification Check failed",
    "WRONG_VERSION_NUMBER",
    "Failed to create security handshaker",
)
TLS_REASON = "TLS_FAILED"

CLASSES: dict[str, type[ServiceError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "ALREADY_EXISTS": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": AccessError,
    "PERMISSION_DENIED": AccessError,
    "FAILED_PRECONDITION": PreconditionError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAVAILABLE": UnavailableError,
    "ABORTED": UnavailableError,
    "CANCELLED": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
}

# What a call raises is a grpc.RpcError, which declares nothing of what it has.
RpcError = Any
MessageT = TypeVar("MessageT", bound=Message)


def service_error(error: RpcError, *, target: str, timeout_s: float | None, attempts: int = 1) -> ServiceError:
    """The error of this package that says what gRPC's says.

    Args:
        error: What a call raised.
        target: The address that was called, for messages about the way to it.
        timeout_s: The time the call was allowed, None for any.
        attempts: How many times the call was tried.
    """
    failure = _translated(error, target=target, timeout_s=timeout_s)
    failure.attempts = attempts
    return failure


def _translated(error: RpcError, *, target: str, timeout_s: float | None) -> ServiceError:
    code = error.code().name
    status = _status(error)
    info = next((info for info in _details(status, error_details_pb2.ErrorInfo) if info.domain == DOMAIN), None)
    if info is None:
        return _without_reason(code, error.details() or "", target=target, timeout_s=timeout_s)
    return CLASSES.get(code, ServerError)(
        status.message or error.details() or info.reason,
        reason=info.reason,
        code=code,
        retry_delay_s=_retry_delay_s(status),
        metadata=info.metadata,
        violations=_violations(status),
    )


def _status(error: RpcError) -> Any:
    """The google.rpc.Status beside the code, empty where there is none that can be read."""
    content = next((value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY), b"")
    try:
        return status_pb2.Status.FromString(content)
    except DecodeError:
        return status_pb2.Status()


def _details(status: Any, kind: type[MessageT]) -> Iterator[MessageT]:
    """The details of one kind; those that cannot be read are passed over."""
    for detail in status.details:
        message = kind()
        try:
            if detail.Unpack(message):
                yield message
        except DecodeError:
            continue


def _retry_delay_s(status: Any) -> float | None:
    delays = (info.retry_delay for info in _details(status, error_details_pb2.RetryInfo))
    return next((delay.seconds + delay.nanos / 1e9 for delay in delays), None)


def _violations(status: Any) -> list[tuple[str, str]]:
    requests = _details(status, error_details_pb2.BadRequest)
    return [(violation.field, violation.description) for request in requests for violation in request.field_violations]


def _without_reason(code: str, details: str, *, target: str, timeout_s: float | None) -> ServiceError:
    """The error for a status that HNDSR did not write: gRPC itself, a proxy, or another service."""
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        message = f"the image or its enlargement does not fit in one message; send a smaller one ({details})"
        return InvalidRequestError(message, reason="MESSAGE_TOO_LARGE", code=code)
    if code == "UNAVAILABLE" and any(failure in details for failure in TLS_FAILURES):
        message = (
            f"no TLS with {target}; check its certificate, who vouches for it (Tls(root_certificates=...)), its name "
            f"(Tls(server_name=...)) and the keys ({details})"
        )
        return UnavailableError(message, reason=TLS_REASON, code=code)
    if code == "UNAVAILABLE" and _was_under_way(details):
        message = f"the service at {target} stopped during the call; try again when it is back ({details})"
    elif code == "UNAVAILABLE" and BROKEN_CALLS[1] in details:
        message = (
            f"{target} closed the connection; check whether it wants TLS (tls=True, Tls(root_certificates=...)) or a "
            f"client's certificate, the address, and that a gateway is running there ({details})"
        )
    elif code == "UNAVAILABLE":
        message = f"no service at {target}; check the address and that a gateway is running there ({details})"
    elif code == "DEADLINE_EXCEEDED":
        allowed = "in time" if timeout_s is None else f"within {timeout_s:g} s"
        message = f"{target} did not answer {allowed}; allow more time or send a smaller image"
    elif code == "UNIMPLEMENTED":
        message = f"{target} does not serve this call of hndsr.v1.UpscaleService ({details})"
    else:
        message = details or f"{target} answered {code}"
    return CLASSES.get(code, ServerError)(message, reason=code, code=code)


def _was_under_way(details: str) -> bool:
    """Whether gRPC says that a call broke; the socket of a connection that never came about closes as well."""
    return details.startswith(BROKEN_CALLS)
