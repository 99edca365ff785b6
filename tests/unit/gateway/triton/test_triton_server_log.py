"""Lines of the server's log."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hndsr_gateway.triton.server_log import LAST_LINES, ServerLog, parse_line

FAILED = (
    "E1121 03:47:29.780717 6246 model_lifecycle.cc:642] \"failed to load 'fno' version 1: Internal: ValueError: no "
    'weights\\n\\nAt:\\n  /models/fno/1/model.py(7): initialize\\n"'
)
POLL_FAILED = (
    "E1121 03:47:27.761102 6246 model_repository_manager.cc:1460] \"Poll failed for model directory 'chain': "
    "ensemble input 'UNUSED' for ensemble chain' is not used\""
)
TAKEN = (
    'E1121 03:53:18.026642 10635 main.cc:245] "failed to start GRPC service: Unavailable - '
    "Socket '127.0.0.1:18001' already in use \""
)
LOADED = "I1121 03:48:24.339820 7149 model_lifecycle.cc:839] \"successfully loaded 'fno'\""
LISTENING = 'I1121 03:48:24.582961 7149 grpc_server.cc:2558] "Started GRPCInferenceService at 127.0.0.1:18001"'
NO_GPU = 'E1121 03:48:24.149291 7149 server.cc:241] "CudaDriverHelper has not been initialized."'
GRPC_CORE = "E1121 03:53:18.022800905   10635 chttp2_server.cc:1060]                UNKNOWN:No address added"


def log_of(*lines: str) -> ServerLog:
    log = ServerLog()
    for line in lines:
        log.take(line)
    return log


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (LOADED, logging.INFO, "model_lifecycle.cc: successfully loaded 'fno'"),
        ('W1121 03:51:12.5 9075 model.py:17] "a \\"b\\""', logging.WARNING, 'model.py: a "b"'),
        (GRPC_CORE, logging.ERROR, "chttp2_server.cc: UNKNOWN:No address added"),
        (NO_GPU, logging.DEBUG, "server.cc: CudaDriverHelper has not been initialized."),
        ("Error: Failed to initialize NVML", logging.DEBUG, "Error: Failed to initialize NVML"),
        ("| fno | 1 | READY |", logging.DEBUG, "| fno | 1 | READY |"),
        ("error: creating server: Internal", logging.ERROR, "error: creating server: Internal"),
        ("printed by a model", logging.INFO, "printed by a model"),
        ("", logging.DEBUG, ""),
    ],
)
def test_parse_line_reads_level_and_text(line: str, level: int, text: str) -> None:
    parsed = parse_line(line)
    assert (parsed.level, parsed.text) == (level, text)


def test_server_log_names_the_model_and_the_cause_without_the_traceback() -> None:
    assert log_of(FAILED).failures == {"fno": "Internal: ValueError: no weights"}


def test_server_log_names_a_model_whose_configuration_is_wrong() -> None:
    assert log_of(POLL_FAILED).failures == {"chain": "ensemble input 'UNUSED' for ensemble chain' is not used"}


def test_server_log_notices_a_taken_port() -> None:
    assert log_of(TAKEN).port_taken


def test_server_log_notices_that_the_server_listens() -> None:
    assert (log_of(LOADED).listening, log_of(LISTENING).listening) == (False, True)


def test_server_log_knows_which_models_are_not_loaded() -> None:
    assert log_of(LOADED).not_loaded(("ddim", "fno")) == ("ddim",)


def test_server_log_keeps_the_last_lines_without_the_harmless() -> None:
    log = log_of(*(f"line {number}" for number in range(LAST_LINES + 2)), NO_GPU)
    assert (log.last_lines[0], log.last_lines[-1]) == ("line 2", f"line {LAST_LINES + 1}")


def test_server_log_passes_lines_to_logging(caplog: pytest.LogCaptureFixture) -> None:
    log_of(POLL_FAILED)
    assert caplog.record_tuples[0][:2] == ("hndsr_gateway.triton", logging.ERROR)


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_server_log_reads_to_the_end_whatever_the_length_of_lines(size: int) -> None:
    async def read() -> ServerLog:
        stream, log = asyncio.StreamReader(), ServerLog()
        stream.feed_data(b"x" * size + b"\nlast")
        stream.feed_eof()
        await log.read(stream)
        return log

    assert asyncio.run(read()).last_lines[-1] == "last"
