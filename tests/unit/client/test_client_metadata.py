"""What is sent beside requests: checked, asked for anew, and never shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc
import pytest

from hndsr_client import ArgumentError, Client, Keepalive, Retry, UnavailableError
from hndsr_client.testing import FakeServer

SECRET = "Bearer s3cr3t"  # noqa: S105  nobody's
QUICK = Retry(initial_delay_s=0.001)


def sent(server: FakeServer) -> list[object]:
    return [request.metadata.get("authorization") for request in server.requests]


def test_metadata_goes_with_every_call(client_type: Callable[..., Client], server: FakeServer) -> None:
    with client_type(server.target, metadata={"authorization": SECRET}) as client:
        client.info()
        client.plan(5, 7)
    assert sent(server) == [SECRET, SECRET]


def test_metadata_is_asked_for_before_every_attempt(client_type: Callable[..., Client], server: FakeServer) -> None:
    tokens = iter(["first", "second", "third"])
    server.fail_next()
    with client_type(server.target, metadata=lambda: {"authorization": next(tokens)}, retry=QUICK) as client:
        client.info()
        client.info()
    assert sent(server) == ["first", "second", "third"]


def test_metadata_may_be_left_out(client: Client, server: FakeServer) -> None:
    client.info()
    assert sent(server) == [None]


@pytest.mark.parametrize(
    "name", ["Authorization", "grpc-timeout", "token-bin", "", " ", "a b", ":path", "x:y", "ä", 1, b"token"]
)
def test_client_refuses_names_that_cannot_be_sent(client_type: Callable[..., Client], name: object) -> None:
    with pytest.raises(ArgumentError, match="accepted are lower-case letters"):
        client_type("127.0.0.1:1", metadata={name: "value"})


@pytest.mark.parametrize("value", [f"{SECRET}\n", f"{SECRET}ä", f"{SECRET}\x00", SECRET.encode(), [SECRET], None])
def test_client_refuses_values_that_cannot_be_sent(client_type: Callable[..., Client], value: object) -> None:
    with pytest.raises(ArgumentError, match="the metadata's value of 'token' cannot be sent") as caught:
        client_type("127.0.0.1:1", metadata={"token": value})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("metadata", [[("a", "b")], "a=b", 7])
def test_client_refuses_metadata_that_is_no_mapping(client_type: Callable[..., Client], metadata: object) -> None:
    with pytest.raises(ArgumentError, match="accepted is a mapping"):
        client_type("127.0.0.1:1", metadata=metadata)


def test_call_refuses_what_the_function_answers(client_type: Callable[..., Client], server: FakeServer) -> None:
    with (
        client_type(server.target, metadata=lambda: {"Token": SECRET}) as client,
        pytest.raises(ArgumentError, match="'Token' cannot be sent"),
    ):
        client.info()


def test_call_passes_on_what_the_function_raises(client_type: Callable[..., Client], server: FakeServer) -> None:
    with client_type(server.target, metadata=lambda: {}["token"]) as client, pytest.raises(KeyError, match="token"):
        client.info()


def test_client_refuses_an_async_function() -> None:
    async def token() -> dict[str, str]:
        return {}

    with pytest.raises(ArgumentError, match="AsyncClient takes such"):
        Client("127.0.0.1:1", metadata=token)


def test_errors_never_show_metadata(client_type: Callable[..., Client], server: FakeServer) -> None:
    server.fail_next()
    with client_type(server.target, metadata={"authorization": SECRET}, retry=None) as client:
        with pytest.raises(UnavailableError) as caught:
            client.info()
        shown = f"{client!r} {caught.value!r} {caught.value.__cause__!r} {vars(caught.value)}"
    assert "s3cr3t" not in shown


@pytest.mark.parametrize("change", [{"time_s": 9}, {"time_s": float("inf")}, {"timeout_s": 0}], ids=str)
def test_keepalive_refuses_what_grpc_would_not_do(change: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(change))} is"):
        Keepalive(**change)


@pytest.fixture(params=["insecure_channel", "secure_channel"])
def channel_options(
    request: pytest.FixtureRequest, client_type: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, object]]:
    """What a client gives gRPC for its channel, which keeps it to itself."""
    module = grpc if client_type is Client else grpc.aio
    make, given = getattr(module, request.param), {}

    def noted(*arguments: object, options: Sequence[tuple[str, object]]) -> object:
        given.update(options)
        return make(*arguments, options=options)

    def options(**arguments: object) -> dict[str, object]:
        tls = request.param == "secure_channel"
        with (
            client_type("127.0.0.1:1", tls=tls, retry=None, **arguments) as client,
            pytest.raises(UnavailableError),
        ):
            client.info()
        return given

    monkeypatch.setattr(module, request.param, noted)
    return options


def test_keepalive_reaches_the_channel(channel_options: Callable[..., dict[str, object]]) -> None:
    options = channel_options(keepalive=Keepalive(time_s=30, timeout_s=5))
    assert (options["grpc.keepalive_time_ms"], options["grpc.keepalive_timeout_ms"]) == (30_000, 5_000)


def test_keepalive_may_be_left_out(channel_options: Callable[..., dict[str, object]]) -> None:
    assert [name for name in channel_options(keepalive=None) if "keepalive" in name] == []


def test_grpc_never_tries_again_by_itself(channel_options: Callable[..., dict[str, object]]) -> None:
    assert channel_options()["grpc.enable_retries"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"retry": False}, "retry is False, accepted are None and Retry"),
        ({"retry": 3}, "retry is 3"),
        ({"keepalive": 30}, "keepalive is 30, accepted are None and Keepalive"),
    ],
    ids=str,
)
def test_client_refuses_plans_of_another_kind(
    client_type: Callable[..., Client], given: dict[str, object], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        client_type("127.0.0.1:1", **given)
