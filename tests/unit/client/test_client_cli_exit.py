"""The command says how it ended in exit codes and in one line, whatever ends it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

from hndsr_client.cli import main
from hndsr_client.testing._servicer import NearestServicer

# Ctrl-C at the moment when a module is imported.
INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(name, *_):
        if name == sys.argv[1]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt)
from hndsr_client.cli import main
sys.exit(main(["info"]))
"""
COMMAND = [sys.executable, "-m", "hndsr_client.cli"]
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ENVIRONMENTS = BUFFERED, BUFFERED | {"PYTHONUNBUFFERED": "1"}


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.png"


@pytest.fixture
def upscale(target: str, source: Path, made: Path) -> list[str]:
    """The arguments of a whole `hndsr upscale`."""
    return ["upscale", str(source), str(made), "--target", target]


def test_metadata_is_sent_beside_a_request(target: str, service: NearestServicer) -> None:
    main(["info", "--target", target, "--metadata", "authorization=Bearer a=b", "--metadata", "x-id=7"])
    sent = service.recorded[0].metadata
    assert (sent["authorization"], sent["x-id"]) == ("Bearer a=b", "7")


@pytest.mark.parametrize("metadata", ["name", "=value", "UPPER=value"])
def test_exit_code_of_metadata_that_cannot_be_sent(target: str, metadata: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        sys.exit(main(["info", "--target", target, "--metadata", metadata]))


def test_exit_code_of_a_missing_certificate(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["info", "--target", target, "--ca", str(tmp_path / "ca.pem")])
    expected = f"hndsr: error: --ca: {tmp_path}/ca.pem: no such file or directory\n"
    assert (code, capsys.readouterr().err) == (2, expected)


def test_tls_is_not_spoken_to_a_server_without_it(target: str) -> None:
    assert main(["info", "--target", target, "--tls", "--timeout", "2"]) in {4, 5}


@pytest.mark.parametrize("option", [["--tls"], ["--ca", "ca.pem"], ["--metadata", "a=b"]])
def test_exit_code_of_a_connection_option_without_a_connection(option: list[str]) -> None:
    assert main(["info", "--embedded", *option]) == 2


def test_target_comes_from_the_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_TARGET", target)
    assert main(["info"]) == 0


def test_target_given_outdoes_the_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_TARGET", "127.0.0.1:1")
    assert main(["info", "--target", target]) == 0


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out.partition("exit codes:")[2].splitlines()
    assert [line.split()[0] for line in listed if line] == ["0", "1", "2", "3", "4", "5", "6", "7", "130"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["enlarge"], ["upscale", "a.png"], ["plan", "5", "wide"], ["info", "--target", "a:1", "--embedded"]],
    ids=" ".join,
)
def test_exit_code_of_a_wrong_command_line(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.parametrize(
    "option",
    [["--steps=-1"], ["--timeout=0"], ["--target=http://a:1"], ["--target="], ["--scale="], ["--model=\udcff"]],
)
def test_exit_code_of_an_option_no_message_can_carry(upscale: list[str], option: list[str]) -> None:
    assert main([*upscale, *option]) == 2


@pytest.mark.parametrize(
    ("option", "start"),
    [
        ("--timeout=0", "--timeout is 0.0, accepted is a number above 0"),
        ("--target=", "--target is '', accepted is HOST:PORT\n"),
        ("--target=127.0.0.1:99999", "--target is '127.0.0.1:99999', accepted is HOST:PORT with a port"),
        ("--scale=", "--scale is '', accepted are"),
        ("--steps=-1", "--steps is -1, accepted is"),
    ],
)
def test_error_names_options_as_the_command_line_does(
    upscale: list[str], capsys: pytest.CaptureFixture[str], option: str, start: str
) -> None:
    main([*upscale, option])
    assert capsys.readouterr().err.startswith(f"hndsr: error: {start}")


def test_error_names_arguments_as_the_command_line_does(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "-1", "5", "--target", target])
    assert capsys.readouterr().err == "hndsr: error: HEIGHT is -1, accepted is an integer, 1 or more\n"


def test_error_of_an_existing_destination_names_the_option(
    upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.touch()
    main(upscale)
    expected = f"hndsr: error: {made}: exists; replace it with --overwrite or name another destination\n"
    assert capsys.readouterr().err == expected


def test_exit_code_of_a_destination_without_a_format(upscale: list[str], folder: Path) -> None:
    assert main([*upscale[:2], str(folder / "made.gif"), *upscale[3:]]) == 2


def test_exit_code_of_a_refusal(upscale: list[str], service: NearestServicer) -> None:
    service.refuse = lambda context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too large")
    assert main(upscale) == 3


def test_exit_code_of_a_service_that_is_not_there() -> None:
    assert main(["info", "--target", "127.0.0.1:1"]) == 4


def test_exit_code_of_a_gateway_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hndsr_gateway", None)
    assert main(["info", "--embedded"]) == 4


def test_exit_code_of_a_deadline(upscale: list[str], service: NearestServicer) -> None:
    service.release = threading.Event()
    assert main([*upscale, "--timeout", "0.1"]) == 5


def test_exit_code_of_an_existing_destination(upscale: list[str], made: Path) -> None:
    made.touch()
    assert main(upscale) == 6


def test_exit_code_of_a_missing_source(upscale: list[str], source: Path) -> None:
    source.unlink()
    assert main(upscale) == 6


def test_exit_code_of_a_failed_server(upscale: list[str], service: NearestServicer) -> None:
    service.refuse = lambda context: context.abort(grpc.StatusCode.INTERNAL, "an internal error")
    assert main(upscale) == 1


def test_error_is_one_line_with_its_reason(
    upscale: list[str], service: NearestServicer, capsys: pytest.CaptureFixture[str]
) -> None:
    service.refuse = lambda context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too large")
    main(upscale)
    assert capsys.readouterr().err == "hndsr: error: too large [INVALID_ARGUMENT]\n"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=["buffered", "unbuffered"])
def test_exit_code_of_an_output_on_a_full_disk(target: str, environment: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as stdout:
        ended = subprocess.run(
            [*COMMAND, "info", "--target", target], stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False
        )
    assert (ended.returncode, ended.stderr) == (6, b"hndsr: error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=["buffered", "unbuffered"])
def test_exit_code_of_a_reader_that_has_gone(target: str, environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [*COMMAND, "info", "--target", target], stdout=writer, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (6, b"")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_output_that_cannot_show_a_name_escapes_it(target: str, source: Path, folder: Path, encoding: str) -> None:
    made = os.fsencode(folder) + b"/\xe9.png"
    ended = subprocess.run(
        [*COMMAND, "upscale", source, made, "--target", target],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"/\\udce9.png: 20 x 28 px" in ended.stdout


@pytest.mark.parametrize(
    ("command", "code"),
    [("info --target {target} >&-", 6), ("upscale {source} {made} --quiet --target {target} >&-", 0)],
    ids=["needed", "not_needed"],
)
def test_exit_code_of_an_output_that_is_closed(target: str, source: Path, made: Path, command: str, code: int) -> None:
    line = shlex.join(COMMAND) + " " + command.format(target=target, source=source, made=made)
    ended = subprocess.run(["bash", "-c", line], capture_output=True, check=False)  # noqa: S607  any will do
    assert (ended.returncode, ended.stderr) == (code, b"")


def test_exit_code_of_a_failure_that_nobody_is_told_of() -> None:
    line = shlex.join(COMMAND) + " info --target 127.0.0.1:1 --timeout 0.5 2>&-"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, check=False)  # noqa: S607  any will do
    assert ended.returncode in {4, 5}


def test_interrupt_ends_without_traceback_or_file(upscale: list[str], service: NearestServicer, folder: Path) -> None:
    service.release = threading.Event()
    with subprocess.Popen([*COMMAND, *upscale], stderr=subprocess.PIPE) as command:
        assert service.received.wait(20)
        command.send_signal(signal.SIGINT)
        _, error = command.communicate(timeout=20)
    assert (command.returncode, error, list(folder.iterdir())) == (130, b"hndsr: error: interrupted\n", [])


@pytest.mark.parametrize("module", ["argparse", "numpy", "google.protobuf", "grpc", "rich"])
def test_interrupt_of_an_import_ends_without_traceback(module: str) -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, module], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, b"hndsr: error: interrupted\n")


def test_interrupt_cancels_the_call(upscale: list[str], service: NearestServicer) -> None:
    service.release = threading.Event()
    with subprocess.Popen([*COMMAND, *upscale], stderr=subprocess.DEVNULL) as command:
        assert service.received.wait(20)
        command.send_signal(signal.SIGINT)
    assert service.release.wait(10)
