"""One picture that shows a detail of several results side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageDraw, ImageFont

RgbImage = UInt8[np.ndarray, "height width 3"]

PANEL_PX, GAP_PX, LABEL_PX, FONT_PX = 384, 16, 34, 21
COLUMNS = 3
BACKGROUND, INK, OUTLINE = (250, 250, 248), (28, 30, 34), (232, 72, 40)
STRIDES_PER_DETAIL = 4
"""Details are searched for on a lattice of a quarter of their side."""


@dataclass(frozen=True)
class Detail:
    """A square of the target, in target pixels."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class Panel:
    """A picture of the whole ground at any resolution, and what is written over it."""

    label: str
    picture: RgbImage


def find_detail(target: RgbImage, side_px: int) -> Detail:
    """The square of `side_px`, or of the shorter side if that is less, with the most gradient energy."""
    side = min(side_px, *target.shape[:2])
    sums = _summed(_gradient_energy(target))
    step = max(1, side // STRIDES_PER_DETAIL)
    tops = np.arange(0, target.shape[0] - side + 1, step)[:, None]
    lefts = np.arange(0, target.shape[1] - side + 1, step)
    energy = sums[tops + side, lefts + side] - sums[tops, lefts + side] - sums[tops + side, lefts] + sums[tops, lefts]
    row, column = np.unravel_index(int(energy.argmax()), energy.shape)
    return Detail(left=int(lefts[column]), top=int(tops[row, 0]), side=side)


def draw_comparison(
    source: Panel, details: Sequence[Panel], detail: Detail, *, target_width: int, target_height: int
) -> RgbImage:
    """The whole source with the detail outlined, then that detail of every panel, three panels a row.

    Args:
        source: shown as a whole.
        details: shown cut, enlarged without smoothing, so that every pixel is the method's own.
        detail: what is cut, in pixels of the target.
        target_width: of the target, in pixels, which all panels cover.
        target_height: likewise.
    """
    tiles = [(source.label, _whole(source.picture, detail, (target_width, target_height)))]
    tiles += [(panel.label, _cut(panel.picture, detail, (target_width, target_height))) for panel in details]
    rows = -(-len(tiles) // COLUMNS)
    width, height = _extent(min(COLUMNS, len(tiles)), PANEL_PX), _extent(rows, PANEL_PX + LABEL_PX)
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for index, (label, tile) in enumerate(tiles):
        left = GAP_PX + index % COLUMNS * (PANEL_PX + GAP_PX)
        top = GAP_PX + index // COLUMNS * (PANEL_PX + LABEL_PX + GAP_PX)
        pen.text((left, top + LABEL_PX / 2), label, fill=INK, font=font, anchor="lm")
        sheet.paste(tile, (left, top + LABEL_PX))
    return np.asarray(sheet)


def _extent(count: int, size_px: int) -> int:
    return GAP_PX + count * (size_px + GAP_PX)


def _whole(picture: RgbImage, detail: Detail, target_px: tuple[int, int]) -> Image.Image:
    """The picture fitted into a panel on its background, with the detail outlined."""
    factor = PANEL_PX / max(target_px)
    width, height = (max(1, round(side * factor)) for side in target_px)
    fitted = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    left, top = detail.left * factor, detail.top * factor
    corners = (left, top, left + detail.side * factor - 1, top + detail.side * factor - 1)
    ImageDraw.Draw(fitted).rectangle(corners, outline=OUTLINE, width=3)
    panel = Image.new("RGB", (PANEL_PX, PANEL_PX), BACKGROUND)
    panel.paste(fitted, (0, 0))
    return panel


def _cut(picture: RgbImage, detail: Detail, target_px: tuple[int, int]) -> Image.Image:
    across, down = picture.shape[1] / target_px[0], picture.shape[0] / target_px[1]
    right, bottom = detail.left + detail.side, detail.top + detail.side
    box = (detail.left * across, detail.top * down, right * across, bottom * down)
    return Image.fromarray(picture).resize((PANEL_PX, PANEL_PX), Image.Resampling.NEAREST, box=box)


def _gradient_energy(image: RgbImage) -> Float64[np.ndarray, "_height _width"]:
    grey = image.mean(axis=-1)
    down = np.diff(grey, axis=0, append=grey[-1:])
    across = np.diff(grey, axis=1, append=grey[:, -1:])
    return down**2 + across**2


def _summed(values: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h+1 w+1"]:
    """Sums over all rectangles from the corner, with a row and a column of zeros before them."""
    return np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
