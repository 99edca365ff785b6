"""Rules, alerts, dashboard, runbooks and examples agree with each other and with the metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from queries import (
    FOLDER,
    OF_PROMETHEUS,
    RUNBOOKS,
    alerts,
    dashboard,
    expressions,
    matched_labels,
    metrics_named,
    names,
    panel_expressions,
    rules,
    runbook_expressions,
)

from hndsr_gateway.settings import Settings

CASES = sorted((FOLDER / "tests").glob("*.yaml"))
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""
COUNTERS_AND_GAUGES = {
    "hndsr_requests_total": {"method", "code", "reason"},
    "hndsr_requests_in_flight": {"method"},
    "hndsr_tiles_total": {"model", "outcome"},
    "hndsr_target_pixels_total": {"model"},
    "hndsr_windows_total": {"model", "source"},
    "hndsr_queue_depth": {"queue"},
    "hndsr_quota_refusals_total": {"quota"},
    "hndsr_tiles_in_flight": set(),
    "hndsr_received_bytes_total": {"method"},
    "hndsr_sent_bytes_total": {"method"},
    "hndsr_tiles_moved_total": set(),
    "hndsr_endpoints": {"state"},
    "hndsr_ready": set(),
    "hndsr_model_info": {"model", "revision", "engine", "device"},
    "hndsr_build_info": {"version", "python"},
    "hndsr_memory_limit_bytes": set(),
    "hndsr_memory_used_bytes": set(),
    "hndsr_probe_success": {"target", "model"},
    "hndsr_probe_duration_seconds": {"target", "model"},
    "hndsr_probe_last_success_timestamp_seconds": {"target", "model"},
    "hndsr_probe_attempts_total": {"target", "model", "outcome"},
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
    "process_open_fds": set(),
    "process_max_fds": set(),
    "process_start_time_seconds": set(),
    "nv_inference_request_success": {"model", "version"},
    "nv_inference_request_failure": {"model", "version"},
    "nv_inference_queue_duration_us": {"model", "version"},
    "nv_inference_compute_infer_duration_us": {"model", "version"},
    "nv_inference_request_duration_us": {"model", "version"},
    "nv_gpu_utilization": {"gpu_uuid"},
    "nv_gpu_memory_total_bytes": {"gpu_uuid"},
    "nv_gpu_memory_used_bytes": {"gpu_uuid"},
    "nv_cpu_utilization": set(),
    "nv_cpu_memory_used_bytes": set(),
}
HISTOGRAMS = {
    "hndsr_request_duration_seconds": {"method", "code"},
    "hndsr_time_to_first_tile_seconds": {"method", "model"},
    "hndsr_tile_duration_seconds": {"model"},
    "hndsr_queue_wait_seconds": {"queue"},
}
SAMPLES = COUNTERS_AND_GAUGES | {
    f"{name}_{end}": labels | ({"le"} if end == "bucket" else set())
    for name, labels in HISTOGRAMS.items()
    for end in ("bucket", "sum", "count")
}


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH (Debian and Ubuntu: apt-get install {package})")
    return found


@pytest.fixture(scope="module")
def promtool() -> str:
    return tool("promtool", "prometheus")


def run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kebab(alert: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()


def cases() -> Iterator[tuple[str, bool]]:
    """Every case of the rules' tests: the alert, and whether it fires."""
    for file in CASES:
        for group in yaml.safe_load(file.read_text())["tests"]:
            for case in group["alert_rule_test"]:
                yield case["alertname"], bool(case["exp_alerts"])


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_alerts_fire_and_stay_silent_as_their_cases_say(file: Path, promtool: str) -> None:
    run(promtool, "test", "rules", file)


def test_rules_are_accepted_by_prometheus(promtool: str) -> None:
    run(promtool, "check", "rules", FOLDER / "rules.yaml", FOLDER / "alerts.yaml")


def test_example_is_accepted_by_prometheus(promtool: str) -> None:
    run(promtool, "check", "config", FOLDER / "prometheus.yml")


def test_example_is_accepted_by_alertmanager() -> None:
    run(tool("amtool", "prometheus-alertmanager"), "check-config", FOLDER / "alertmanager.yml")


def test_example_of_collector_defines_what_its_pipelines_name() -> None:
    config = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text())
    service = config["service"]
    named = {("extensions", name) for name in service["extensions"]}
    for pipeline in service["pipelines"].values():
        named |= {(kind, name) for kind, used in pipeline.items() for name in used}
    kinds = ("receivers", "processors", "exporters", "extensions")
    assert named == {(kind, name) for kind in kinds for name in config[kind]}


def test_every_alert_has_a_case_that_fires_and_one_that_stays_silent() -> None:
    assert set(cases()) == {(name, fires) for name in alerts() for fires in (True, False)}


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == {kebab(name) for name in alerts()}


def test_runbooks_index_names_every_page() -> None:
    index = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", index)) == {kebab(name) for name in alerts()}


def test_runbooks_name_rows_that_the_dashboard_has() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    named = {row for page in RUNBOOKS.glob("*.md") for row in re.findall(r"row \*([^*]+)\*", page.read_text())}
    assert named
    assert named <= set(rows)


def test_runbooks_name_settings_that_there_are() -> None:
    pages = [*RUNBOOKS.glob("*.md"), FOLDER / "README.md", FOLDER / "prometheus.yml"]
    named = {name for page in pages for name in re.findall(r"HNDSR_(\w+)", page.read_text())}
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", alerts())
def test_alert_says_how_bad_it_is_and_where_help_is(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "description"} <= alert["annotations"].keys()
    assert alert["annotations"]["runbook_url"].endswith(f"/{kebab(name)}.md")


def test_alerts_name_no_rule_that_is_not_recorded() -> None:
    recorded = {rule["record"] for rule in rules()}
    assert {name for expression in expressions() for name in names(expression) if ":" in name} <= recorded


def test_names_finds_metrics_and_nothing_else() -> None:
    expression = (
        'sum by (job, le) (rate(a_bucket{x="b or c{d}"}[5m])) / on (job) group_left (y) $price * e:f offset 30m'
    )
    assert names(expression) == {"a_bucket", "e:f"}


def test_metrics_that_are_named_exist() -> None:
    assert metrics_named() - SAMPLES.keys() == set()


def test_metrics_are_chosen_by_labels_that_they_have() -> None:
    chosen = [pair for expression in expressions() for pair in matched_labels(expression).items()]
    wrong = {name: labels - SAMPLES[name] - SCRAPED for name, labels in chosen if name in SAMPLES}
    assert {name: labels for name, labels in wrong.items() if labels} == {}
    assert {name for name, _ in chosen if ":" not in name} - SAMPLES.keys() <= OF_PROMETHEUS


@pytest.mark.parametrize(
    "series", ["job:hndsr_faults:ratio_rate", "job:hndsr_slow:ratio_rate", "target:hndsr_probe_failures:ratio_"]
)
def test_windows_of_an_objective_differ_in_nothing_else(series: str) -> None:
    windows = {
        rule["record"].removeprefix(series): rule["expr"] for rule in rules() if rule["record"].startswith(series)
    }
    assert list(windows) == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
    assert len({expression.replace(f"[{window}]", "[]") for window, expression in windows.items()}) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="grafana-foundation-sdk needs Python 3.11")
def test_dashboard_is_what_its_code_makes(tmp_path: Path) -> None:
    made = tmp_path / "dashboard.json"
    run(sys.executable, FOLDER / "dashboard.py", made)
    assert made.read_text() == (FOLDER / "dashboard.json").read_text(), "run deploy/observability/dashboard.py"


def test_dashboard_panels_ask_something_and_lie_side_by_side() -> None:
    panels = dashboard()["panels"]
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["targets"]] == []
    squares = Counter(
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"].get("x", 0), panel["gridPos"].get("x", 0) + panel["gridPos"]["w"])
        for y in range(panel["gridPos"].get("y", 0), panel["gridPos"].get("y", 0) + panel["gridPos"]["h"])
    )
    assert max(squares.values()) == 1
    assert max(x for x, _ in squares) < 24


def test_dashboard_has_the_variables_that_its_panels_name() -> None:
    board = dashboard()
    named = set(re.findall(r"\$\{?([a-z]\w*)", " ".join(panel_expressions()) + str(board)))
    assert named == {variable["name"] for variable in board["templating"]["list"]}


def test_dashboard_latencies_ask_for_exemplars() -> None:
    targets = [target for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    quantiles = [target for target in targets if "histogram_quantile" in target["expr"]]
    assert quantiles
    assert [target["expr"] for target in quantiles if not target.get("exemplar")] == []


@pytest.mark.parametrize("asked", [panel_expressions, runbook_expressions], ids=["dashboard", "runbooks"])
def test_expressions_are_accepted_by_prometheus(asked: Callable[[], list[str]], promtool: str, tmp_path: Path) -> None:
    values = {"$__rate_interval": "5m", "$__range": "1h", "$price": "1"}
    whole = [re.sub(r"\$(?:__\w+|price)", lambda found: values[found[0]], one) for one in asked()]
    recorded = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(whole)]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    assert recorded
    run(promtool, "check", "rules", file)
