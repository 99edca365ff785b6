"""Write one network's ONNX file, check it against PyTorch, and only then give it its name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import onnx

from hndsr_ensemble.export import parity
from hndsr_ensemble.export.decoder import decoder_graph
from hndsr_ensemble.export.fno import fno_graph
from hndsr_ensemble.export.unet import unet_graph

WEIGHTS_FILE: Final = "weights.safetensors"
MODEL_FILE: Final = "model.onnx"
VERSION: Final = "1"


class Export(NamedTuple):
    """One network of the model repository."""

    model: str
    """Its folder in the repository."""
    graph: Callable[[Path], onnx.ModelProto]
    """Its ONNX graph over a weights file."""
    error: Callable[[Path, Path], float]
    """Largest absolute difference of an ONNX file from PyTorch with a weights file."""


EXPORTS: Final = (
    Export("fno", fno_graph, parity.fno_error),
    Export("unet", unet_graph, parity.unet_error),
    Export("decoder", decoder_graph, parity.decoder_error),
)


def export_model(entry: Export, repository: Path) -> float:
    """Write `model.onnx` beside the weights of `entry`; return its largest difference from PyTorch.

    Raises:
        ParityError: the difference exceeds `TOLERANCE`; an earlier `model.onnx` is left as it was.
    """
    folder = repository / entry.model / VERSION
    weights, candidate = folder / WEIGHTS_FILE, folder / f".{MODEL_FILE}.unchecked"
    try:
        candidate.write_bytes(entry.graph(weights).SerializeToString(deterministic=True))
        error = parity.require_parity(entry.error(candidate, weights))
        os.replace(candidate, folder / MODEL_FILE)  # noqa: PTH105 - atomic on every system, an existing file included
    finally:
        candidate.unlink(missing_ok=True)
    return error
