"""What the gateway's layers hand each other: arrays and facts, no messages of any transport."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
from jaxtyping import Shaped

from hndsr_ensemble.geometry import Axis, Span, WindowGeometry
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.masks import Mask
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry, TileStats
from hndsr_ensemble.values import Ranges


@dataclass(frozen=True, slots=True)
class Raster:
    """Samples uint8 or uint16 of shape (height, width, 3); `mask` None where all pixels are valid."""

    pixels: Shaped[np.ndarray, "h w 3"]
    mask: Mask | None = None

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class OptionChoices:
    """What the caller chose; None leaves it to the model."""

    steps: int | None = None
    texture: float | None = None
    seed: int | None = None

    def over(self, defaults: Options) -> Options:
        """The model's defaults with the caller's choices over them."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(defaults, **chosen)


class Priority(IntEnum):
    """Whose turn comes first."""

    INTERACTIVE = 1
    """Somebody waits for it."""
    BATCH = 2
    """Nobody does."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What decides the target beside the source; `scale` as the caller wrote it; empty is the default."""

    model: str = ""
    scale: str = ""
    options: OptionChoices = field(default_factory=OptionChoices)
    value_ranges: tuple[tuple[float, float], ...] = ()
    required_revision: str = ""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model as its Triton describes it; times are of one window on an idle device, in seconds.

    `chosen` are the options that the server's operator chose over the model's own defaults.
    """

    manifest: Manifest
    revision: str
    engine: str
    device: str
    window_s: float
    step_s: float
    chosen: OptionChoices = field(default_factory=OptionChoices)

    @property
    def default_options(self) -> Options:
        """The options of requests that name none."""
        return (
            self.chosen.over(self.manifest.default_options)
            if self.manifest.generative
            else (self.manifest.default_options)
        )

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.manifest.name

    def window_time_s(self, options: Options) -> float:
        """Device time of one window, in seconds."""
        return self.window_s + (options.steps * self.step_s if options.draws else 0.0)

    def work_s(self, plan: Plan) -> float:
        """Device time of a whole plan with no window cached, in seconds."""
        return plan.windows * self.window_time_s(plan.options)


@dataclass(frozen=True)
class Plan:
    """The tiles of one image: every row span crossed with every column span."""

    source: tuple[int, int]
    target: tuple[int, int]
    scale: Scale
    model: str
    revision: str
    options: Options
    value_ranges: tuple[tuple[float, float], ...]
    sample_type: str
    cores_per_tile: int
    row_spans: tuple[Span, ...]
    column_spans: tuple[Span, ...]

    @cached_property
    def digest(self) -> str:
        """sha256 over all that decides the tiles and their bytes beside the source, in hexadecimal.

        Source: `Plan.digest` of the contract.
        """
        facts = {
            "source": "{}x{}".format(*self.source),
            "target": "{}x{}".format(*self.target),
            "scale": f"{self.scale.numerator}/{self.scale.denominator}",
            "model": self.model,
            "revision": self.revision,
            "steps": self.options.steps,
            "texture": f"{np.float32(self.options.texture):.9g}",
            "seed": self.options.seed,
            "ranges": ",".join(f"{low:.17g}:{high:.17g}" for low, high in self.value_ranges),
            "samples": self.sample_type,
            "cores": self.cores_per_tile,
            "rows": ",".join(map(_span_text, self.row_spans)),
            "columns": ",".join(map(_span_text, self.column_spans)),
        }
        return hashlib.sha256("".join(f"{name}={fact}\n" for name, fact in facts.items()).encode()).hexdigest()

    def axes(self, window: WindowGeometry) -> tuple[Axis, Axis]:
        """Rows and columns, cut into the windows of the plan's model."""
        height, width = self.source
        return Axis(height, self.scale, window), Axis(width, self.scale, window)

    @property
    def windows(self) -> int:
        """Windows that the target is blended from, each counted once."""
        return self.row_spans[-1].core_stop * self.column_spans[-1].core_stop

    @property
    def tile_count(self) -> int:
        """Row spans times column spans."""
        return len(self.row_spans) * len(self.column_spans)

    def tiles(self) -> Iterator[tuple[Span, Span]]:
        """All tiles in row-major order."""
        return ((rows, columns) for rows in self.row_spans for columns in self.column_spans)


@dataclass(frozen=True, slots=True)
class TileRequest:
    """One tile on its way to a backend."""

    model: str
    revision: str
    raster: Raster
    geometry: TileGeometry
    ranges: Ranges
    options: Options
    endpoint: str = ""
    """Where it should be worked on, of those that the backend named; empty: anywhere."""


@dataclass(frozen=True, slots=True)
class TileResponse:
    """One tile on its way back."""

    raster: Raster
    stats: TileStats


@dataclass(frozen=True, slots=True)
class Upscaled:
    """A whole target, and what it took."""

    raster: Raster
    plan: Plan
    description: ModelDescription
    stats: TileStats


def _span_text(span: Span) -> str:
    return ":".join(map(str, astuple(span)))
