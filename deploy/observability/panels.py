"""What a row of the dashboard is made of: questions to Prometheus, and panels that show the answers."""  # noqa: INP001 - beside a script

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode, GraphThresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DataTransformerConfig, Threshold, ThresholdsMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef("prometheus", "${datasource}")
HEIGHT, LOW = 8, 4


@dataclass(frozen=True)
class Query:
    """One question.

    Args:
        expr: in PromQL, with the dashboard's variables.
        legend: names a series by its labels, in braces.
        exemplars: whether single calls are shown beside it, with links to their traces.
    """

    expr: str
    legend: str = ""
    exemplars: bool = False

    def target(self) -> prometheus.Dataquery:
        """The question as a panel asks it over time."""
        asked = prometheus.Dataquery().expr(self.expr).legend_format(self.legend).datasource(SOURCE).range()
        return asked.exemplar(True) if self.exemplars else asked

    def target_now(self) -> prometheus.Dataquery:
        """The question as a panel asks it of the present moment."""
        return prometheus.Dataquery().expr(self.expr).legend_format(self.legend).datasource(SOURCE).instant()


def graph(title: str, unit: str, *queries: Query, about: str = "", limit: float | None = None, width: int = 8) -> Any:
    """Lines over time, with a red line at the limit that an alert watches."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).datasource(SOURCE).min(0)
    panel = _lettered(panel, [query.target() for query in queries])
    panel.height(HEIGHT).span(width).fill_opacity(8).legend(common.VizLegendOptions().calcs(["lastNotNull", "max"]))
    if limit is not None:
        panel.thresholds(_red_from(limit))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return panel


def number(title: str, unit: str, query: Query, *, steps: Sequence[tuple[float | None, str]], width: int = 4) -> Any:
    """The present value in large letters, in the colour of the last step that it has reached."""
    panel = (
        stat.Panel().title(title).unit(unit).datasource(SOURCE).height(LOW).span(width).with_target(query.target_now())
    )
    panel.graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.BACKGROUND)
    return panel.thresholds(_thresholds(*steps)).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def labels(title: str, query: Query, *, hidden: Sequence[str], width: int = 12) -> Any:
    """The labels of series as a table, less those that say nothing."""
    panel = table.Panel().title(title).datasource(SOURCE).height(HEIGHT).span(width)
    panel.with_target(query.target_now().format(PromQueryFormat.TABLE))
    excluded = {"excludeByName": dict.fromkeys(["Time", "Value", "__name__", *hidden], True)}
    return panel.with_transformation(DataTransformerConfig("organize", options=excluded))


def _lettered(panel: Any, targets: Sequence[prometheus.Dataquery]) -> Any:
    for letter, target in zip("ABCDEFGH", targets, strict=False):
        panel.with_target(target.ref_id(letter))
    return panel


def _red_from(limit: float) -> ThresholdsConfig:
    return _thresholds((None, "green"), (limit, "red"))


def _thresholds(*steps: tuple[float | None, str]) -> ThresholdsConfig:
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(*step) for step in steps])
