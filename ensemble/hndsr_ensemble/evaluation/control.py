"""The controls of diffusion rows: their own prior, sharpened to the same energy on images that are not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hndsr_ensemble.evaluation.methods import Diffusion, Prior, SharpenedPrior
from hndsr_ensemble.evaluation.metrics import Rgb
from hndsr_ensemble.evaluation.sharpening import energy_beyond, match_gain
from hndsr_ensemble.evaluation.tables import NoImagesError, reduce, seed_of
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.scale import Scale

MIDDLE_PX = 512
"""At most so much of an image's middle is looked at."""


def sharpened_like(
    diffusions: Sequence[Diffusion], images: Sequence[Truth], *, scale: Scale, seed: int = 0
) -> tuple[SharpenedPrior, ...]:
    """For each row, the prior with the gain that gives it the row's energy on `images`, in the band it is a gain on.

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
    model, priors, of_truths = diffusions[0].model, list[Rgb](), 0.0
    energies = [0.0] * len(diffusions)
    for image in images:
        truth, source = reduce(middle_of(image), scale)
        own_seed = seed_of(truth, seed)
        priors.append(Prior(model)(source, scale, own_seed))
        of_truths += energy_beyond(truth, scale)
        for place, diffusion in enumerate(diffusions):
            energies[place] += energy_beyond(diffusion(source, scale, own_seed), scale)
    fits = (match_gain(priors, scale, wanted=energy, truth=of_truths) for energy in energies)
    return tuple(SharpenedPrior(model, fit, diffusion.name) for diffusion, fit in zip(diffusions, fits, strict=True))


def middle_of(image: Truth) -> Truth:
    """As much of an image as gains are fixed on."""

    def read() -> Rgb:
        pixels = image.read()
        top, left = (max(0, length - MIDDLE_PX) // 2 for length in pixels.shape[:2])
        return pixels[top : top + MIDDLE_PX, left : left + MIDDLE_PX]

    return replace(image, read=read)
