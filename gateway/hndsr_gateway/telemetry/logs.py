"""Log lines: text for people, JSON for machines, each with the trace that it belongs to."""

from __future__ import annotations

import logging
import signal
import sys
from datetime import datetime, timezone
from types import FrameType
from typing import Literal

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

Format = Literal["auto", "text", "json"]


class _Traced(logging.Filter):
    """Adds the current span's identity, where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = trace.get_current_span().get_span_context()
        record.trace = f" trace={context.trace_id:032x}" if context.is_valid else ""
        if context.is_valid:
            record.trace_id, record.span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        return True


class _Json(JsonFormatter):
    """One object a line; times as RFC 3339 has them."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's name
        return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


def set_up_logs(level: str, form: Format, *, with_process: bool) -> None:
    """Log to stderr, unless the program that this is a part of logs by itself.

    Args:
        level: the lowest that is logged.
        form: how lines are written; auto: as text on a terminal, else as JSON.
        with_process: whether lines say which process they are from.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.addFilter(_Traced())
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(_text(with_process=with_process) if is_text else _json(with_process=with_process))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(capture=True)
    _change_at_signals(level)


def _text(*, with_process: bool) -> logging.Formatter:
    name = "%(name)s [%(process)d]" if with_process else "%(name)s"
    return logging.Formatter(f"%(asctime)s %(levelname)-7s {name}: %(message)s%(trace)s")


def _json(*, with_process: bool) -> logging.Formatter:
    names = ["asctime", "levelname", "name", "message", *(["process"] if with_process else [])]
    renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
    return _Json(names, style=",", rename_fields=renamed, reserved_attrs=_reserved())


def _reserved() -> list[str]:
    """What a record has beside what is asked for: not written."""
    return [*vars(logging.makeLogRecord({})), "trace", "taskName"]


def _change_at_signals(level: str) -> None:
    """Log everything after SIGUSR1, and what was asked for after SIGUSR2."""

    def change(number: int, _: FrameType | None) -> None:
        chosen = "DEBUG" if number == signal.SIGUSR1 else level
        logging.getLogger().setLevel(chosen)
        logging.getLogger("hndsr_gateway").warning("logging at %s", chosen)

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, change)
