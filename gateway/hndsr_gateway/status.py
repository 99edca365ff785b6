"""The one table from errors to gRPC status, with google.rpc details."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from hndsr_gateway.errors import (
    GatewayError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RequestTimeoutError,
    RevisionChangedError,
    UnauthenticatedError,
    UnavailableError,
)

DOMAIN = "hndsr"
DETAILS_KEY = "grpc-status-details-bin"

STATUS: dict[type[GatewayError], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    ModelNotFoundError: grpc.StatusCode.NOT_FOUND,
    RevisionChangedError: grpc.StatusCode.FAILED_PRECONDITION,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    QuotaExceededError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    RequestTimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
    GatewayError: grpc.StatusCode.INTERNAL,
}


def status_of(error: GatewayError) -> grpc.StatusCode:
    """The status of the nearest mapped ancestor, so that a new leaf needs no new row."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def status_proto(error: GatewayError) -> status_pb2.Status:
    """The whole google.rpc.Status: code, message, ErrorInfo and what else the error knows."""
    status = status_pb2.Status(code=status_of(error).value[0], message=str(error))
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, InvalidRequestError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, QuotaExceededError):
        exceeded = error_details_pb2.QuotaFailure.Violation(subject=error.subject, description=str(error))
        details.append(error_details_pb2.QuotaFailure(violations=[exceeded]))
    if isinstance(error, (OverloadedError, QuotaExceededError, UnavailableError)):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_delay_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
