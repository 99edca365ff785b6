"""The page of everything that the gateway answers instead of an image."""

from __future__ import annotations

from itertools import groupby

from google.rpc.error_details_pb2 import ErrorInfo

from hndsr_gateway import errors
from hndsr_gateway.errors import GatewayError, UnavailableError
from hndsr_gateway.status import DETAILS_KEY, DOMAIN, status_of, status_proto
from pages.markdown import table

HEAD = f"""# Errors

Each refusal has a gRPC status, a message for people and a stable **reason** for programs. This page is made from the
code by `make docs`.

- **In the Python SDK** every error of the service is a `ServiceError`: `error.reason`, `error.code`, `error.message`,
  and where they are given `error.violations` (field, description) and `error.retry_delay_s`.
- **In raw gRPC** the trailing metadata `{DETAILS_KEY}` holds a `google.rpc.Status`. Its `details` always
  have an `ErrorInfo` of domain `{DOMAIN}` with the reason; `BadRequest` names the field that is to be mended,
  `RetryInfo` how long to wait. [The examples](../examples/README.md) read the reason in three languages.

"""
FOOT = """
## Without a reason

Some statuses come from gRPC itself, on either side, and carry no `ErrorInfo`. The SDK's `reason` is then the status, or
`MESSAGE_TOO_LARGE`, or `TLS_FAILED` where UNAVAILABLE means that the two ends do not agree on TLS.

| status | when | remedy |
|---|---|---|
| RESOURCE_EXHAUSTED | The message exceeds `HNDSR_MAX_MESSAGE_BYTES`, or what the client's channel receives (4 MiB unless it is told otherwise). | raise `grpc.max_receive_message_length`, or send a smaller image |
| RESOURCE_EXHAUSTED | More calls are open than the server has places for, before any of them is looked at. | try again |
| UNIMPLEMENTED | The server does not know the call: it is older, or another service. | compare `gateway_version` of GetModelInfo |
| CANCELLED | The caller gave up; the networks stop within one window batch. | |
| DEADLINE_EXCEEDED | The caller's own deadline passed before the server's answer came. | allow more time |
| UNAVAILABLE | No server at that address, or the connection broke. | check the address, try again |
"""  # noqa: E501 - a row of a table is one line


def errors_page() -> str:
    """One row for each reason."""
    headings = ["reason", "status", "when", "remedy", "beside ErrorInfo"]
    return HEAD + table(headings, map(_row, _by_reason())) + FOOT


def answerable() -> list[type[GatewayError]]:
    """The classes that callers see, in the order of the code: those that are raised themselves, and the root last."""
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, GatewayError)]
    inner = {parent for one in classes for parent in one.__mro__[1:]} - {UnavailableError}
    return [*(one for one in classes if one not in inner), GatewayError]


def _by_reason() -> list[list[type[GatewayError]]]:
    order = list(dict.fromkeys(one.reason for one in answerable()))
    ordered = sorted(answerable(), key=lambda one: order.index(one.reason))
    return [list(group) for _, group in groupby(ordered, key=lambda one: one.reason)]


def _row(classes: list[type[GatewayError]]) -> list[str]:
    first = classes[0]
    return [
        f"`{first.reason}`",
        status_of(_example(first)).name,
        " Or: ".join((one.__doc__ or "").splitlines()[0] for one in classes),
        " / ".join(dict.fromkeys(one.remedy for one in classes)),
        ", ".join(dict.fromkeys(f"`{detail}`" for one in classes for detail in _details(one))),
    ]


def _example(cls: type[GatewayError]) -> GatewayError:
    """An error of the class without the facts that its constructor asks for."""
    error = cls.__new__(cls)
    error.__dict__.update(field="", subject="", retry_delay_s=0.0)
    return error


def _details(cls: type[GatewayError]) -> list[str]:
    names = [detail.TypeName().rpartition(".")[2] for detail in status_proto(_example(cls)).details]
    return [name for name in names if name != ErrorInfo.DESCRIPTOR.name]
