"""The server's log: passed on line by line to Python's logging, and read for what went wrong."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from dataclasses import dataclass

logger = logging.getLogger("hndsr_gateway.triton")

LAST_LINES = 50
_LONGEST_LINE_BYTES = 1 << 16
_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_LINE = re.compile(r'(?P<level>[IWEF])\d{4} [\d:.]+ +\d+ (?P<source>[^:]+):\d+\] +(?P<quote>"?)(?P<text>.*)(?P=quote)$')
_HARMLESS = re.compile(
    r"NVML|DCGM|CudaDriverHelper has not been initialized|pinned (system )?memory|"
    r"CUDA driver version is insufficient for CUDA runtime version"
)
_FAILED = re.compile(
    r"(failed to load|Poll failed for model directory) '(?P<model>[^']+)'( version \d+)?: (?P<cause>.*)", re.DOTALL
)


@dataclass(frozen=True)
class LogLine:
    """One line as Python's logging takes it."""

    level: int
    text: str


def parse_line(raw: str) -> LogLine:
    """Level and text of one line; tables and what machines without a GPU provoke count as debugging output."""
    match = _LINE.match(raw)
    if match is None:
        table = not raw.strip() or raw.startswith(("|", "+"))
        level = logging.ERROR if raw.startswith("error:") else logging.INFO
        return LogLine(logging.DEBUG if table or _HARMLESS.search(raw) else level, raw)
    text = match["text"].replace("\\n", "\n").replace('\\"', '"') if match["quote"] else match["text"]
    harmless = not text or _HARMLESS.search(text)  # an empty text stands above a table
    return LogLine(logging.DEBUG if harmless else _LEVELS[match["level"]], f"{match['source']}: {text}")


class ServerLog:
    """Reads the log to its end and remembers what an error message needs."""

    def __init__(self) -> None:
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._loaded: set[str] = set()
        self.failures: dict[str, str] = {}
        """Why models did not load, by model."""
        self.port_taken = False
        self.listening = False
        """Whether the server has opened its gRPC port."""

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The newest lines, oldest first."""
        return tuple(self._last)

    def not_loaded(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """Which of `models` the log has not yet reported as loaded."""
        return tuple(model for model in models if model not in self._loaded)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Take lines until the server closes its log. Over-long lines are taken in pieces: the pipe must never fill."""
        rest = b""
        while block := await stream.read(_LONGEST_LINE_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > _LONGEST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self.take(line.decode(errors="replace"))
        if rest:
            self.take(rest.decode(errors="replace"))

    def take(self, raw: str) -> None:
        """Log one line and look at what it says."""
        line = parse_line(raw)
        if raw.strip():
            logger.log(line.level, "%s", line.text)
        if line.level > logging.DEBUG:
            self._last.append(raw)
        if match := _FAILED.search(line.text):
            self.failures.setdefault(match["model"], match["cause"].partition("\n\nAt:")[0])
        if loaded := re.search(r"successfully loaded '([^']+)'", line.text):
            self._loaded.add(loaded[1])
        self.listening |= "Started GRPCInferenceService" in line.text
        self.port_taken |= "already in use" in line.text
