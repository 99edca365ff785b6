"""What every engine can do."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped


@runtime_checkable
class Engine(Protocol):
    """Runs one network in a fixed batch, so that a window's bits do not depend on its neighbours in the batch.

    It may be called from any number of threads; as many passes run at once as it was loaded with streams, each on its
    share of the cores.
    """

    @property
    def name(self) -> str:
        """Part of the revision, for instance "onnxruntime 1.31.1"."""

    @property
    def precision(self) -> str:
        """Arithmetic of the network, for instance "fp32"."""

    @property
    def device(self) -> str:
        """Where it runs, for instance "cpu"."""

    @property
    def batch(self) -> int:
        """Windows of one pass."""

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run any number of windows, `batch` at a time.

        Args:
            inputs: by the network's lower-case names, each with the windows along its first axis.
        """
