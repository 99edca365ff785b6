"""What a source's file says, said of its target."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from unit.gateway.images.files import ROTATED, SIZE, on_the_ground, picture

from hndsr_ensemble.scale import Scale
from hndsr_gateway.images.enlarge import enlarge
from hndsr_gateway.images.picture import Picture
from hndsr_gateway.types import Raster

SCALES = [Scale.parse(text) for text in ("1.5", "4", "22/7", "3.14159", "8")]


def target_of(source: Picture, scale: Scale) -> Raster:
    """A target of the size that the scale asks for."""
    num, den = scale.numerator, scale.denominator
    height, width = ((2 * side * num + den) // (2 * den) for side in (source.raster.height, source.raster.width))
    return Raster(np.zeros((height, width, 3), source.raster.pixels.dtype))


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_enlarge_takes_alpha_from_the_nearest_source_pixel(scale: Scale) -> None:
    source = picture(transparent=True)
    target, (num, den) = target_of(source, scale), (scale.numerator, scale.denominator)
    rows = [min(SIZE[0] - 1, (2 * y + 1) * den // (2 * num)) for y in range(target.height)]
    columns = [min(SIZE[1] - 1, (2 * x + 1) * den // (2 * num)) for x in range(target.width)]
    assert source.alpha is not None
    np.testing.assert_array_equal(enlarge(source, target, scale).alpha, source.alpha[rows][:, columns])


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_enlarge_makes_pixels_smaller_and_leaves_the_corner(scale: Scale) -> None:
    source = picture()
    source = replace(source, attributes=replace(source.attributes, georeference=on_the_ground(ROTATED)))
    a, b, c, d, e, f = ROTATED
    smaller = [float(Fraction(term) * scale.denominator / scale.numerator) for term in (a, b, d, e)]
    expected = (smaller[0], smaller[1], c, smaller[2], smaller[3], f)
    assert enlarge(source, target_of(source, scale), scale).attributes.georeference == on_the_ground(expected)


def test_enlarge_keeps_an_opaque_picture_opaque() -> None:
    source, scale = picture(), Scale(4, 1)
    enlarged = enlarge(source, target_of(source, scale), scale)
    assert (enlarged.alpha, enlarged.raster.mask) == (None, None)


@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
def test_enlarge_keeps_what_does_not_depend_on_size(*, grey: bool) -> None:
    source, scale = picture(grey=grey), Scale(3, 2)
    enlarged = enlarge(source, target_of(source, scale), scale)
    assert replace(enlarged, raster=source.raster) == source


def test_enlarge_takes_the_targets_pixels() -> None:
    source, scale = picture(), Scale(2, 1)
    target = target_of(source, scale)
    assert enlarge(source, target, scale).raster is target
