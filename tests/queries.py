"""What `deploy/observability` asks Prometheus for: its expressions, and the metrics that they name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "docs" / "runbooks"
OF_PROMETHEUS = {"up", "ALERTS"}
"""Metrics that Prometheus makes itself."""
KEYWORDS = {"and", "or", "unless", "bool", "offset"}
STRING = r'"(?:[^"\\]|\\.)*"'
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
NAME = r"(?<![\w:$])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()"


def rules() -> list[dict[str, Any]]:
    """Every recording rule."""
    return _rules_of("rules.yaml")


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    return {rule["alert"]: rule for rule in _rules_of("alerts.yaml")}


def dashboard() -> dict[str, Any]:
    """The dashboard as it is committed."""
    return json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))


def panel_expressions() -> list[str]:
    """What the dashboard's panels ask, with its variables."""
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


def runbook_expressions() -> list[str]:
    """What the runbooks tell to ask."""
    pages = [page.read_text(encoding="utf-8") for page in sorted(RUNBOOKS.glob("*.md"))]
    return [found for page in pages for found in re.findall(r"^```promql\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)]


def expressions() -> list[str]:
    """All that is asked, by rules, alerts, panels, the dashboard's variables and the runbooks."""
    variables = [str(one.get("query", "")) for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    chosen_from = [re.sub(r"label_values\((.*),[^,]*\)", r"\1", query) for query in variables]
    return [
        *(rule["expr"] for rule in [*rules(), *alerts().values()]),
        *panel_expressions(),
        *chosen_from,
        *runbook_expressions(),
    ]


def names(expression: str) -> set[str]:
    """Every metric that an expression names, recorded ones among them."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", re.sub(STRING, "", expression))
    return set(re.findall(NAME, re.sub(GROUPING, " ", bare))) - KEYWORDS


def matched_labels(expression: str) -> dict[str, set[str]]:
    """Metric → labels that an expression chooses its series by."""
    found: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"([\w:]+)\{([^}]*)\}", re.sub(STRING, '""', expression)):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    return found


def metrics_named() -> set[str]:
    """Every sample that must be in a scrape of gateway, Triton or probe, as it is called there."""
    named = set().union(*(names(expression) for expression in expressions()))
    return named - OF_PROMETHEUS - {rule["record"] for rule in rules()}


def _rules_of(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
