"""onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path
from threading import BoundedSemaphore

import numpy as np
import onnxruntime as ort
from jaxtyping import Shaped

from hndsr_ensemble.engines.single import single_passes


class OnnxEngine:
    """One network as an ONNX graph, one window a pass.

    Args:
        model: path of the graph; its weights lie beside it.
        threads: cores it may use.
        streams: passes at once, each with its share of them.
    """

    precision = "fp32"
    device = "cpu"
    batch = 1
    name = f"onnxruntime {ort.__version__}"

    def __init__(self, model: Path, *, threads: int, streams: int = 1) -> None:
        options = ort.SessionOptions()
        # A pass runs in its caller's thread and as many of the session's own as are left.
        options.intra_op_num_threads = max(1, threads // streams)
        options.inter_op_num_threads = 1
        # A spinning pool steals the cores from the next network.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # More callers at once would only take each other's place in the caches.
        self._places = BoundedSemaphore(streams)
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run the windows one after the other."""
        return single_passes(inputs, self._pass)

    def _pass(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "1 ..."]:
        with self._places:
            return self._session.run(None, inputs)[0]
