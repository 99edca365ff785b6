"""Tables as a page for people and as a document for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.measures import HIGH, LOW, MEASURES, Measure
from hndsr_ensemble.evaluation.methods import BICUBIC, PRIOR, Diffusion, SharpenedPrior
from hndsr_ensemble.evaluation.models import ModelFacts
from hndsr_ensemble.evaluation.tables import Table, protocol

ARROWS = {HIGH: " ↑", LOW: " ↓"}
"""Which way is better; measures whose best is 1 have none."""
BY_NAME = {entry.name: entry for entry in MEASURES}
COMPARED = ("psnr", "ssim", "consistency", "patch_distance", "hallucination")
"""Measures whose paired differences stand on the page; the document has all."""
FRONTIER = (
    "psnr",
    "high_frequency_ratio",
    "beyond_source",
    "consistency",
    "spectrum_distance",
    "patch_distance",
    "hallucination",
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that one run of the command found."""

    images: str
    """Where the images came from, in the words of whoever asked."""
    unseen: str
    """Whether the weights have seen them, in words."""
    model: ModelFacts
    seed: int
    fixed_on: str
    """What the gains of sharpened priors were fixed on."""
    controls: dict[str, tuple[SharpenedPrior, ...]]
    """By scale."""
    diffusions: tuple[Diffusion, ...]
    """Rows that draw."""
    tables: tuple[Table, ...]
    """One for each scale."""
    seams: Table | None
    """Of one stitched scene; None where none was made."""


def document(evaluation: Evaluation) -> dict[str, Any]:
    """All figures, those of single images included, as JSON has them; None is what is not finite."""
    return {
        "images": evaluation.images,
        "seen": evaluation.unseen,
        "model": asdict(evaluation.model),
        "gains_fixed_on": evaluation.fixed_on,
        "measures": {entry.name: {"title": entry.title, "best": entry.best, "is": entry.meaning} for entry in MEASURES},
        "scales": {str(table.scale): _table_document(table, evaluation) for table in evaluation.tables},
        "stitched_scene": None if evaluation.seams is None else _rows_document(evaluation.seams),
    }


def page(evaluation: Evaluation) -> str:
    """The evaluation in Markdown."""
    model = evaluation.model
    parts = [
        (
            f"# Evaluation\n\nImages: {evaluation.images}. {evaluation.unseen} Model: {model.source} "
            f"{model.identity[:12]}, {model.engine} in {model.precision} on {model.device}. Figures are mean ± "
            "standard error over images, those of one scene together as one observation.\n"
        ),
        *(_section(table, evaluation) for table in evaluation.tables),
    ]
    if evaluation.seams is not None:
        parts.append(_seams_section(evaluation.seams))
    parts.append(_meanings(evaluation.tables))
    return "\n".join(parts)


def _table_document(table: Table, evaluation: Evaluation) -> dict[str, Any]:
    others = [row.name for row in table.rows if row.name != BICUBIC]
    return {
        "protocol": protocol(table, seed=evaluation.seed),
        "images": list(table.images),
        "scenes": table.scenes,
        "frontier": _frontier_document(table, evaluation.diffusions),
        "gains": {control.name: control.fit._asdict() for control in evaluation.controls.get(str(table.scale), ())},
        "rows": _rows_document(table),
        "above_bicubic": {
            name: {key: _figure_document(table.difference(name, BICUBIC, key)) for key in table.measured}
            for name in others
        },
        "above_sharpened_prior": {
            control.like: {
                key: _figure_document(table.difference(control.like, control.name, key)) for key in table.measured
            }
            for control in evaluation.controls.get(str(table.scale), ())
        },
        "groups": {group: _rows_document(table.of_group(group), values=False) for group in _groups(table)},
    }


def _frontier_document(table: Table, diffusions: Sequence[Diffusion]) -> list[dict[str, Any]]:
    """Points of all steps and textures, the prior first: what detail costs."""
    rows = [(0, 0.0, PRIOR), *((row.steps, row.texture, row.name) for row in diffusions)]
    names = [name for name in FRONTIER if name in table.measured]
    return [
        {"steps": steps, "texture": texture} | {name: _finite(table.row(row).figure(name).mean) for name in names}
        for steps, texture, row in rows
    ]


def _rows_document(table: Table, *, values: bool = True) -> dict[str, Any]:
    return {
        row.name: {key: _figure_document(row.figure(key), values=values) for key in table.measured}
        for row in table.rows
    }


def _figure_document(figure: Figure, *, values: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mean": _finite(figure.mean),
        "error": _finite(figure.error),
        "images": len(figure.measured),
        "scenes": figure.observations,
    }
    return found | {"values": [_finite(value) for value in figure.values]} if values else found


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _section(table: Table, evaluation: Evaluation) -> str:
    facts = protocol(table, seed=evaluation.seed)
    entries = [BY_NAME[name] for name in table.measured]
    lines = [[row.name, *(_shown(row.figure(entry.name), entry) for entry in entries)] for row in table.rows]
    parts = [
        f"## Scale {table.scale}\n",
        (
            f"{facts['images']} images of {table.scenes} scenes; source: {facts['degradation']}; "
            f"bicubic: {facts['bicubic']}; truth: {facts['truth']}; "
            f"{facts['rounding']}; "
            f"data range {facts['data_range']}; border {facts['border_px']} px, {facts['border']}; "
            f"seed {facts['seed']}.\n"
        ),
        _markdown(["", *(entry.title + ARROWS.get(entry.best, "") for entry in entries)], lines),
        _fewer(table, entries),
        "Paired differences from bicubic:\n",
        _differences(table, [(row.name, BICUBIC) for row in table.rows if row.name != BICUBIC]),
    ]
    controls = evaluation.controls.get(str(table.scale), ())
    if controls:
        parts += [
            (
                "Paired differences of diffusion from the prior that was sharpened to its energy above the source's "
                f"Nyquist frequency, by a gain on just that. Gains, fixed on {evaluation.fixed_on}: "
                f"{'; '.join(map(_gain, controls))}.\n"
            ),
            _differences(table, [(control.like, control.name) for control in controls]),
        ]
    if len(evaluation.diffusions) > 1:
        parts += ["Frontier of fidelity and detail: PSNR in dB / high-frequency ratio:\n", _frontier(table, evaluation)]
    if len(_groups(table)) > 1:
        parts += ["PSNR above bicubic by group, dB:\n", _by_group(table)]
    return "\n".join(part for part in parts if part)


def _gain(control: SharpenedPrior) -> str:
    fit = control.fit
    return (
        f"{fit.gain:.2f} for {control.like}, which gives {fit.reached:.3f} of the truth's energy there, where that row "
        f"has {fit.wanted:.3f}"
    )


def _differences(table: Table, pairs: Sequence[tuple[str, str]]) -> str:
    entries = [BY_NAME[name] for name in COMPARED if name in table.measured]
    lines = [
        [name, *(_shown(table.difference(name, other, entry.name), entry, signed=True) for entry in entries)]
        for name, other in pairs
    ]
    return _markdown(["", *(entry.title + ARROWS.get(entry.best, "") for entry in entries)], lines)


def _frontier(table: Table, evaluation: Evaluation) -> str:
    textures = sorted({row.texture for row in evaluation.diffusions})
    lines = [["0 (prior)", *[_point(table, PRIOR)] * len(textures)]]
    for steps in sorted({row.steps for row in evaluation.diffusions}):
        rows = {row.texture: row.name for row in evaluation.diffusions if row.steps == steps}
        lines.append([str(steps), *(_point(table, rows[texture]) if texture in rows else "" for texture in textures)])
    return _markdown(["steps", *(f"texture {texture:g}" for texture in textures)], lines)


def _point(table: Table, name: str) -> str:
    row = table.row(name)
    return f"{row.psnr.mean:.2f} / {row.high_frequency_ratio.mean:.2f}"


def _by_group(table: Table) -> str:
    names = [row.name for row in table.rows if row.name != BICUBIC]
    lines = []
    for group in _groups(table):
        within = table.of_group(group)
        figures = (within.difference(name, BICUBIC, "psnr") for name in names)
        lines.append(
            [group, str(len(within.images)), *(_shown(figure, BY_NAME["psnr"], signed=True) for figure in figures)]
        )
    return _markdown(["group", "images", *names], lines)


def _seams_section(table: Table) -> str:
    lines = [[row.name, _shown(row.seams, BY_NAME["seams"])] for row in table.rows]
    return (
        f"## Seams\n\nOne drawn scene at scale {table.scale}, stitched from windows: "
        f"{BY_NAME['seams'].meaning}; compare with bicubic, which has no windows.\n\n"
        + _markdown(["", BY_NAME["seams"].title], lines)
    )


def _meanings(tables: Sequence[Table]) -> str:
    names = [entry.name for entry in MEASURES if any(entry.name in table.measured for table in tables)]
    lines = (f"- **{BY_NAME[name].title}**: {BY_NAME[name].meaning}; best is {_best(BY_NAME[name])}." for name in names)
    return "## Measures\n\n" + "\n".join(lines) + "\n"


def _best(entry: Measure) -> str:
    return entry.best if entry.best in ARROWS else "1"


def _fewer(table: Table, entries: Sequence[Measure]) -> str:
    """Which measures did not apply to all images."""
    counts = {entry.title: len(table.rows[0].figure(entry.name).measured) for entry in entries}
    short = [f"{title} {count}" for title, count in counts.items() if count < len(table.images)]
    return f"Images that could be measured where these are not all: {', '.join(short)}.\n" if short else ""


def _groups(table: Table) -> list[str]:
    return sorted(set(table.groups))


def _shown(figure: Figure, entry: Measure, *, signed: bool = False) -> str:
    mean, error = figure.mean, figure.error
    if not math.isfinite(mean):
        return "–" if math.isnan(mean) else "∞"
    text = f"{mean:{'+' if signed else ''}.{entry.digits}f}"
    return text if math.isnan(error) else f"{text} ± {error:.{entry.digits}f}"


def _markdown(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    names = list(head)
    rows = [f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *lines)]
    return "\n".join(rows) + "\n"
