"""A batch of windows on its way to a window model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """What a window model may ask for. `positions` are the windows' corners in absolute target pixels."""

    lr: Float32[np.ndarray, "n 3 s s"]
    positions: Int64[np.ndarray, "n 2"]
    scale: Scale
    options: Options

    def tensors(self, names: Iterable[str]) -> dict[str, Shaped[np.ndarray, "n ..."]]:
        """The tensors a model declares as its inputs, each with the windows along its first axis."""
        return {name: TENSORS[name](self) for name in names}

    @property
    def origins(self) -> Float32[np.ndarray, "n 2"]:
        """(y, x) of each window's corner in source pixels from its first source pixel, in [0, 1)."""
        numerator, denominator = self.scale.numerator, self.scale.denominator
        return (self.positions * denominator % numerator / numerator).astype(np.float32)

    def repeat(self, value: int | float, dtype: type[np.generic]) -> Shaped[np.ndarray, "n"]:  # noqa: PYI041 - checked
        """One number for every window."""
        return np.full(len(self.lr), value, dtype=dtype)


WindowFunction = Callable[[WindowBatch], Float32[np.ndarray, "n 3 p p"]]
"""A window model: source windows in, target windows in [-1, 1] out."""

TENSORS: dict[str, Callable[[WindowBatch], Shaped[np.ndarray, "n ..."]]] = {
    "LR": lambda batch: batch.lr,
    "POSITION": lambda batch: batch.positions,
    "ORIGIN": lambda batch: batch.origins,
    "SCALE": lambda batch: batch.repeat(float(batch.scale), np.float32),
    "RATIO": lambda batch: np.tile(
        np.array([batch.scale.numerator, batch.scale.denominator], np.int64), (len(batch.lr), 1)
    ),
    "SEED": lambda batch: batch.repeat(batch.options.seed, np.uint64),
    "STEPS": lambda batch: batch.repeat(batch.options.steps, np.int32),
    "TEXTURE": lambda batch: batch.repeat(batch.options.texture, np.float32),
}
"""The vocabulary of window tensors: a manifest names those that its model takes."""
