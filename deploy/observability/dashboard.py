"""Write `dashboard.json`, Grafana's dashboard of the service, from the rows of `rows.py`. Needs Python 3.11."""  # noqa: INP001 - a script

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableOption, VariableRefresh
from panels import SOURCE
from rows import ROWS

FILE = Path(__file__).with_name("dashboard.json")


def dashboard_json() -> str:
    """The dashboard as Grafana imports it."""
    built = (
        dashboard.Dashboard("HNDSR")
        .uid("hndsr")
        .tags(["hndsr"])
        .description("HNDSR on Triton: gateway, Triton, probe.")
    )
    built.time("now-3h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    for variable in _variables():
        built.with_variable(variable)
    number = 0
    for title, row in ROWS.items():
        built.with_row(dashboard.Row(title))
        for panel in row():
            number += 1
            built.with_panel(panel.id(number))
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _variables() -> list[Any]:
    return [
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _choice("job", 'label_values(up{job=~"hndsr.*"}, job)').label("Job"),
        _choice("instance", 'label_values(hndsr_ready{job=~"$job"}, instance)').label("Gateway"),
        _choice("model", 'label_values(hndsr_tiles_total{job=~"$job"}, model)').label("Model"),
        dashboard.TextBoxVariable("price").label("Price of an hour of a gateway and its machines").default_value("1"),
    ]


def _choice(name: str, query: str) -> dashboard.QueryVariable:
    chosen = (
        dashboard.QueryVariable(name).query(query).datasource(SOURCE).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    return chosen.multi(True).include_all(True).all_value(".*").current(VariableOption(True, "All", "$__all"))


def main() -> None:
    """Write the file beside this one, or another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=FILE, help="where it goes (default: beside this script)")
    parser.parse_args().file.write_text(dashboard_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
