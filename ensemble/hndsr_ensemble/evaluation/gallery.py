"""One self-contained page of pictures: source, every row and truth side by side, of the best, median, worst image."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hndsr_ensemble.evaluation.chart import COLOURS, frontier_chart
from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.methods import BICUBIC, Bicubic, Method
from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.evaluation.tables import Table, reduce, seed_of
from hndsr_ensemble.evaluation.truths import Truth

SHOWN_PX = 256
"""Side of what is shown of a larger picture: its middle."""

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #1c1e22; background: #fafaf8 }
.row { display: flex; flex-wrap: wrap; gap: 12px; margin: 0 0 2rem }
figure { margin: 0; width: 256px }
img { width: 256px; height: auto; image-rendering: pixelated; display: block }
figcaption { font-size: 13px }
"""
_LEGEND = (
    "<p>" + " · ".join(f'<span style="color:{colour}">● {kind}</span>' for kind, colour in COLOURS.items()) + "</p>"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which image is shown, and why."""

    place: int
    """In the table."""
    why: str


def choose(table: Table, judged: str) -> tuple[Choice, ...]:
    """The images on which a row gains most over bicubic in PSNR, gains the median, and gains least.

    Args:
        table: with at least one image.
        judged: name of the row.
    """
    gain: Figure = table.difference(judged, BICUBIC, "psnr")
    order = sorted(range(len(table.images)), key=lambda place: gain.values[place])
    picked: dict[int, str] = {}
    for word, place in (("best", order[-1]), ("median", order[len(order) // 2]), ("worst", order[0])):
        picked.setdefault(place, f"{word}: {judged} is {gain.values[place]:+.2f} dB from bicubic")
    return tuple(Choice(place, why) for place, why in picked.items())


def gallery(
    tables: Sequence[tuple[Table, Sequence[Method]]], images: Sequence[Truth], *, judged: str, seed: int
) -> str:
    """The page, with pictures made again by the same methods and seeds.

    Args:
        tables: with the methods of their rows.
        images: those of the tables, in the same order.
        judged: name of the row that decides which images are shown.
        seed: that the tables were made with.
    """
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Pictures</title><style>{STYLE}</style>"]
    parts.append("<h1>Pictures</h1><p>Enlarged without smoothing; of larger images the middle.</p>")
    for table, methods in tables:
        parts.append(f"<h2>Scale {table.scale}</h2>{frontier_chart(table)}{_LEGEND}")
        for choice in choose(table, judged):
            image = images[choice.place]
            parts.append(f"<h3>{html.escape(image.name)}</h3><p>{html.escape(choice.why)}</p><div class=row>")
            parts.extend(_figures(table, methods, image, choice, seed))
            parts.append("</div>")
    return "\n".join(parts) + "\n"


def _figures(table: Table, methods: Sequence[Method], image: Truth, choice: Choice, seed: int) -> Iterator[str]:
    truth, source = reduce(image, table.scale)
    yield _figure(_middle(source, max(1, round(SHOWN_PX / float(table.scale)))), "source")
    rows = [Bicubic(), *(method for method in methods if method.name != BICUBIC)]
    for method in rows:
        restored = method(source, table.scale, seed_of(truth, seed))
        psnr = table.row(method.name).psnr.values[choice.place]
        yield _figure(_middle(restored, SHOWN_PX), f"{method.name}: {psnr:.2f} dB")
    yield _figure(_middle(truth, SHOWN_PX), "truth")


def _figure(picture: Rgb, caption: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    label = html.escape(caption)
    return f'<figure><img alt="{label}" src="data:image/png;base64,{data}"><figcaption>{label}</figcaption></figure>'


def _middle(picture: Rgb, side_px: int) -> Rgb:
    top, left = (max(0, length - side_px) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side_px, left : left + side_px])
