"""onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from jaxtyping import Shaped


class OnnxEngine:
    """One network as an ONNX graph, one window a pass.

    Args:
        model: path of the graph; its weights lie beside it.
        threads: cores it may use.
    """

    precision = "fp32"
    device = "cpu"
    batch = 1
    name = f"onnxruntime {ort.__version__}"

    def __init__(self, model: Path, *, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A spinning pool steals the cores from the next network of the ensemble.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run the windows one after the other."""
        count = len(next(iter(inputs.values())))
        rows = [{name: value[index : index + 1] for name, value in inputs.items()} for index in range(count)]
        return np.concatenate([self._session.run(None, row)[0] for row in rows])
