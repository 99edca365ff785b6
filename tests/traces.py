"""What the output TRACE tells, as trees that are easily compared."""

from __future__ import annotations

import json
from typing import Any

Span = dict[str, Any]
Tree = tuple[str, list["Tree"]]
"""The name of a span, and the spans below it in the order in which they began."""


def spans_of(text: str | bytes) -> list[Span]:
    """All spans of a trace, in the order in which they began."""
    return json.loads(text)["spans"]


def named(name: str, spans: list[Span]) -> list[Span]:
    """The spans of one name."""
    return [span for span in spans if span["name"] == name]


def tree(spans: list[Span], index: int = 0) -> Tree:
    """A span and all below it."""
    below = [child for child, span in enumerate(spans) if span["parent"] == index]
    return spans[index]["name"], [tree(spans, child) for child in below]


def misplaced(spans: list[Span]) -> list[Span]:
    """Spans that end before they begin or reach beyond their parents, and those with an event outside of them."""
    return [
        span
        for span in spans
        if not _is_within(span, spans[max(0, span["parent"])])
        or not all(span["start_ns"] <= event["at_ns"] <= span["end_ns"] for event in span["events"])
    ]


def _is_within(span: Span, other: Span) -> bool:
    return other["start_ns"] <= span["start_ns"] <= span["end_ns"] <= other["end_ns"]


def window_tree(*below: str) -> Tree:
    """A batch of windows that went through some networks."""
    return "windows", [(name, []) for name in below]
