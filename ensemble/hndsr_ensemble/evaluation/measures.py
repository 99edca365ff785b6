"""All that is measured of one result, and how each number is to be read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from hndsr_ensemble.evaluation.fidelity import consistency, psnr_y
from hndsr_ensemble.evaluation.metrics import Rgb, high_frequency_ratio, psnr, ssim
from hndsr_ensemble.evaluation.patches import patch_distance
from hndsr_ensemble.evaluation.seams import seam_ratio
from hndsr_ensemble.evaluation.sharpening import beyond_source
from hndsr_ensemble.evaluation.spectra import OCTAVES_PX, octave_ratios, spectrum_distance
from hndsr_ensemble.evaluation.synthesis import shares
from hndsr_ensemble.geometry import WindowGeometry
from hndsr_ensemble.scale import Scale

Perceptual = Callable[[Rgb, Rgb], float]
"""A learnt distance of a result from its truth."""

HIGH, LOW, ONE = "high", "low", "one"
"""What is best of a measure."""


class Measure(NamedTuple):
    """How a measure is called and read."""

    name: str
    title: str
    best: str
    digits: int
    """Behind the point, in a table."""
    meaning: str


OCTAVE_NAMES = tuple(f"energy_{shortest}_{longest}_px" for shortest, longest in OCTAVES_PX)

MEASURES = (
    Measure("psnr", "PSNR, dB", HIGH, 2, "RGB, all three bands together"),
    Measure("psnr_y", "PSNR-Y, dB", HIGH, 2, "of the luma of ITU-R BT.601 in studio range, not rounded"),
    Measure("ssim", "SSIM", HIGH, 4, "Gaussian window of 11 px, mean over the bands"),
    Measure(
        "consistency", "consistency, dB", HIGH, 2, "PSNR of the result, reduced as the truth was, against its source"
    ),
    Measure("high_frequency_ratio", "high freq.", ONE, 3, "energy above half Nyquist over the truth's, true or not"),
    Measure(
        "beyond_source",
        "beyond source",
        ONE,
        3,
        "energy of all that the source's grid cannot carry over the truth's, true or not",
    ),
    Measure("spectrum_distance", "spectrum dist.", LOW, 3, "mean over octaves of |log₂ (energy / the truth's)|"),
    *(
        Measure(name, f"energy {shortest}–{longest} px", ONE, 3, "energy of these wavelengths over the truth's")
        for name, (shortest, longest) in zip(OCTAVE_NAMES, OCTAVES_PX, strict=True)
    ),
    Measure(
        "patch_distance",
        "patch dist.",
        LOW,
        4,
        "sliced Wasserstein distance of whitened 7 × 7 patches of luma; a gain on frequencies hardly lowers it",
    ),
    Measure("improvement", "improved", HIGH, 3, "share of counting pixels nearest to the truth, after opensr-test"),
    Measure("omission", "omitted", LOW, 3, "share of counting pixels nearest to the enlarged source, likewise"),
    Measure("hallucination", "hallucinated", LOW, 3, "share of counting pixels far from both, likewise"),
    Measure("seams", "seams", ONE, 3, "gradient across the windows' edges over that across the median border"),
    Measure("lpips", "LPIPS", LOW, 4, "learnt perceptual distance, with the weights that were given"),
)
"""In the order of the columns."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a method made of a source, and what it should have made."""

    image: Rgb
    truth: Rgb
    source: Rgb
    scale: Scale
    window: WindowGeometry | None
    """Of the model whose seams are looked for; None: they are not."""
    perceptual: Perceptual | None


Values = dict[str, float]


def measure(result: Result, wanted: Collection[str]) -> Values:
    """Those of `MEASURES` that are wanted and apply; NaN where an image does not admit one.

    Raises:
        ValueError: result and truth differ in shape, or too little is left inside the border.
    """
    values: Values = {}
    for names, function in _FUNCTIONS:
        if not names.isdisjoint(wanted):
            values |= {name: value for name, value in function(result).items() if name in wanted}
    return values


def _fidelity(name: str, function: Callable[[Rgb, Rgb], float]) -> Callable[[Result], Values]:
    return lambda result: {name: function(result.image, result.truth)}


def _consistency(result: Result) -> Values:
    return {"consistency": consistency(result.image, result.source, result.scale)}


def _beyond_source(result: Result) -> Values:
    return {"beyond_source": beyond_source(result.image, result.truth, result.scale)}


def _spectra(result: Result) -> Values:
    ratios = octave_ratios(result.image, result.truth)
    return {"spectrum_distance": spectrum_distance(ratios), **dict(zip(OCTAVE_NAMES, ratios, strict=True))}


def _synthesis(result: Result) -> Values:
    return shares(result.image, result.truth, result.source, scale=result.scale)._asdict()


def _seams(result: Result) -> Values:
    if result.window is None:
        return {}
    height, width = result.source.shape[:2]
    return {"seams": seam_ratio(result.image, (height, width), result.scale, result.window)}


def _lpips(result: Result) -> Values:
    return {"lpips": result.perceptual(result.image, result.truth)} if result.perceptual else {}


_FUNCTIONS: tuple[tuple[frozenset[str], Callable[[Result], Values]], ...] = (
    (frozenset({"psnr"}), _fidelity("psnr", psnr)),
    (frozenset({"psnr_y"}), _fidelity("psnr_y", psnr_y)),
    (frozenset({"ssim"}), _fidelity("ssim", ssim)),
    (frozenset({"consistency"}), _consistency),
    (frozenset({"high_frequency_ratio"}), _fidelity("high_frequency_ratio", high_frequency_ratio)),
    (frozenset({"beyond_source"}), _beyond_source),
    (frozenset({"spectrum_distance", *OCTAVE_NAMES}), _spectra),
    (frozenset({"patch_distance"}), _fidelity("patch_distance", patch_distance)),
    (frozenset({"improvement", "omission", "hallucination"}), _synthesis),
    (frozenset({"seams"}), _seams),
    (frozenset({"lpips"}), _lpips),
)
