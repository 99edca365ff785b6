"""Places in an image that are found again in an overlapping one, and words that describe what is around them.

A word is made of the signs of a patch's low cosine coefficients, so brightness and contrast do not change it. Flips
negate odd coefficients and a transposition exchanges them, so a patch is described in the one of its eight orientations
that makes its slopes down and to the right positive and the first the steeper: turned images share words.

Source: extrema of a difference of Gaussians, Lowe 2004, "Distinctive image features from scale-invariant keypoints",
section 3; hashing by the signs of a discrete cosine transform, Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions", section 3.2.1.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64, UInt8, UInt64
from scipy import ndimage

from hndsr_ensemble.training.imagery import orientations

LEVELS: Final = (1.0, 0.894, 0.8)
"""Reductions at which an image is looked at, so that images of 0.8 to 1.25 times its resolution share words with it."""
FINE_SIGMA_PX: Final = 2.0
COARSE_SIGMA_PX: Final = 3.2
NEIGHBOURHOOD_PX: Final = 7
"""Side of the square in which a keypoint is the extremum."""
KEYPOINTS_PER_PX: Final = 600 / 256**2
"""Most keypoints that a level keeps, the strongest."""
SAMPLES: Final = 14
SPACING_PX: Final = 2
REACH_PX: Final = (SAMPLES - 1) * SPACING_PX // 2
"""How far a patch reaches from its keypoint."""
MIN_CONTRAST: Final = 2.0
"""Standard deviation of a patch, in 8-bit grey levels, below which it is noise."""
HIGHEST_ORDER: Final = 7
UNIT: Final = 254
"""A coefficient as large as its whole patch, in the int8 that it is stored as."""
SLOPE_TOLERANCE: Final = 0.06 * UNIT
"""Slopes nearer to each other or to zero than this may come out either way, so both orientations are described."""
PROBES: Final = 4
"""Words of one description when its two least certain signs are tried both ways."""

ORDERS: Final = [(down, across) for down in range(HIGHEST_ORDER + 1) for across in range(HIGHEST_ORDER + 1 - down)][1:]
DOWN: Final = ORDERS.index((1, 0))
ACROSS: Final = ORDERS.index((0, 1))
SIGNS: Final = np.array([at for at in range(len(ORDERS)) if at not in (DOWN, ACROSS)])
"""Coefficients whose sign goes into a word: all but the two slopes, which the orientation makes positive."""


def _basis() -> Float32[np.ndarray, "samples orders"]:
    waves = [np.cos(math.pi * order * (np.arange(SAMPLES) + 0.5) / SAMPLES) for order in range(HIGHEST_ORDER + 1)]
    waves = [wave / np.linalg.norm(wave) for wave in waves]
    return np.stack([np.outer(waves[down], waves[across]).ravel() for down, across in ORDERS], axis=1).astype(
        np.float32
    )


BASIS: Final = _basis()
EXCHANGED: Final = np.array([ORDERS.index((across, down)) for down, across in ORDERS])
FLIPPED: Final = np.array([[(-1) ** down for down, _ in ORDERS], [(-1) ** across for _, across in ORDERS]])


class Keypoints(NamedTuple):
    """Keypoints of one picture at all levels."""

    levels: UInt8[np.ndarray, "count"]
    """Index in `LEVELS`."""
    positions_px: Float32[np.ndarray, "count 2"]
    """(y, x) from the picture's centre, in the picture's own pixels at every level."""
    coefficients: Int8[np.ndarray, "count orders"]
    """Cosine coefficients of the patch in `ORDERS`, as shares of its contrast times `UNIT`."""


class Words(NamedTuple):
    """Descriptions of keypoints, one or more of each."""

    keypoints: Int64[np.ndarray, "count"]
    """Index in `Keypoints`."""
    orientations: Int64[np.ndarray, "count"]
    """In which the patch is described."""
    words: UInt64[np.ndarray, "count probes"]
    """The word; then, where asked for, those with uncertain signs turned."""


def find_keypoints(
    luminance: Float32[np.ndarray, "height width"], valid: Bool[np.ndarray, "height width"]
) -> Keypoints:
    """Keypoints of a picture of 8-bit grey levels, at all levels.

    Args:
        luminance: the picture.
        valid: which pixels hold something; a patch that touches another is left out.
    """
    found = [_at_level(luminance, valid, level) for level in range(len(LEVELS))]
    return Keypoints(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _at_level(
    luminance: Float32[np.ndarray, "height width"], valid: Bool[np.ndarray, "height width"], level: int
) -> Keypoints:
    reduced, usable = _reduced(luminance, LEVELS[level]), valid
    if reduced.shape != luminance.shape:
        usable = _reduced(valid.astype(np.float32), LEVELS[level]) > 0.99
    fine = ndimage.gaussian_filter(reduced, FINE_SIGMA_PX, truncate=3)
    places = _extrema(fine - ndimage.gaussian_filter(reduced, COARSE_SIGMA_PX, truncate=3), usable)
    coefficients, contrasts = _described(fine, places)
    kept = contrasts >= MIN_CONTRAST
    ratios = np.array(luminance.shape) / np.array(reduced.shape)
    centred = (places[kept] - (np.array(reduced.shape) - 1) / 2) * ratios
    return Keypoints(np.full(len(centred), level, np.uint8), centred.astype(np.float32), coefficients[kept])


def _reduced(picture: Float32[np.ndarray, "_height _width"], ratio: float) -> Float32[np.ndarray, "_h _w"]:
    if ratio == 1:
        return picture
    smooth = ndimage.gaussian_filter(picture, 0.4 / ratio, truncate=3)
    height, width = (max(1, round(side * ratio)) for side in picture.shape)
    zoom = (height / picture.shape[0], width / picture.shape[1])
    return ndimage.zoom(smooth, zoom, order=1, mode="nearest", grid_mode=True)


def _extrema(
    response: Float32[np.ndarray, "height width"], usable: Bool[np.ndarray, "height width"]
) -> Int64[np.ndarray, "count 2"]:
    """Extrema whose patch lies within what is usable, the strongest first."""
    strength = np.abs(response)
    allowed = np.zeros(usable.shape, np.bool_)
    inner = (slice(REACH_PX, usable.shape[0] - REACH_PX), slice(REACH_PX, usable.shape[1] - REACH_PX))
    side = 2 * REACH_PX + 1
    whole = usable if usable.all() else ndimage.minimum_filter(usable, size=side, mode="constant", cval=0)
    allowed[inner] = whole[inner]
    peaks = (strength == ndimage.maximum_filter(strength, size=NEIGHBOURHOOD_PX, mode="nearest")) & allowed
    places = np.argwhere(peaks & (strength > 0))
    most = math.ceil(KEYPOINTS_PER_PX * response.size)
    order = np.argsort(-strength[tuple(places.T)], kind="stable")
    return places[order[:most]]


def _described(
    fine: Float32[np.ndarray, "height width"], places: Int64[np.ndarray, "count 2"]
) -> tuple[Int8[np.ndarray, "count orders"], Float32[np.ndarray, "count"]]:
    """Coefficients of the patch around each place, and the patch's contrast in grey levels."""
    reach = np.arange(-REACH_PX, REACH_PX + 1, SPACING_PX)
    rows, columns = places[:, :1, None] + reach[:, None], places[:, 1:, None] + reach
    patches = fine[rows, columns].reshape(len(places), SAMPLES**2)
    patches = patches - patches.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(patches, axis=1)
    shares = (patches @ BASIS) / np.maximum(lengths, 1e-6)[:, None]
    coefficients = np.clip(np.rint(shares * UNIT), -127, 127).astype(np.int8)
    return coefficients, (lengths / SAMPLES).astype(np.float32)


def plain_words(keypoints: Keypoints) -> Words:
    """One word for each orientation in which a keypoint may be described."""
    return _words(keypoints, probes=1)


def probed_words(keypoints: Keypoints) -> Words:
    """As `plain_words`, with the words whose least certain signs are the other way."""
    return _words(keypoints, probes=PROBES)


def _words(keypoints: Keypoints, *, probes: int) -> Words:
    parts = [_laid(keypoints.coefficients, orientation) for orientation in range(orientations.COUNT)]
    indices = [np.flatnonzero(_is_canonical(part)) for part in parts]
    described = np.concatenate([part[index] for part, index in zip(parts, indices, strict=True)])[:, SIGNS]
    bits = np.left_shift(np.uint64(1), np.arange(len(SIGNS), dtype=np.uint64))
    words = ((described > 0) * bits).sum(axis=1, dtype=np.uint64)[:, None]
    if probes > 1:
        weakest = np.argsort(np.abs(described), axis=1, kind="stable")[:, :2]
        first, second = bits[weakest[:, :1]], bits[weakest[:, 1:]]
        words = np.concatenate([words, words ^ first, words ^ second, words ^ first ^ second], axis=1)
    numbers = np.repeat(np.arange(orientations.COUNT), [len(index) for index in indices])
    return Words(np.concatenate(indices), numbers, words)


def _laid(coefficients: Int8[np.ndarray, "count orders"], orientation: int) -> Int64[np.ndarray, "count orders"]:
    """Coefficients of patches after they are laid down in an orientation."""
    laid = coefficients.astype(np.int64)
    laid = laid[:, EXCHANGED] if orientation & 4 else laid
    laid = laid * FLIPPED[0] if orientation & 2 else laid
    return laid * FLIPPED[1] if orientation & 1 else laid


def _is_canonical(laid: Int64[np.ndarray, "count orders"]) -> Bool[np.ndarray, "count"]:
    down, across = laid[:, DOWN], laid[:, ACROSS]
    return (down > -SLOPE_TOLERANCE) & (across > -SLOPE_TOLERANCE) & (down - across > -SLOPE_TOLERANCE)
