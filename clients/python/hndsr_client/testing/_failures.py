"""Failures that a test asks for, as a gateway would answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from hndsr_client._core.status import DETAILS_KEY, DOMAIN
from hndsr_client.errors import ArgumentError


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
            delay = Duration()
            delay.FromNanoseconds(round(self.retry_delay_s * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if self.violations:
            request = error_details_pb2.BadRequest()
            for name, description in self.violations:
                request.field_violations.add(field=name, description=description)
            details.append(request)
        return details
