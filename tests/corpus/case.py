"""What a case of the corpus is: a file that is built when it is asked for, and what must become of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

DAMAGED, UNSUPPORTED, TOO_LARGE = "IMAGE_DAMAGED", "UNSUPPORTED_FORMAT", "IMAGE_TOO_LARGE"
EMPTY, BOMB = "EMPTY_IMAGE", "DECOMPRESSION_BOMB"
IMAGE_REASONS = (DAMAGED, UNSUPPORTED, TOO_LARGE, EMPTY, BOMB)
PNG, JPEG, WEBP, TIFF = "PNG", "JPEG", "WebP", "TIFF"
SIZE = (11, 14)
"""Height and width of most pictures: no multiple of 8, so that bits and blocks are padded."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Pixels (height, width, 3), upright; they are compared where `valid`, up to `tolerance`.

    `alpha` None is opaque; `mask` None is True where alpha is not 0.
    """

    pixels: np.ndarray
    format: str
    alpha: np.ndarray | None = None
    mask: np.ndarray | None = None
    tolerance: int = 0

    @property
    def valid(self) -> np.ndarray:
        """The pixels that count."""
        if self.mask is not None:
            return self.mask
        return np.ones(self.pixels.shape[:2], bool) if self.alpha is None else self.alpha != 0


@dataclass(frozen=True, slots=True)
class Sized:
    """Any pixels of this height and width: what changed bytes make of a format without checksums."""

    size: tuple[int, int]
    format: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused for one of these reasons, in a message with this name in it."""

    reasons: tuple[str, ...]
    named: str = ""


@dataclass(frozen=True, slots=True)
class Either:
    """What the format leaves to its reader: right pixels or an honest refusal, never wrong ones."""

    accepted: Accepted | Sized
    refused: Refused


Expected = Accepted | Refused | Either


@dataclass(frozen=True, slots=True)
class Case:
    """One file; `name` is `group/what is special`."""

    name: str
    make: Callable[[], bytes] = field(repr=False)
    expected: Expected = field(repr=False)

    @property
    def content(self) -> bytes:
        """The file, built anew each time."""
        return self.make()

    @property
    def group(self) -> str:
        """What the name begins with."""
        return self.name.partition("/")[0]


def refused(name: str, make: Callable[[], bytes], *reasons: str, named: str = "") -> Case:
    """A file that is refused, as damaged unless another reason is named."""
    return Case(name, make, Refused(reasons or (DAMAGED,), named))


def either(name: str, make: Callable[[], bytes], accepted: Accepted | Sized, *reasons: str) -> Case:
    """A file that a reader may accept or refuse, as damaged unless another reason is named."""
    return Case(name, make, Either(accepted, Refused(reasons or (DAMAGED,))))


def noise(shape: tuple[int, ...], depth: int = 8, *, seed: int = 0) -> np.ndarray:
    """Random samples of so many bits, both ends of their range among them."""
    dtype = np.uint16 if depth == 16 else np.uint8
    samples = np.random.default_rng(seed).integers(0, 2**depth, shape, dtype=dtype)
    samples.flat[0], samples.flat[-1] = 0, 2**depth - 1
    return samples


def line(shape: tuple[int, ...]) -> np.ndarray:
    """Random samples at both ends of a long picture and one value between, which is enlarged without much work."""
    ends = noise(shape)
    samples = np.full_like(ends, 90)
    samples[:100, :100], samples[-100:, -100:] = ends[:100, :100], ends[-100:, -100:]
    return samples


def smooth(size: tuple[int, int] = (40, 56)) -> np.ndarray:
    """A picture that lossy formats keep up to a few levels, without any symmetry; 40 to 210 in every band."""
    rows, columns = np.linspace(0, 1, size[0])[:, None], np.linspace(0, 1, size[1])[None]
    bands = [rows + 0 * columns, columns + 0 * rows, (rows * 2 + columns) / 3]
    return np.stack([(40 + 170 * band).round() for band in bands], axis=-1).astype(np.uint8)


def grey(samples: np.ndarray) -> np.ndarray:
    """One band as three equal ones."""
    return np.repeat(samples.reshape(*samples.shape[:2], 1), 3, axis=2)


def cuts(pieces: Iterable[bytes]) -> Iterable[tuple[str, bytes]]:
    """A file cut behind each of its pieces but the last, and in the middle of each, beginning behind the first."""
    whole = b""
    for number, piece in enumerate(pieces):
        if number:
            yield f"before-piece-{number}", whole
            yield f"inside-piece-{number}", whole + piece[: len(piece) // 2]
        whole += piece


def constant(content: bytes) -> Callable[[], bytes]:
    """A builder of a file that is cheap to keep."""
    return lambda: content
