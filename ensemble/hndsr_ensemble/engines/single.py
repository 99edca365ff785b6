"""Batches for engines that run one window a pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped


def single_passes(
    inputs: dict[str, np.ndarray], run: Callable[[dict[str, np.ndarray]], np.ndarray]
) -> Shaped[np.ndarray, "n ..."]:
    """Run the windows of a batch one after the other; one that is alone is not copied."""
    count = len(next(iter(inputs.values())))
    if count == 1:
        return run(inputs)
    rows = ({name: value[index : index + 1] for name, value in inputs.items()} for index in range(count))
    return np.concatenate([run(row) for row in rows])
