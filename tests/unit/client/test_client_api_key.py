"""Keys that say who calls: where they are sent, where they are not, and what is said instead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from certificates import Authority, Certificate

from hndsr_client import AccessError, ArgumentError, Client, Tls
from hndsr_client._core.checks import is_on_this_machine
from hndsr_client.cli import main
from hndsr_client.testing import FakeServer

KEY = "hndsr_0123456789ab_s3cr3t-s3cr3t_s3cr3t"
ELSEWHERE = "hndsr.invalid:443"


def sent(server: FakeServer) -> list[object]:
    return [request.metadata.get("authorization") for request in server.requests]


def test_api_key_goes_with_every_call(client_type: Callable[..., Client], server: FakeServer) -> None:
    with client_type(server.target, api_key=KEY) as client:
        client.info()
        client.plan(5, 7)
    assert sent(server) == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize("metadata", [{"x-id": "7"}, lambda: {"x-id": "7"}], ids=["mapping", "function"])
def test_api_key_goes_beside_other_metadata(
    client_type: Callable[..., Client], server: FakeServer, metadata: object
) -> None:
    with client_type(server.target, api_key=KEY, metadata=metadata) as client:
        client.info()
    found = server.requests[0].metadata
    assert (found["authorization"], found["x-id"]) == (f"Bearer {KEY}", "7")


def test_client_refuses_two_ways_to_say_who_calls(client_type: Callable[..., Client]) -> None:
    with pytest.raises(ArgumentError, match="give one of them"):
        client_type("127.0.0.1:1", api_key=KEY, metadata={"authorization": "Bearer other"})


def test_call_refuses_two_ways_to_say_who_calls(client_type: Callable[..., Client], server: FakeServer) -> None:
    with (
        client_type(server.target, api_key=KEY, metadata=lambda: {"authorization": "Bearer other"}) as client,
        pytest.raises(ArgumentError, match="give one of them"),
    ):
        client.info()


@pytest.mark.parametrize("key", ["", " ", "s3cr3t\n", "s3cr3t ä", "Bearer s3cr3t", b"s3cr3t", 7])
def test_client_refuses_keys_that_cannot_be_sent_without_showing_them(
    client_type: Callable[..., Client], key: object
) -> None:
    with pytest.raises(ArgumentError, match="the API key cannot be sent") as caught:
        client_type("127.0.0.1:1", api_key=key)
    assert "s3cr3t" not in str(caught.value)


def test_client_sends_no_key_unencrypted_to_other_machines(client_type: Callable[..., Client]) -> None:
    with pytest.raises(ArgumentError, match=f"the API key would be sent to {ELSEWHERE} for everybody") as caught:
        client_type(ELSEWHERE, api_key=KEY)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("tls", [True, False, Tls()], ids=["encrypted", "insisted", "chosen"])
def test_client_takes_a_key_for_other_machines(client_type: Callable[..., Client], tls: object) -> None:
    client_type(ELSEWHERE, api_key=KEY, tls=tls).close()


@pytest.mark.parametrize(
    ("target", "is_here"),
    [
        ("127.0.0.1:50051", True),
        ("127.0.0.2:50051", True),
        ("localhost:50051", True),
        ("LOCALHOST:50051", True),
        ("[::1]:50051", True),
        ("dns:localhost:50051", True),
        ("dns:///localhost:50051", True),
        ("ipv4:127.0.0.1:50051", True),
        ("ipv6:[::1]:50051", True),
        ("unix:/run/hndsr.sock", True),
        ("10.0.0.7:50051", False),
        ("localhost.example:50051", False),
        ("dns://10.0.0.7/localhost:50051", False),
        ("ipv4:127.0.0.1:50051,10.0.0.7:50051", False),
        ("localhost", False),
        ("0.0.0.0:50051", False),
    ],
)
def test_is_on_this_machine_knows_what_nobody_else_sees(target: str, is_here: bool) -> None:  # noqa: FBT001  a case
    assert is_on_this_machine(target) == is_here


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def caller(authority: Authority) -> Certificate:
    return authority.write("caller", "caller.example")


@pytest.fixture
def asking_server(authority: Authority, caller: Certificate) -> Iterator[FakeServer]:
    """One that wants to see a certificate."""
    own = authority.write("server", "127.0.0.1")
    pair = own.key.read_bytes(), own.certificate.read_bytes()
    with FakeServer(credentials=grpc.ssl_server_credentials([pair], authority.pem, require_client_auth=True)) as server:
        yield server


def test_command_sends_the_key_of_its_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_API_KEY", KEY)
    assert (main(["info", "--target", server.target]), sent(server)) == (0, [f"Bearer {KEY}"])


def test_command_sends_what_it_is_told_instead(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_API_KEY", KEY)
    assert main(["info", "--target", server.target, "--metadata", "authorization=Bearer other"]) == 0
    assert sent(server) == ["Bearer other"]


def test_command_sends_a_key_without_blanks_around_it(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_API_KEY", f" {KEY}\n")
    assert (main(["info", "--target", server.target]), sent(server)) == (0, [f"Bearer {KEY}"])


def test_command_refuses_the_key_of_another_certificate(
    authority: Authority, caller: Certificate, capsys: pytest.CaptureFixture[str]
) -> None:
    other = authority.write("other", "other.example")
    pair = ["--cert", str(caller.certificate), "--key", str(other.key)]
    assert main(["info", "--target", "127.0.0.1:1", *pair]) == 2
    said = f"--key: {other.key}: is not the key of the certificate {caller.certificate}"
    assert said in capsys.readouterr().err


def test_command_names_the_option_of_roots_that_do_not_vouch(
    asking_server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    assert main(["info", "--target", asking_server.target, "--ca", str(Authority(folder).file)]) == 4
    assert "who vouches for it (--ca), its name (that of --target)" in capsys.readouterr().err


def test_command_keeps_what_grpc_logs_to_itself(asking_server: FakeServer) -> None:
    command = [sys.executable, "-m", "hndsr_client.cli", "info", "--target", asking_server.target, "--tls"]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (4, 1)


def test_command_names_the_options_of_a_connection_that_wants_tls(
    asking_server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--target", asking_server.target]) == 4
    assert "closed the connection; check whether it wants TLS (--tls, --ca)" in capsys.readouterr().err


def test_command_sends_no_empty_key(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_API_KEY", "")
    assert (main(["info", "--target", server.target]), sent(server)) == (0, [None])


def test_command_sends_no_key_unencrypted_to_other_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HNDSR_API_KEY", KEY)
    code = main(["info", "--target", ELSEWHERE])
    error = capsys.readouterr().err
    assert (code, error.startswith(f"hndsr: error: HNDSR_API_KEY would be sent to {ELSEWHERE}")) == (2, True)
    assert ("give --tls, or --no-tls" in error, "s3cr3t" in error) == (True, False)


def test_command_sends_a_key_unencrypted_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_API_KEY", KEY)
    assert main(["info", "--target", ELSEWHERE, "--no-tls", "--timeout", "1"]) in {4, 5}


def test_command_shows_a_certificate(asking_server: FakeServer, authority: Authority, caller: Certificate) -> None:
    certificate = ["--ca", str(authority.file), "--cert", str(caller.certificate), "--key", str(caller.key)]
    assert main(["info", "--target", asking_server.target, *certificate]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cert", "a.pem"], "--cert and --key go together"),
        (["--key", "a.pem"], "--cert and --key go together"),
        (["--cert", "none.pem", "--key", "none.pem"], "--key: none.pem: no such file"),
        (["--no-tls", "--ca", "a.pem"], "--no-tls goes without --ca, --cert and --key"),
        (["--embedded", "--cert", "a.pem", "--key", "a.pem"], "go with --target, not with --embedded"),
    ],
)
def test_command_refuses_what_does_not_go_together(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    target = [] if "--embedded" in options else ["--target", "127.0.0.1:1"]
    assert (main(["info", *target, *options]), said in capsys.readouterr().err) == (2, True)


def test_refused_caller_is_told_how_to_say_who_it_is(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.fail_next(code="UNAUTHENTICATED", reason="UNAUTHENTICATED")
    assert (main(["info", "--target", server.target]), "HNDSR_API_KEY" in capsys.readouterr().err) == (3, True)


def test_refused_caller_is_an_access_error_that_is_not_tried_again(
    client_type: Callable[..., Client], server: FakeServer
) -> None:
    server.fail_next(code="UNAUTHENTICATED", reason="UNAUTHENTICATED")
    with client_type(server.target) as client, pytest.raises(AccessError):
        client.info()
    assert len(server.requests) == 1
