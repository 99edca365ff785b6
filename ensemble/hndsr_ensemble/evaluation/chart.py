"""What detail costs, as a drawing: every row of a table at its energy and its fidelity."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from hndsr_ensemble.evaluation.tables import Row, Table

ROOM = 0.06
"""Share of an axis that is left free at either end."""
WIDTH_PX, HEIGHT_PX, MARGIN_PX, RADIUS_PX = 640.0, 360.0, 56.0, 5
COLOURS = {"bicubic": "#777777", "prior": "#1c1e22", "diffusion": "#e84828", "sharpened": "#2c6fb0"}
"""By the first word of a row's name; other rows are grey."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values from `least` to `most` along one side of the drawing."""

    least: float
    most: float
    start_px: float
    stop_px: float

    def at(self, value: float) -> float:
        """In pixels, with room at both ends."""
        share = (value - self.least) / (self.most - self.least) if self.most > self.least else 0.5
        return self.start_px + (ROOM + (1 - 2 * ROOM) * share) * (self.stop_px - self.start_px)


def frontier_chart(table: Table) -> str:
    """An SVG picture of mean PSNR over mean high-frequency ratio; empty where no two rows have both.

    Without errors: those of the means are as large as images are unlike, and say little about rows, which share them.
    """
    rows = [row for row in table.rows if math.isfinite(row.psnr.mean + row.high_frequency_ratio.mean)]
    if len(rows) < 2:
        return ""
    ratios, psnrs = ([row.figure(name).mean for row in rows] for name in ("high_frequency_ratio", "psnr"))
    across = _Axis(min(ratios), max(ratios), MARGIN_PX, WIDTH_PX - MARGIN_PX)
    up = _Axis(min(psnrs), max(psnrs), HEIGHT_PX - MARGIN_PX, MARGIN_PX / 2)
    box = f'viewBox="0 0 {WIDTH_PX:g} {HEIGHT_PX:g}" width="{WIDTH_PX:g}" height="{HEIGHT_PX:g}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box}>', *_scales(across, up)]
    return "".join([*parts, *(_point(row, across, up) for row in rows), "</svg>"])


def _scales(across: _Axis, up: _Axis) -> list[str]:
    left, right, bottom, top = across.start_px, across.stop_px, up.start_px, up.stop_px
    frame = f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#999"/>'
    below, beside = (f'y="{bottom + 16}" text-anchor="middle"', f'x="{left - 6}" text-anchor="end"')
    texts = [
        *(f'<text x="{across.at(value):.1f}" {below}>{value:.2f}</text>' for value in (across.least, across.most)),
        *(f'<text y="{up.at(value):.1f}" {beside}>{value:.1f}</text>' for value in (up.least, up.most)),
        f'<text x="{(left + right) / 2}" y="{bottom + 36}" text-anchor="middle">high-frequency ratio</text>',
        f'<text x="{left}" y="{top - 8}">PSNR, dB</text>',
    ]
    return [frame, '<g font-size="12" fill="#1c1e22">', *texts, "</g>"]


def _point(row: Row, across: _Axis, up: _Axis) -> str:
    ratio, psnr = row.high_frequency_ratio.mean, row.psnr.mean
    x, y = across.at(ratio), up.at(psnr)
    colour = COLOURS.get(row.name.replace(",", " ").split()[0], "#777777")
    label = html.escape(f"{row.name}: {psnr:.2f} dB, ratio {ratio:.3f}")
    return f'<g><title>{label}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS_PX}" fill="{colour}"/></g>'
