"""Whether what became of a file is what its case expects; the answer is a sentence, empty where it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from corpus.case import Accepted, Either, Expected, Refused, Sized


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was accepted."""

    pixels: np.ndarray
    format: str
    alpha: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """A file that was turned down."""

    reason: str
    message: str = ""


def disagreement(expected: Expected | Sized, outcome: Read | Turned) -> str:
    """What is wrong with an outcome, or nothing."""
    if isinstance(expected, Either):
        return disagreement(expected.refused if isinstance(outcome, Turned) else expected.accepted, outcome)
    if isinstance(outcome, Turned):
        return _refusal(expected, outcome)
    if isinstance(expected, Refused):
        return f"accepted as {outcome.pixels.shape}, must be refused: {', '.join(expected.reasons)}"
    return _shape(expected, outcome) or ("" if isinstance(expected, Sized) else _content(expected, outcome))


def _refusal(expected: Accepted | Sized | Refused, outcome: Turned) -> str:
    said = f"refused as {outcome.reason}: {outcome.message}"
    if not isinstance(expected, Refused):
        return said
    if outcome.reason not in expected.reasons:
        return f"{said}, must be {' or '.join(expected.reasons)}"
    named = expected.named.lower() in outcome.message.lower()
    return "" if named else f"{said}, must name {expected.named}"


def _shape(expected: Accepted | Sized, outcome: Read) -> str:
    size = expected.size if isinstance(expected, Sized) else expected.pixels.shape[:2]
    found, wanted = (outcome.pixels.shape, outcome.format), ((*size, 3), expected.format)
    return "" if found == wanted else f"accepted as {found}, must be {wanted}"


def _content(expected: Accepted, outcome: Read) -> str:
    if outcome.pixels.dtype != expected.pixels.dtype:
        return f"samples are {outcome.pixels.dtype}, must be {expected.pixels.dtype}"
    valid = expected.valid
    if not np.array_equal(_filled(outcome.mask, valid, True), valid):
        return "the mask is another"
    if not np.array_equal(_alpha(outcome), _alpha(expected)):
        return "alpha is another"
    return _difference(expected.pixels[valid], outcome.pixels[valid], expected.tolerance)


def _alpha(picture: Read | Accepted) -> np.ndarray:
    limit = np.iinfo(picture.pixels.dtype).max
    return _filled(picture.alpha, picture.pixels[..., 0], limit)


def _filled(plane: np.ndarray | None, like: np.ndarray, value: int) -> np.ndarray:
    return np.full_like(like, value) if plane is None else plane


def _difference(expected: np.ndarray, found: np.ndarray, tolerance: int) -> str:
    if not expected.size:
        return ""
    most = int(np.abs(expected.astype(np.int64) - found).max())
    return "" if most <= tolerance else f"pixels differ by up to {most}, allowed are {tolerance}"
