"""Source and target over one another, with a slider between them, for notebooks.

from hndsr_client.notebook import before_after
before_after(source, client.upscale(source, scale=4))
"""

from __future__ import annotations

import html
import secrets
from dataclasses import dataclass, field
from fractions import Fraction

from hndsr_client._core.pixels import Mask
from hndsr_client._pictures import AnyImage, Picture, data_uri, picture_of, shown, value_range
from hndsr_client.errors import ArgumentError
from hndsr_client.results import Upscaled, UpscaleMetadata

MAX_SIDE_PX = 1600

PAGE = """\
<figure id="{name}" style="max-width: {width_px}px; margin: 0">
<div style="position: relative; display: flex; gap: 4px; align-items: flex-start; \
background: repeating-conic-gradient(#ccc 0 25%, #fff 0 50%) 0 0 / 16px 16px">
<img src="{source}" alt="{source_text}" style="{style}">
<img src="{target}" alt="{target_text}" style="{style}">
</div>
<input type="range" min="0" max="100" value="50" hidden \
aria-label="Percent of the width that shows the source" style="width: 100%; margin: 0">
<figcaption style="font-size: smaller">{caption}</figcaption>
</figure>
<script>
for (const figure of document.querySelectorAll("#{name}")) {{
  const [source, target] = figure.querySelectorAll("img");
  const slider = figure.querySelector("input");
  const divide = () => {{
    source.style.clipPath = `inset(0 ${{100 - slider.value}}% 0 0)`;
    target.style.clipPath = `inset(0 0 0 ${{slider.value}}%)`;
  }};
  source.parentElement.style.display = "block";
  source.style.width = target.style.width = "100%";
  source.style.position = "absolute";
  source.style.height = "100%";
  slider.hidden = false;
  slider.addEventListener("input", divide);
  divide();
}}
</script>
"""
# The target gives the shared box its height, so that both have its extent whatever the scale was rounded to.
IMAGE_STYLE = "display: block; width: calc(50% - 2px); min-width: 0; margin: 0; image-rendering: pixelated"


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """What a notebook shows as source and target with a slider, or side by side where scripts are off."""

    caption: str
    width_px: int
    source_uri: str = field(repr=False)
    """The source as it is shown, a PNG file in an address; likewise the target."""
    target_uri: str = field(repr=False)
    source_text: str = field(repr=False)
    """What is read out where pictures cannot be seen."""
    target_text: str = field(repr=False)

    def _repr_html_(self) -> str:
        """A fragment of HTML that needs nothing beside it; each time with another id."""
        return PAGE.format(
            name=f"hndsr-{secrets.token_hex(8)}",
            width_px=self.width_px,
            source=self.source_uri,
            target=self.target_uri,
            source_text=html.escape(self.source_text),
            target_text=html.escape(self.target_text),
            caption=html.escape(self.caption),
            style=IMAGE_STYLE,
        )


def before_after(source: AnyImage, target: AnyImage, *, mask: Mask | None = None, width_px: int = 640) -> BeforeAfter:
    """Source and target for a notebook's cell, the source enlarged by the nearest neighbour to the target's extent.

    Samples of 16 bits are stretched for the eye: between the 2nd and the 98th percentile of the source's valid samples,
    for both pictures. Invalid pixels are transparent. Sides over 1,600 px are reduced, which the caption says.

    Args:
        source: An array (height, width, 3) of uint8 or uint16, an `Upscaled`, an image file's path or its content.
        target: The same, of the same sample type.
        mask: Of the source, (height, width) of bool, True = valid; None: its own, if it has one.
        width_px: The width on the page, at most that of the cell.

    Raises:
        ArgumentError: Something of it cannot be shown.
        LocalFileError: A file cannot be read.
    """
    if not isinstance(width_px, int) or isinstance(width_px, bool) or width_px < 1:
        raise ArgumentError(f"width_px is {width_px!r}, accepted is an integer, 1 or more")
    before, after = picture_of(source, mask), picture_of(target)
    if before.pixels.dtype != after.pixels.dtype:
        raise ArgumentError(f"the source is {before.pixels.dtype}, the target {after.pixels.dtype}; pass one type")
    samples = value_range(before.valid)
    metadata = target.metadata if isinstance(target, Upscaled) else None
    return BeforeAfter(
        caption=_caption(before, after, metadata, samples=samples),
        width_px=width_px,
        source_uri=data_uri(shown(before, samples=samples, max_side_px=MAX_SIDE_PX)),
        target_uri=data_uri(shown(after, samples=samples, max_side_px=MAX_SIDE_PX)),
        source_text=f"source, {_size(before)}",
        target_text=f"target, {_size(after)}",
    )


def _caption(source: Picture, target: Picture, metadata: UpscaleMetadata | None, *, samples: tuple[int, int]) -> str:
    parts = [f"Source, {_size(source)} (left), and target, {_size(target)} (right)"]
    if metadata is None:
        parts.append(f"scale about {target.pixels.shape[1] / source.pixels.shape[1]:.3g}")
    else:
        parts += [f"scale {_scale(metadata.scale)}", f"model {metadata.model} {metadata.revision[:12]}"]
    reduced = [name for name, each in (("source", source), ("target", target)) if max(each.pixels.shape) > MAX_SIDE_PX]
    if reduced:
        parts.append(f"{' and '.join(reduced)} reduced to {MAX_SIDE_PX:,} px for display")
    if source.pixels.dtype.itemsize > 1:
        parts.append(f"samples from {samples[0]} to {samples[1]} stretched for display")
    return "; ".join(parts)


def _size(picture: Picture) -> str:
    height_px, width_px = picture.pixels.shape[:2]
    return f"{height_px} × {width_px} px"


def _scale(scale: Fraction) -> str:
    """As a decimal where it is a short one: 3.14, but 22/7."""
    return f"{float(scale):g}" if Fraction(f"{float(scale):g}") == scale else str(scale)
