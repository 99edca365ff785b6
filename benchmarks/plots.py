"""docs/images/benchmarks-*.svg, drawn from docs/benchmarks.json alone: `python benchmarks/plots.py`.

The same numbers make the same bytes. Lines and words are of a grey that can be read on white and on black.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

DOCS = Path(__file__).resolve().parents[1] / "docs"
GREY = "#7d8694"
COLOURS = ("#3d8bd4", "#d9822b", "#3fa66b", "#c2569b", "#8f79d6", "#b3962d")
STYLE: Mapping[str, Any] = {
    "svg.hashsalt": "hndsr",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "font.size": 10,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.markersize": 4,
}
CONTENDERS = {
    "bare": "bare networks (the limit)",
    "stack": "SDK, gateway, Triton",
    "triton": "tritonclient, no gateway",
    "predecessor_float32": "FastAPI + PyTorch, fp32",
    "predecessor_bfloat16": "FastAPI + PyTorch, bf16",
}
"""Names for readers."""


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what the results have; the files that were written."""
    written = []
    with mpl.rc_context(dict(STYLE)):
        for name, (section, figure_of) in PLOTS.items():
            if section in results:
                figure, path = figure_of(results[section]), folder / f"benchmarks-{name}.svg"
                figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
                plt.close(figure)
                written.append(path)
    return written


def throughput(result: dict[str, Any]) -> Figure:
    """Bars by size, a panel for each number of steps; above each how many times as fast the whole stack is."""
    steps = sorted({row["steps"] for row in result["rows"]})
    figure, panels = _panels(len(steps), height=3.6)
    for panel, count in zip(panels, steps, strict=True):
        rows = [row for row in result["rows"] if row["steps"] == count]
        _bars(panel, rows)
        panel.set_title(f"{count} steps")
        panel.set_xlabel("target, Mpx")
    panels[0].set_ylabel("target Mpx per second")
    _legend(figure, panels[0], columns=3)
    return figure


def _bars(panel: Axes, rows: list[dict[str, Any]]) -> None:
    names = [name for name in CONTENDERS if name in rows[0]["mpx_per_s"]]
    width = 0.84 / len(names)
    for index, name in enumerate(names):
        places = [place + (index - (len(names) - 1) / 2) * width for place in range(len(rows))]
        heights = [row["mpx_per_s"][name] for row in rows]
        panel.bar(places, heights, 0.9 * width, color=COLOURS[index], label=CONTENDERS[name])
        for place, height, row in zip(places, heights, rows, strict=True):
            if name != "stack":
                said = f" {row['stack_over'][name]:.2f}×"
                panel.text(place, height, said, rotation=90, ha="center", va="bottom", fontsize=7)
    panel.set_xticks(range(len(rows)), [f"{row['megapixels']:g}" for row in rows])
    panel.grid(visible=False, axis="x")
    panel.margins(y=0.22)


def latency(result: dict[str, Any]) -> Figure:
    """Percentiles by concurrency, a panel for each model; dashed what one client's median would grow to."""
    figure, panels = _panels(len(result["levels"]), height=3.2)
    for panel, (model, rows) in zip(panels, result["levels"].items(), strict=True):
        clients = [row["concurrency"] for row in rows]
        for name, label in (("p50_s", "median"), ("p95_s", "95th percentile"), ("p99_s", "99th percentile")):
            panel.plot(clients, [1000 * row[name] for row in rows], "o-", label=label)
        fair = [1000 * rows[0]["p50_s"] * count for count in clients]
        panel.plot(clients, fair, "--", color=GREY, label="one after the other")
        panel.set_title(f"{model}, one window, 0 steps")
        panel.set_xlabel("clients at once")
        panel.set_yscale("log")
        _doublings(panel, clients)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panels[0].set_ylabel("latency, ms")
    _legend(figure, panels[0], columns=4)
    return figure


def growth(result: dict[str, Any]) -> Figure:
    """Cost per target Mpx by size, by streams at once, and of a step by the number of steps."""
    figure, (size, streams, steps) = _panels(3, height=3.2, share=False)
    rows = result["sizes"]
    megapixels = [row["megapixels"] for row in rows]
    windows = [row["windows"] / row["megapixels"] for row in rows]
    last = rows[-1]["seconds"] / rows[-1]["windows"]
    size.plot(megapixels, [row["s_per_mpx"] for row in rows], "o-", label="measured")
    size.plot(megapixels, [last * count for count in windows], "--", color=GREY, label="windows × time of one")
    size.set_title("hndsr, 0 steps, one stream")
    size.set_xlabel("target, Mpx")
    for index, (model, at_once) in enumerate(result["streams"].items()):
        counts = [row["streams"] for row in at_once]
        streams.plot(counts, [row["s_per_mpx"] for row in at_once], "o-", color=COLOURS[index + 1], label=model)
    streams.set_title("streams at once, 0 steps")
    streams.set_xlabel("streams")
    rows = [row for row in result["steps"] if row["steps"]]
    steps.plot([row["steps"] for row in rows], [row["step_s_per_mpx"] for row in rows], "o-", color=COLOURS[4])
    steps.set_title("what a diffusion step adds")
    steps.set_xlabel("steps")
    for panel, places in ((size, megapixels), (streams, counts), (steps, [row["steps"] for row in rows])):
        _doublings(panel, places)
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_locator(MaxNLocator(5))
    size.set_ylabel("seconds per target Mpx")
    size.legend(fontsize=8)
    streams.legend(fontsize=8)
    return figure


def gpu(result: dict[str, Any]) -> Figure:
    """Windows per second by batch, of each network and of the fused pipeline."""
    figure, (passes, fused) = _panels(2, height=3.2, share=False)
    for network, rows in result["passes"].items():
        passes.plot([row["batch"] for row in rows], [row["windows_per_s"] for row in rows], "o-", label=network)
    for steps in sorted({row["steps"] for row in result["pipeline"]}):
        rows = [row for row in result["pipeline"] if row["steps"] == steps]
        fused.plot([row["batch"] for row in rows], [row["windows_per_s"] for row in rows], "o-", label=f"{steps} steps")
    for panel, title in ((passes, "one pass of a network"), (fused, "whole windows")):
        panel.set_title(title)
        panel.set_xlabel("batch")
        panel.set_ylim(bottom=0)
        _doublings(panel, [row["batch"] for row in result["passes"]["unet"]])
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        panel.legend(fontsize=8)
    passes.set_ylabel("windows per second")
    return figure


def _panels(count: int, *, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    figure, panels = plt.subplots(1, count, figsize=(9.0, height), squeeze=False, sharey=share, layout="constrained")
    return figure, list(panels[0])


def _legend(figure: Figure, panel: Axes, *, columns: int) -> None:
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=8)


def _doublings(panel: Axes, places: list[float]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_xticks(places, [f"{place:g}" for place in places])
    panel.xaxis.set_minor_locator(NullLocator())


PLOTS: Mapping[str, tuple[str, Callable[[dict[str, Any]], Figure]]] = {
    "throughput": ("alternatives", throughput),
    "latency": ("latency", latency),
    "growth": ("growth", growth),
    "gpu": ("gpu", gpu),
}
"""By the end of the file's name: the section that is drawn, and how."""


def main() -> None:
    """Draw the committed results anew, or others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=DOCS / "benchmarks.json")
    parser.add_argument("--into", type=Path, default=DOCS / "images")
    arguments = parser.parse_args()
    for path in draw(json.loads(arguments.results.read_text(encoding="utf-8")), arguments.into):
        print(f"{path}: {path.stat().st_size / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
