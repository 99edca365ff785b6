"""Writes the trace and the log line of a real run into docs/operations.md: `python docs/trace.py`."""  # noqa: INP001 - a script

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent / folder) for folder in ("tests", "benchmarks")]

import machine  # noqa: E402
from gateway_process import gateway_process  # noqa: E402 - a helper of the tests
from otlp_receiver import OtlpReceiver, ReceivedSpan  # noqa: E402

PAGE = DOCS / "operations.md"
SERVER = "hndsr.v1.UpscaleService/UpscaleStream"
COMMAND = "hndsr upscale source.npy target.npy --steps 2"
SIDE_PX = 112
SHOWN = {"hndsr.steps": "steps", "hndsr.windows": "windows", "hndsr.cache_hits": "cached", "hndsr.tiles": "tiles"}
"""Attributes that the text says beside names and times."""
FULL_TILES = 1
"""Tiles that are shown down to their steps."""


def main() -> None:
    """Run the command against a service of its own, both traced."""
    with tempfile.TemporaryDirectory() as folder, OtlpReceiver() as receiver, (Path(folder) / "log").open("wb") as log:
        source = Path(folder) / "source.npy"
        np.save(source, np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8))
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with gateway_process(stderr=log, HNDSR_MODELS="", HNDSR_CORES_PER_TILE="1", **traced) as (_, address):
            command = [str(Path(sys.executable).with_name("hndsr")), *COMMAND.split()[1:]]
            for options in ([], ["--overwrite", "--seed", "1"]):  # the first warms everything up
                receiver.clear()
                environment = {**os.environ, **traced, "HNDSR_TARGET": address}
                subprocess.run([*command, *options], check=True, env=environment, cwd=folder, capture_output=True)
                spans = receiver.wait(_is_whole)
        facts = machine.facts()
        where = f"{facts['date']} at {facts['commit']}, {facts['processor']}"
        write("trace", "text", "\n".join([f"{COMMAND}    ({where})", "", *_lines(receiver, spans)]))
        write("line", "json", _access_line(Path(log.name).read_text(encoding="utf-8")))


def write(mark: str, language: str, text: str) -> None:
    """Replace the block behind a mark of the page."""
    page = PAGE.read_text(encoding="utf-8")
    block = f"<!-- {mark} -->\n```{language}\n{text}\n```\n"
    changed = re.sub(rf"<!-- {mark} -->\n```.*?\n```\n", lambda _: block, page, flags=re.DOTALL)
    PAGE.write_text(changed, encoding="utf-8")


def _is_whole(spans: list[ReceivedSpan]) -> bool:
    ended = any((span.name, span.service) == (SERVER, "hndsr-gateway") for span in spans)
    return ended and any(not span.parent_id for span in spans)


def _lines(receiver: OtlpReceiver, spans: list[ReceivedSpan]) -> list[str]:
    (root,) = (span for span in spans if not span.parent_id)
    lines, shown = ["   start       took  span"], 0

    def add(span: ReceivedSpan, depth: int, service: str) -> None:
        nonlocal shown
        whose = "" if span.service == service else f" [{span.service}]"
        facts = " ".join(f"{short}={span.attributes[name]}" for name, short in SHOWN.items() if name in span.attributes)
        steps = " ".join(f"step@{_ms(event.time_ns - root.start_ns)}" for event in span.events)
        start, took = _ms(span.start_ns - root.start_ns), _ms(span.end_ns - span.start_ns)
        told = " ".join(filter(None, [span.name + whose, facts, steps]))
        lines.append(f"{start:>8} {took:>10}  {'  ' * depth}{told}")
        is_tile = (span.name, span.service) == ("tile", "hndsr-gateway")
        shown += is_tile
        if is_tile and shown > FULL_TILES:
            return
        for child in receiver.children(span):
            add(child, depth + 1, span.service)

    add(root, 0, "")
    return lines


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.1f} ms"


def _access_line(log: str) -> str:
    lines = (json.loads(line) for line in log.splitlines())
    line = [one for one in lines if one["logger"] == "hndsr_gateway.access" and one["method"] == "UpscaleStream"][-1]
    return json.dumps(line).replace(', "method"', ',\n "method"', 1)


if __name__ == "__main__":
    main()
