"""What all parts of docs/benchmarks.md have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def where(result: dict[str, Any]) -> str:
    """When a section was measured, and on what."""
    facts = result["machine"]
    return (
        f"Measured {facts['date']} at commit {facts['commit']} on {facts['processor']}, {facts['memory']}, "
        f"Python {facts['python']}.\n"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    names = list(head)
    lines = (f"| {' | '.join(line)} |\n" for line in (names, *rows))
    first = next(lines)
    return "".join([first, "|" + "---|" * len(names) + "\n", *lines])
