"""The model card: what the weights are, what they reach beside bicubic, and where they end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.measures import MEASURES, Measure
from hndsr_ensemble.evaluation.methods import BICUBIC
from hndsr_ensemble.evaluation.tables import Table, protocol
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.training.release.gate import (
    CANDIDATE_DIFFUSION,
    CANDIDATE_PRIOR,
    CURRENT_DIFFUSION,
    CURRENT_PRIOR,
    RULE,
    Comparison,
)

ROWS: Final = (BICUBIC, CANDIDATE_PRIOR, CANDIDATE_DIFFUSION, CURRENT_PRIOR, CURRENT_DIFFUSION)
"""In their order."""
COLUMNS: Final = tuple(
    entry
    for entry in MEASURES
    if entry.name in {"psnr", "ssim", "consistency", "high_frequency_ratio", "spectrum_distance", "patch_distance"}
)
SEED: Final = 0

LIMITS: Final = """
- What it adds is plausible, not observed: detail finer than the source's pixels is the networks' guess. It must not be
  used to identify, count or measure what the source does not show.
- It has seen {data}, and {else_seen}. With other sensors, pixel sizes, seasons or continents, with bands other than
  red, green and blue, with clouds, haze or night it may do worse than bicubic: the sets below are all that was
  measured.
- It was trained on sources made by the degradation above. Noise, compression, blur and misregistration of a real sensor
  that this does not imitate are enlarged, or taken for detail.
- The prior is 0 steps; 4 steps are drawn with texture 1. Diffusion trades fidelity for texture: with more steps, and
  with more texture, PSNR falls.
- Scales outside {scales} were not trained; {served} are served.
""".strip()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from."""

    data: str
    """What was trained on, in words, and under which licence that is."""
    data_digest: str
    """Of the manifest of the imagery."""
    images: Mapping[str, int]
    """By split."""
    degradation: str
    scales: str
    config_digest: str
    licence: str
    """Of the weights."""
    released: str
    """The day, as ISO 8601 writes it."""
    started_from: Mapping[str, str]
    """sha256 of the weights that training began with, by network; none where it began with nothing."""
    seen: int
    """Images that are known to have been trained on, those of the weights that training began with included."""
    unknown: str
    """Why the weights may have seen others, those of a set among them; empty where they have not."""

    def facts(self) -> dict[str, str]:
        """As lines of text by their names."""
        others = f" and an unknown number of others: {self.unknown}" if self.unknown else ""
        counts = ", ".join(f"{count:,} {split}" for split, count in self.images.items())
        return {
            "released": self.released,
            "licence": self.licence,
            "data": self.data,
            "images": counts,
            "degradation": self.degradation,
            "scales_trained": self.scales,
            "data_manifest_sha256": self.data_digest,
            "config_sha256": self.config_digest,
            "started_from": ", ".join(f"{name} {digest}" for name, digest in self.started_from.items()) or "nothing",
            "seen": f"{self.seen:,} images{others}",
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found out about a candidate."""

    origin: Origin
    tables: Mapping[str, Sequence[Table]]
    """Of each set, one for each scale."""
    comparisons: Sequence[Comparison]
    elsewhere: Mapping[str, float]
    """How far other arithmetics are off the probe, in grey levels."""
    unasked: Sequence[str] = ()
    """Arithmetics in which other machines serve, but which were not asked."""


def card(manifest: Manifest, evidence: Evidence) -> str:
    """The card as Markdown."""
    origin, tables = evidence.origin, evidence.tables
    parts = [
        f"# Model card: {manifest.name}",
        f"{manifest.description} Written by `hndsr-train release`; `hndsr-train verify` checks the files.",
        f"Manifest digest: `{manifest.digest}`",
        "## Data and licence",
        "\n".join(f"- {name.replace('_', ' ')}: {text}" for name, text in origin.facts().items()),
        "## Limits",
        _limits(manifest, origin),
        "## Figures",
        _protocol(tables),
        *_figures(tables),
        "## Why it was released",
        RULE,
        "\n".join(f"- {comparison}" for comparison in evidence.comparisons),
        "In other arithmetics than fp32 its probe is off by, in grey levels on average over the worse window:",
        "\n".join(f"- {name}: {difference:.3f}" for name, difference in evidence.elsewhere.items())
        or "- none was asked",
        *(f"Not asked was {name}: a machine that serves in it may refuse the model." for name in evidence.unasked),
    ]
    return "\n\n".join(parts) + "\n"


def figures(tables: Mapping[str, Sequence[Table]]) -> dict[str, dict[str, float]]:
    """RGB PSNR in dB of bicubic, prior and 4 steps, by set and scale, as a manifest carries it."""
    rows = {"bicubic_db": BICUBIC, "prior_db": CANDIDATE_PRIOR, "diffusion_4_steps_db": CANDIDATE_DIFFUSION}
    return {
        f"{name}, x{table.scale}, {len(table.images)} images": {
            key: round(table.row(row).psnr.mean, 3) for key, row in rows.items()
        }
        for name, measured in tables.items()
        for table in measured
    }


def _limits(manifest: Manifest, origin: Origin) -> str:
    return LIMITS.format(
        scales=origin.scales,
        data=origin.data,
        else_seen="what the weights before it had seen, which is not known" if origin.unknown else "nothing else",
        served=f"{manifest.min_scale} to {manifest.max_scale}",
    )


def _protocol(tables: Mapping[str, Sequence[Table]]) -> str:
    table = next(table for measured in tables.values() for table in measured)
    facts = {name: fact for name, fact in protocol(table, seed=SEED).items() if name not in {"scale", "images"}}
    return "\n".join(f"- {name.replace('_', ' ')}: {fact}" for name, fact in facts.items())


def _figures(tables: Mapping[str, Sequence[Table]]) -> Iterator[str]:
    for name, measured in tables.items():
        for table in measured:
            yield f"### {name}, ×{table.scale}, {len(table.images)} images"
            yield _markdown(table)


def _markdown(table: Table) -> str:
    lines = [
        "| | " + " | ".join(entry.title for entry in COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for row in ROWS:
        cells = [_cell(table.row(row).figure(entry.name), entry) for entry in COLUMNS]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: Figure, entry: Measure) -> str:
    return f"{figure.mean:.{entry.digits}f} ± {figure.error:.{entry.digits}f}"
