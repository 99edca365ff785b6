"""Where windows, cores and tiles lie: integers only, absolute, in target pixels.

Every function works along one axis; an image is the product of its two axes. Windows are anchored to the image, never
to a tile, which is why a target pixel does not depend on how the image was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from hndsr_ensemble.scale import Scale


@dataclass(frozen=True, slots=True)
class WindowGeometry:
    """The fixed piece that a model sees: `window_px` target pixels every `stride_px`, with a halo of source pixels."""

    window_px: int
    stride_px: int
    source_halo_px: int = 0

    def __post_init__(self) -> None:
        if not self.stride_px < self.window_px <= 2 * self.stride_px:
            raise ValueError(
                f"stride {self.stride_px} must be below window {self.window_px}, which is at most twice it"
            )

    @property
    def overlap_px(self) -> int:
        """Target pixels shared by two neighbouring windows."""
        return self.window_px - self.stride_px


@dataclass(frozen=True, slots=True)
class Span:
    """A tile's extent along one axis; all ranges are half-open."""

    core_start: int
    core_stop: int
    source_start: int
    source_stop: int
    target_start: int
    target_stop: int


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of one image at one scale, cut into windows: `length` source pixels become `target_length`."""

    length: int
    scale: Scale
    window: WindowGeometry

    @property
    def target_length(self) -> int:
        """`max(1, floor(N·num/den + 1/2))` target pixels."""
        num, den = self.scale.numerator, self.scale.denominator
        return max(1, (2 * self.length * num + den) // (2 * den))

    @property
    def windows(self) -> int:
        """How many windows cover the target; also the number of cores."""
        beyond = self.target_length - self.window.window_px
        return 1 if beyond <= 0 else -(-beyond // self.window.stride_px) + 1

    @property
    def side(self) -> int:
        """Source pixels of a window, halo included: one number for all windows of a scale.

        Exactly P·den/num where that is a multiple of 8 and the stride falls on whole source pixels, else one more than
        its ceiling, so that any sub-pixel origin fits.
        """
        num, den = self.scale.numerator, self.scale.denominator
        exact = (self.window.window_px * den) % (8 * num) == 0 and (self.window.stride_px * den) % num == 0
        inner = self.window.window_px * den // num if exact else -(-self.window.window_px * den // num) + 1
        return inner + 2 * self.window.source_halo_px

    def window_start(self, index: int) -> int:
        """First target pixel of a window."""
        return index * self.window.stride_px

    def source_start(self, index: int) -> int:
        """First source pixel of a window, halo included; negative or beyond the image where it is mirrored."""
        return self.window_start(index) * self.scale.denominator // self.scale.numerator - self.window.source_halo_px

    def origin_numerator(self, index: int) -> int:
        """Sub-pixel offset of a window's first target pixel from its first source pixel (halo apart), times `num`."""
        return self.window_start(index) * self.scale.denominator % self.scale.numerator

    def source_indices(self, index: int) -> Int[np.ndarray, "side"]:
        """Source pixels a window sees, mirrored at the image's edges."""
        start = self.source_start(index)
        return mirror(np.arange(start, start + self.side), self.length)

    def core_bounds(self, index: int) -> tuple[int, int]:
        """Target pixels a window is responsible for: one stride, the last core runs to the image's edge."""
        stop = self.target_length if index == self.windows - 1 else (index + 1) * self.window.stride_px
        return index * self.window.stride_px, stop

    def span(self, core_start: int, core_stop: int) -> Span:
        """The tile made of cores `core_start … core_stop − 1`, with the source of all windows that touch it.

        Raises:
            ValueError: if the cores are none or not all in the image.
        """
        if not 0 <= core_start < core_stop <= self.windows:
            raise ValueError(f"cores {core_start}…{core_stop} are not within 0…{self.windows}")
        first = self.source_start(max(0, core_start - 1))
        last = self.source_start(core_stop - 1) + self.side
        return Span(
            core_start=core_start,
            core_stop=core_stop,
            source_start=max(0, first),
            source_stop=min(self.length, last),
            target_start=self.core_bounds(core_start)[0],
            target_stop=self.core_bounds(core_stop - 1)[1],
        )

    def spans(self, cores_per_tile: int) -> tuple[Span, ...]:
        """Cut the axis into tiles of `cores_per_tile` cores; the last one takes what is left."""
        starts = range(0, self.windows, cores_per_tile)
        return tuple(self.span(start, min(start + cores_per_tile, self.windows)) for start in starts)

    def nearest_source(self, target: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """The source pixel whose mask and value decide about each target pixel."""
        num, den = self.scale.numerator, self.scale.denominator
        return np.minimum(self.length - 1, ((2 * target + 1) * den) // (2 * num))


def mirror(indices: Int[np.ndarray, "n"], length: int) -> Int[np.ndarray, "n"]:
    """Fold indices of any size into `[0, length)` by symmetric reflection (the edge pixel is repeated)."""
    folded = indices % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)
