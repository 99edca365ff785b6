"""Log lines of a process of their own, since logging belongs to a whole process."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, os, signal
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from hndsr_gateway.telemetry.logs import set_up_logs

set_up_logs("INFO", {form!r}, with_process={with_process})
logger = logging.getLogger("hndsr_gateway.some")
logger.debug("unseen")
logger.info("seen %d", 1, extra={{"code": "OK"}})
with trace.use_span(NonRecordingSpan(SpanContext(10, 11, is_remote=False, trace_flags=TraceFlags(1)))):
    logger.info("traced")
os.kill(os.getpid(), signal.SIGUSR1)
logger.debug("now seen")
os.kill(os.getpid(), signal.SIGUSR2)
logger.debug("unseen again")
try:
    raise ValueError("broken")
except ValueError:
    logger.exception("failed")
"""


def logged(form: str, *, with_process: bool = False) -> str:
    program = PROGRAM.format(form=form, with_process=with_process)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr


def test_json_is_one_object_a_line_with_the_fields_of_a_message() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert lines[0].pop("time").endswith("+00:00")
    assert lines[0] == {"level": "INFO", "logger": "hndsr_gateway.some", "message": "seen 1", "code": "OK"}


def test_json_says_the_trace_and_the_span() -> None:
    traced = json.loads(logged("json").splitlines()[1])
    assert (traced["trace_id"], traced["span_id"]) == (f"{10:032x}", f"{11:016x}")


def test_json_keeps_a_traceback_in_its_line() -> None:
    failed = json.loads(logged("json").splitlines()[-1])
    assert failed["message"] == "failed"
    assert "ValueError: broken" in failed["exc_info"]


def test_level_changes_at_signals() -> None:
    messages = [json.loads(line)["message"] for line in logged("json").splitlines()]
    assert messages == ["seen 1", "traced", "logging at DEBUG", "now seen", "logging at INFO", "failed"]


def test_json_names_the_process_where_there_are_several() -> None:
    assert json.loads(logged("json", with_process=True).splitlines()[0])["process"] > 0


def test_auto_is_json_where_no_terminal_is() -> None:
    assert logged("auto").startswith("{")


def test_text_says_the_trace_behind_the_message() -> None:
    first, second, *_ = logged("text").splitlines()
    assert first.endswith("INFO    hndsr_gateway.some: seen 1")
    assert second.endswith(f"traced trace={10:032x}")
