"""Each status becomes one error, with what the service said, and one exit code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import grpc
import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

import hndsr_client as sdk
from hndsr_client._core.status import DETAILS_KEY
from hndsr_client._exit_codes import exit_code
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

Code = grpc.StatusCode


class Row(NamedTuple):
    """A status and what becomes of it."""

    code: grpc.StatusCode
    reason: str
    kind: type[sdk.ServiceError]
    exit_code: int


TABLE = [
    Row(Code.INVALID_ARGUMENT, "IMAGE_TOO_LARGE", sdk.InvalidRequestError, 3),
    Row(Code.INVALID_ARGUMENT, "IMAGE_DAMAGED", sdk.InvalidRequestError, 3),
    Row(Code.INVALID_ARGUMENT, "DECOMPRESSION_BOMB", sdk.InvalidRequestError, 3),
    Row(Code.INVALID_ARGUMENT, "OUTPUT_UNSUPPORTED", sdk.InvalidRequestError, 3),
    Row(Code.INVALID_ARGUMENT, "REFERENCE_MISMATCH", sdk.InvalidRequestError, 3),
    Row(Code.OUT_OF_RANGE, "SCALE_OUT_OF_RANGE", sdk.InvalidRequestError, 3),
    Row(Code.ALREADY_EXISTS, "EXISTS", sdk.InvalidRequestError, 3),
    Row(Code.NOT_FOUND, "MODEL_NOT_FOUND", sdk.NotFoundError, 3),
    Row(Code.UNAUTHENTICATED, "UNAUTHENTICATED", sdk.AccessError, 3),
    Row(Code.PERMISSION_DENIED, "FORBIDDEN", sdk.AccessError, 3),
    Row(Code.FAILED_PRECONDITION, "REVISION_CHANGED", sdk.PreconditionError, 3),
    Row(Code.RESOURCE_EXHAUSTED, "OVERLOADED", sdk.OverloadedError, 4),
    Row(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", sdk.UnavailableError, 4),
    Row(Code.ABORTED, "ABORTED", sdk.UnavailableError, 4),
    Row(Code.CANCELLED, "CANCELLED", sdk.UnavailableError, 4),
    Row(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", sdk.DeadlineError, 5),
    Row(Code.INTERNAL, "INTERNAL", sdk.ServerError, 1),
    Row(Code.UNKNOWN, "UNKNOWN", sdk.ServerError, 1),
    Row(Code.DATA_LOSS, "DATA_LOSS", sdk.ServerError, 1),
    Row(Code.UNIMPLEMENTED, "UNIMPLEMENTED", sdk.ServerError, 1),
]
ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)

INFO = error_details_pb2.ErrorInfo(reason="IMAGE_TOO_LARGE", domain="hndsr", metadata={"limit_px": "16000000"})


def refusing(
    code: grpc.StatusCode, *details: Message, message: str = "too large", content: bytes | None = None
) -> Callable[[grpc.ServicerContext], None]:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)

    def refuse(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString() if content is None else content),))
        context.abort(code, "plain text")

    return refuse


def failure(client: sdk.Client) -> sdk.ServiceError:
    with pytest.raises(sdk.ServiceError) as caught:
        client.info()
    return caught.value


@ROWS
def test_status_becomes_its_class(client: sdk.Client, service: NearestServicer, row: Row) -> None:
    service.refuse = refusing(row.code, error_details_pb2.ErrorInfo(reason=row.reason, domain="hndsr"))
    assert type(failure(client)) is row.kind


@ROWS
def test_status_without_details_becomes_its_class(client: sdk.Client, service: NearestServicer, row: Row) -> None:
    service.refuse = lambda context: context.abort(row.code, "plain text")
    assert type(failure(client)) is row.kind


@ROWS
def test_status_becomes_its_exit_code(client: sdk.Client, service: NearestServicer, row: Row) -> None:
    service.refuse = refusing(row.code, error_details_pb2.ErrorInfo(reason=row.reason, domain="hndsr"))
    assert exit_code(failure(client)) == row.exit_code


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("message", "too large"),
        ("reason", "IMAGE_TOO_LARGE"),
        ("code", "INVALID_ARGUMENT"),
        ("retry_delay_s", 2.5),
        ("metadata", {"limit_px": "16000000"}),
        ("violations", (("parameters.scale", "is above 8"),)),
    ],
)
def test_service_error_says_what_the_service_said(
    client: sdk.Client, service: NearestServicer, attribute: str, value: object
) -> None:
    request = error_details_pb2.BadRequest()
    request.field_violations.add(field="parameters.scale", description="is above 8")
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    service.refuse = refusing(Code.INVALID_ARGUMENT, INFO, request, delay)
    assert getattr(failure(client), attribute) == value


def test_service_error_takes_the_plain_text_where_the_status_has_none(
    client: sdk.Client, service: NearestServicer
) -> None:
    service.refuse = refusing(Code.INVALID_ARGUMENT, INFO, message="")
    assert failure(client).message == "plain text"


def test_service_error_takes_no_reason_of_another_domain(client: sdk.Client, service: NearestServicer) -> None:
    service.refuse = refusing(Code.INVALID_ARGUMENT, error_details_pb2.ErrorInfo(reason="X", domain="proxy"))
    assert failure(client).reason == "INVALID_ARGUMENT"


def test_service_error_survives_details_that_cannot_be_read(client: sdk.Client, service: NearestServicer) -> None:
    service.refuse = refusing(Code.INVALID_ARGUMENT, content=b"\xff\xff\xff")
    assert failure(client).message == "plain text"


def test_service_error_passes_over_a_detail_that_cannot_be_read(client: sdk.Client, service: NearestServicer) -> None:
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
    status = status_pb2.Status(code=3, details=[broken])
    status.details.add().Pack(INFO)
    service.refuse = refusing(Code.INVALID_ARGUMENT, content=status.SerializeToString())
    assert failure(client).reason == "IMAGE_TOO_LARGE"


def test_refused_connection_names_target_and_remedy() -> None:
    with sdk.Client("127.0.0.1:1", retry=None) as client:
        message = failure(client).message
    assert message.startswith("no service at 127.0.0.1:1; check the address and that a gateway is running there")


@pytest.mark.parametrize("details", ["Cancelling all calls", "Socket closed"])
def test_call_broken_by_the_end_of_the_service_says_so(
    client: sdk.Client, service: NearestServicer, target: str, details: str
) -> None:
    service.refuse = lambda context: context.abort(Code.UNAVAILABLE, details)
    assert failure(client).message.startswith(f"the service at {target} stopped during the call")


def test_call_cancelled_by_a_stopping_server_says_so(
    client: sdk.Client, server: FakeServer, service: NearestServicer
) -> None:
    server.delay_next(600)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(failure, client)
        assert service.received.wait(20)
        server.close()
        assert call.result().message.startswith(f"the service at {server.target} stopped during the call")


def test_own_deadline_names_target_and_span(client: sdk.Client, server: FakeServer, target: str) -> None:
    server.delay_next(600)
    with pytest.raises(sdk.DeadlineError, match=f"{target} did not answer within 0.1 s"):
        client.info(timeout_s=0.1)


def test_client_timeout_holds_for_calls_without_their_own(
    client_type: Callable[..., sdk.Client], server: FakeServer
) -> None:
    server.delay_next(600)
    with client_type(server.target, timeout_s=0.1) as client:
        assert isinstance(failure(client), sdk.DeadlineError)


def test_foreign_service_is_named_as_such() -> None:
    server = grpc.server(None)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with sdk.Client(f"127.0.0.1:{port}") as client:
        message = failure(client).message
    server.stop(None).wait()
    assert "does not serve this call of hndsr.v1.UpscaleService" in message


def test_message_over_the_server_limit_is_an_invalid_request() -> None:
    with (
        FakeServer(max_message_bytes=1000) as server,
        sdk.Client(server.target) as client,
        pytest.raises(sdk.InvalidRequestError) as caught,
    ):
        client.upscale(np.zeros((20, 20, 3), np.uint8))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


def test_image_over_the_message_limit_is_refused_before_it_is_copied(client: sdk.Client) -> None:
    image = np.broadcast_to(np.uint8(0), (20_000, 10_000, 3))
    with pytest.raises(sdk.ImageTooLargeError, match="600,000,000 bytes"):
        client.upscale(image)


@pytest.mark.parametrize(
    "error",
    [
        sdk.ServiceError(
            "no", reason="R", code="C", retry_delay_s=1.5, metadata={"a": "b"}, violations=[("f", "d")], attempts=3
        ),
        sdk.ImageTooLargeError(size_bytes=2, limit_bytes=1),
        sdk.DestinationError(path="a.png", problem="exists"),
        sdk.EmbeddedGatewayError(problem="ended", log_lines=["why"]),
        sdk.EmbeddedNotInstalledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling(error: sdk.HndsrError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  made here
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_errors_are_all_drawn_in_the_tree() -> None:
    drawn = sdk.errors.__doc__
    assert [name for name in sdk.__all__ if name.endswith("Error") and name not in drawn] == []


@pytest.mark.parametrize(("kind", "builtin"), [(sdk.ArgumentError, ValueError), (sdk.LocalFileError, OSError)])
def test_errors_are_also_the_builtin_of_their_kind(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)
