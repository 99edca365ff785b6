"""What a source's file says, said of its target."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from jaxtyping import Shaped

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.scale import Scale
from hndsr_gateway.images.colour import grey_to_rgb, luma
from hndsr_gateway.images.picture import ANY_WINDOW, Georeference, Picture
from hndsr_gateway.types import Raster


def enlarge(picture: Picture, target: Raster, scale: Scale) -> Picture:
    """A source's picture with the target's pixels.

    Alpha is taken from the nearest source pixel, as masks are, and the affine transform is divided by the scale; a grey
    picture becomes grey again, by its luma; colour profile, EXIF and format stay.
    """
    georeference = picture.attributes.georeference
    return replace(
        picture,
        raster=replace(target, pixels=grey_to_rgb(luma(target.pixels))) if picture.grey else target,
        alpha=None if picture.alpha is None else _enlarge_plane(picture.alpha, target, scale),
        attributes=replace(
            picture.attributes, georeference=None if georeference is None else _enlarge_pixels(georeference, scale)
        ),
    )


def _enlarge_plane(plane: Shaped[np.ndarray, "h w"], target: Raster, scale: Scale) -> Shaped[np.ndarray, "H W"]:
    rows, columns = (
        Axis(length, scale, ANY_WINDOW).nearest_source(np.arange(target_length))
        for length, target_length in zip(plane.shape, (target.height, target.width), strict=True)
    )
    return plane[np.ix_(rows, columns)]


def _enlarge_pixels(georeference: Georeference, scale: Scale) -> Georeference:
    """The same outer corner, and pixels that are smaller by exactly the scale."""
    a, b, c, d, e, f = georeference.transform

    def smaller(term: float) -> float:
        return float(Fraction(term) / scale.fraction)

    return replace(georeference, transform=(smaller(a), smaller(b), c, smaller(d), smaller(e), f))
