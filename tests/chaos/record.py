"""Writes what was seen into docs/robustness.md, between its marks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import machine
from chaos.scenario import Outcome, Scenario

PAGE = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"
HEAD = (
    "| fault | a call made once | the SDK's call | right again after | the stream of a scene | seen beside | "
    "reproduce, last run |\n|---|---|---|---|---|---|---|"
)
NOT_RUN = "not run on this machine"


def write(mark: str, text: str) -> None:
    """Replace what is between a mark of the page and its end."""
    page = PAGE.read_text(encoding="utf-8")
    block = f"<!-- {mark} -->\n{text.rstrip()}\n<!-- /{mark} -->"
    changed, count = re.subn(rf"<!-- {mark} -->\n.*?<!-- /{mark} -->", lambda _: block, page, flags=re.DOTALL)
    assert count == 1, f"{PAGE} has no mark {mark}"
    PAGE.write_text(changed, encoding="utf-8")


def where() -> str:
    """The machine, in a line that rows of another machine do not have."""
    facts = machine.facts()
    return f"On {facts['processor']}, {facts['memory']}, Python {facts['python']}."


def faults_section(scenarios: Sequence[Scenario], outcomes: Mapping[str, Outcome | str]) -> str:
    """The table: rows of this run, those of earlier ones on the same machine, and of others that they were not run.

    Args:
        scenarios: all of them.
        outcomes: by name, what was seen, or what is missing here.
    """
    rows = _earlier_rows()
    facts = machine.facts()
    when = f"{facts['date']} at {facts['commit']}"
    for name, outcome in outcomes.items():
        rows[name] = [f"not run: needs {outcome}"] if isinstance(outcome, str) else _cells(outcome, when)
    lines = [HEAD]
    for scenario in scenarios:
        cells = rows.get(scenario.name, [NOT_RUN])
        command, last = f'`make chaos ARGS="-k {scenario.name}"`', cells[-1]
        seen = cells[:-1] if len(cells) > 1 else [cells[0], *[""] * 4]
        end = f"{command}<br>{last}" if len(cells) > 1 else command
        lines.append("| " + " | ".join([scenario.fault, *seen, end]) + " |")
    return f"{where()}\n\n" + "\n".join(lines)


def _earlier_rows() -> dict[str, list[str]]:
    """The cells behind the first of the rows that the page has, by the scenario's name, if it is of this machine."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r"<!-- faults -->\n(.*?)<!-- /faults -->", page, flags=re.DOTALL)
    if block is None or where() not in block[1]:
        return {}
    found = {}
    for line in block[1].splitlines():
        if named := re.search(r'-k (\w+)"`<br>(.*?) \|$', line):
            found[named[1]] = [*(cell.strip() for cell in line.split(" | ")[1:-1]), named[2]]
    return found


def _cells(outcome: Outcome, when: str) -> list[str]:
    scene, faults = outcome.scene, outcome.faults
    calls = "same call" if scene["calls"] == 1 else f"{scene['calls']} calls"
    stream = f"{'right' if scene['right'] else '**not right**'}, {calls}, reconnected {scene['reconnections']} ×"
    stream += f", longest pause {scene['longest_pause_s']:.1f} s"
    again = [outcome.plain["right_again_s"], outcome.patient["right_again_s"]]
    times = " / ".join("never" if span is None else f"{span:.1f} s" if span else "–" for span in again)
    notes = "; ".join([*outcome.notes, *(f"**{fault}**" for fault in faults)])
    times = "it lasts" if outcome.lasts else times
    return [_calls(outcome.plain), _calls(outcome.patient), times, stream, notes, when]


def _calls(facts: Mapping[str, Any]) -> str:
    refused = ", ".join(f"{count} × {reason}" for reason, count in sorted(facts["refused"].items()))
    total = facts["right"] + sum(facts["refused"].values())
    slowest = f"slowest {facts['slowest_s']:.1f} s"
    return f"{facts['right']} of {total} right ({slowest})" + (f"; {refused}" if refused else "")


def soak_section(result: Mapping[str, Any], *, first: int) -> str:
    """What was held after the first requests and after the last one."""
    facts, total = machine.facts(), sum(result["requests"].values())
    before, after = result["before"], result["after"]
    head = (
        f"{total:,} requests in {result['seconds'] / 60:.1f} minutes, {facts['date']} at {facts['commit']}. {where()}"
    )
    kinds = ", ".join(f"{count:,} × {kind}" for kind, count in sorted(result["requests"].items()))
    rows = [
        ("processes", before["processes"], after["processes"]),
        *(
            (f"file descriptors, {kind}", before["descriptors"].get(kind, 0), count)
            for kind, count in after["descriptors"].items()
        ),
        ("files in /dev/shm", before["regions"], after["regions"]),
        ("MiB in /dev/shm", before["regions_mib"], after["regions_mib"]),
        ("temporary files", before["files"], after["files"]),
        *((f"MiB, {kind}", before["memory_mib"].get(kind, 0.0), mib) for kind, mib in after["memory_mib"].items()),
    ]
    lines = [f"| held | after {first:,} | after {total:,} |", "|---|---|---|"]
    lines += [f"| {name} | {held:,} | {more:,} |" for name, held, more in rows]
    faults = "; ".join(result["faults"]) or "none"
    return "\n".join([head, "", f"Sent: {kinds}.", "", *lines, "", f"Not as it must be: {faults}."])
