"""The controls of diffusion rows: their own prior, sharpened to the same energy on images that are not measured."""

from __future__ import annotations

from collections.abc import Sequence

from hndsr_ensemble.evaluation.methods import Diffusion, Prior, SharpenedPrior
from hndsr_ensemble.evaluation.metrics import Rgb, high_frequency_ratio
from hndsr_ensemble.evaluation.sharpening import match_gain, mean_ratio
from hndsr_ensemble.evaluation.tables import NoImagesError, reduce, seed_of
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.scale import Scale

MIDDLE_PX = 512
"""At most so much of an image's middle is looked at."""


def sharpened_like(
    diffusions: Sequence[Diffusion], images: Sequence[Truth], *, scale: Scale, seed: int = 0
) -> tuple[SharpenedPrior, ...]:
    """For each row, the prior with the gain that gives it the row's mean high-frequency ratio on `images`.

    Args:
        diffusions: the rows to be matched, of one model.
        images: for validation: gains are fixed on these, before any other image is looked at.
        scale: from source to target; a gain holds for one.
        seed: as for `tables.measure_set`.

    Raises:
        NoImagesError: there are rows, but no image.
        GainError: no gain does.
    """
    if not diffusions:
        return ()
    if not images:
        raise NoImagesError(where="what the gain of the sharpened prior is to be fixed on")
    model = diffusions[0].model
    priors, truths = list[Rgb](), list[Rgb]()
    ratios: list[list[float]] = [[] for _ in diffusions]
    for image in images:
        truth, source = reduce(_middle(image), scale)
        own_seed = seed_of(image.name, seed)
        priors.append(Prior(model)(source, scale, own_seed))
        truths.append(truth)
        for diffusion, found in zip(diffusions, ratios, strict=True):
            found.append(high_frequency_ratio(diffusion(source, scale, own_seed), truth))
    gains = (match_gain(priors, truths, scale, wanted=mean_ratio(found)) for found in ratios)
    return tuple(SharpenedPrior(model, gain, diffusion.name) for diffusion, gain in zip(diffusions, gains, strict=True))


def _middle(image: Truth) -> Truth:
    def read() -> Rgb:
        pixels = image.read()
        top, left = (max(0, length - MIDDLE_PX) // 2 for length in pixels.shape[:2])
        return pixels[top : top + MIDDLE_PX, left : left + MIDDLE_PX]

    return Truth(image.name, image.group, read)
