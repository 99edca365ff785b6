"""The command says what it did in words, JSON and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from unit.client.nearest_service import NearestService

from hndsr_client import Client
from hndsr_client._files import png_size_px
from hndsr_client._report import upscaled_line
from hndsr_client.cli import main

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


def test_upscale_makes_the_file(upscale: list[str], made: Path) -> None:
    assert (main([*upscale, "--scale", "22/7"]), png_size_px(made)) == (0, (16, 22))


def test_upscale_sends_the_options(upscale: list[str], service: NearestService) -> None:
    main([*upscale, "--scale", "3.14", "--steps", "8", "--texture", "0.5", "--seed", "7", "--model", "nearest"])
    sent = service.requests[0].parameters
    assert (sent.scale, sent.options.steps, sent.options.texture, sent.options.seed, sent.model) == (
        "3.14",
        8,
        0.5,
        7,
        "nearest",
    )


def test_upscale_ends_with_one_line(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    words = "20 x 28 px", "9 windows (7 computed)", "Mpx/s", "nearest 5ca1ab1e5ca1\n"
    line = capsys.readouterr().out
    assert [word for word in words if word not in line] == []


def test_upscale_is_silent_when_quiet(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--quiet"])
    assert capsys.readouterr() == ("", "")


def test_upscale_shows_no_progress_without_a_terminal(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    assert not capsys.readouterr().err


def test_upscale_prints_json(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--scale", "22/7", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["scale"], answer["target_height_px"], answer["destination"]) == ("22/7", 16, str(made))


def test_plan_prints_json(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "5", "7", "--target", target, "--json"])
    assert json.loads(capsys.readouterr().out)["column_spans"][0]["target_stop_px"] == 28


def test_plan_says_size_and_time(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "5", "7", "--target", target])
    assert capsys.readouterr().out.startswith("20 x 28 px (height x width), 1 tile, 9 windows, about 2.5 s")


@pytest.mark.parametrize(
    ("size_px", "scale", "ending"),
    [
        (("4000", "4000"), "2", "nearest 5ca1ab1e5ca1\n"),
        (("4000", "4000"), "2.01", " - exceeds this server's limit of 64 Mpx for one call\n"),
        (("4000", "4001"), "1", " - its source exceeds this server's limit of 16 Mpx for one call\n"),
    ],
)
def test_plan_says_what_one_call_cannot_do(
    target: str, capsys: pytest.CaptureFixture[str], size_px: tuple[str, str], scale: str, ending: str
) -> None:
    main(["plan", *size_px, "--target", target, "--scale", scale])
    assert capsys.readouterr().out.endswith(ending)


@pytest.mark.parametrize(("number", "words"), [(0, "0 windows"), (1, "1 window"), (2, "2 windows")])
def test_report_counts_in_the_singular_and_the_plural(client: Client, number: int, words: str) -> None:
    metadata = client.upscale(np.zeros((5, 7, 3), np.uint8)).metadata
    line = upscaled_line(replace(metadata, windows=number), destination="made.png", elapsed_s=1)
    assert f", {words} (" in line


def test_info_prints_json(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--target", target, "--json"])
    assert json.loads(capsys.readouterr().out)["models"][0]["min_scale"] == "1.5"


def test_info_lists_models(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--target", target])
    assert "nearest (default): Nearest neighbour\n  scale 1.5 to 8," in capsys.readouterr().out


def test_target_comes_from_the_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_TARGET", target)
    assert main(["info"]) == 0


def test_target_given_outdoes_the_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_TARGET", "127.0.0.1:1")
    assert main(["info", "--target", target]) == 0


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == "hndsr 0.1.0\n"


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out.partition("exit codes:")[2].splitlines()
    assert [line.split()[0] for line in listed if line] == ["0", "1", "2", "3", "4", "5", "6", "130"]


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


def test_exit_code_of_a_destination_of_another_format(upscale: list[str], folder: Path) -> None:
    assert main([*upscale[:2], str(folder / "made.jpg"), *upscale[3:]]) == 2


def test_exit_code_of_a_refusal(upscale: list[str], service: NearestService) -> None:
    service.refuse = lambda context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too large")
    assert main(upscale) == 3


def test_exit_code_of_a_service_that_is_not_there() -> None:
    assert main(["info", "--target", "127.0.0.1:1"]) == 4


def test_exit_code_of_a_gateway_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hndsr_gateway", None)
    assert main(["info", "--embedded"]) == 4


def test_exit_code_of_a_deadline(upscale: list[str], service: NearestService) -> None:
    service.release = threading.Event()
    assert main([*upscale, "--timeout", "0.1"]) == 5


def test_exit_code_of_an_existing_destination(upscale: list[str], made: Path) -> None:
    made.touch()
    assert main(upscale) == 6


def test_exit_code_of_a_missing_source(upscale: list[str], source: Path) -> None:
    source.unlink()
    assert main(upscale) == 6


def test_exit_code_of_a_failed_server(upscale: list[str], service: NearestService) -> None:
    service.refuse = lambda context: context.abort(grpc.StatusCode.INTERNAL, "an internal error")
    assert main(upscale) == 1


def test_error_is_one_line_with_its_reason(
    upscale: list[str], service: NearestService, capsys: pytest.CaptureFixture[str]
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


def test_interrupt_ends_without_traceback_or_file(upscale: list[str], service: NearestService, folder: Path) -> None:
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


def test_interrupt_cancels_the_call(upscale: list[str], service: NearestService) -> None:
    service.release = threading.Event()
    with subprocess.Popen([*COMMAND, *upscale], stderr=subprocess.DEVNULL) as command:
        assert service.received.wait(20)
        command.send_signal(signal.SIGINT)
    assert service.release.wait(10)


def test_progress_names_the_estimate_on_a_terminal(upscale: list[str]) -> None:
    reader, terminal = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    subprocess.run([*COMMAND, *upscale], stderr=terminal, stdout=subprocess.DEVNULL, check=True, env=environment)
    os.close(terminal)
    shown = os.read(reader, 65536)
    os.close(reader)
    assert b"of about 2 s if the server is idle" in shown
