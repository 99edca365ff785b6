"""From an order to an evaluation: which rows there are, on which images, at which scales."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hndsr_ensemble.evaluation.control import middle_of, sharpened_like
from hndsr_ensemble.evaluation.degrade import target_px
from hndsr_ensemble.evaluation.gallery import gallery
from hndsr_ensemble.evaluation.measures import Perceptual
from hndsr_ensemble.evaluation.methods import PRIOR, Bicubic, Diffusion, Method, Prior, SharpenedPrior
from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.evaluation.models import TiledModel
from hndsr_ensemble.evaluation.report import Evaluation
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.evaluation.tables import Progress, Table, check_images, measure_set
from hndsr_ensemble.evaluation.truths import Truth, evenly
from hndsr_ensemble.scale import Scale

CALIBRATING = 16
"""Images for validation that gains are fixed on, at most, spread over all."""
SCENE_SEED = 7


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be evaluated."""

    images: tuple[Truth, ...]
    images_are: str
    """Where they came from, in words."""
    unseen: str
    """Whether the weights have seen them, in words."""
    validation: tuple[Truth, ...]
    """What gains are fixed on; none: the images themselves, which favours the sharpened prior."""
    model: TiledModel
    scales: tuple[Scale, ...]
    grid: tuple[tuple[int, float], ...]
    """Steps and texture of each diffusion row."""
    seed: int = 0
    scene_px: int = 0
    """Side of a drawn scene in which seams are looked for; 0 for none."""
    perceptual: Perceptual | None = None

    @property
    def diffusions(self) -> tuple[Diffusion, ...]:
        """The rows that draw: those of the grid with both steps and texture."""
        drawn = dict.fromkeys((steps, texture) for steps, texture in self.grid if steps and texture)
        return tuple(Diffusion(self.model, steps, texture) for steps, texture in drawn)

    @property
    def calibrating(self) -> tuple[Truth, ...]:
        """What gains are fixed on."""
        return evenly(self.validation or self.images, CALIBRATING)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The figures and the page of pictures."""

    evaluation: Evaluation
    pictures: str


def evaluate(order: Order) -> Evaluated:
    """Measure all rows at all scales.

    Raises:
        TrainingError: an image, a scale or a gain does not do.
    """
    _check(order)
    tables, controls = list[tuple[Table, tuple[Method, ...]]](), dict[str, tuple[SharpenedPrior, ...]]()
    for scale in order.scales:
        sharpened = sharpened_like(order.diffusions, order.calibrating, scale=scale, seed=order.seed)
        controls[str(scale)] = sharpened
        methods: tuple[Method, ...] = (Bicubic(), Prior(order.model), *order.diffusions, *sharpened)
        tables.append((_table(order, methods, scale), methods))
    evaluation = Evaluation(
        images=order.images_are,
        unseen=order.unseen,
        model=order.model.facts,
        seed=order.seed,
        fixed_on=_fixed_on(order),
        controls=controls,
        diffusions=order.diffusions,
        tables=tuple(table for table, _ in tables),
        seams=_seams(order) if order.scene_px else None,
    )
    judged = order.diffusions[-1].name if order.diffusions else PRIOR
    return Evaluated(evaluation, gallery(tables, order.images, judged=judged, seed=order.seed))


def _table(order: Order, methods: Sequence[Method], scale: Scale) -> Table:
    return measure_set(
        order.images,
        methods,
        scale=scale,
        seed=order.seed,
        window=order.model.window,
        perceptual=order.perceptual,
        progress=_progress(f"scale {scale}"),
    )


def _check(order: Order) -> None:
    """Refuse what cannot be measured before hours of measuring."""
    for scale in order.scales:
        order.model.check(scale)
    check_images([*order.images, *map(middle_of, order.calibrating)], order.scales)
    if order.scene_px:
        check_images([_scene(order)], order.scales[:1])


def _scene(order: Order) -> Truth:
    return Truth.of("the drawn scene", render_scene(order.scene_px, order.scene_px, seed=SCENE_SEED))


def _seams(order: Order) -> Table:
    """Seams of one drawn scene at the first scale, bicubic and truth beside the model."""
    truth, scale = _scene(order), order.scales[0]
    methods: tuple[Method, ...] = (Prior(order.model), *order.diffusions, _Given(truth.read()))
    return measure_set([truth], methods, scale=scale, seed=order.seed, measures={"seams"}, window=order.model.window)


@dataclass(frozen=True, slots=True)
class _Given:
    """A row that needs no source: what a picture itself measures."""

    picture: Rgb
    name: str = "truth"

    def __call__(self, lr: Rgb, scale: Scale, seed: int) -> Rgb:  # noqa: ARG002 - it is all there
        height, width = (target_px(length, scale) for length in lr.shape[:2])
        return self.picture[:height, :width]


def _fixed_on(order: Order) -> str:
    if order.validation:
        return f"{len(order.calibrating)} other images, for validation"
    count = len(order.calibrating)
    return f"{count} of the measured images themselves, for want of others: that favours the sharpened prior"


def _progress(what: str) -> Progress:
    """Says on a terminal how far it is."""

    def tell(done: int, count: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{what}: {done} of {count} images" + ("\n" if done == count else ""))
            sys.stderr.flush()

    return tell
