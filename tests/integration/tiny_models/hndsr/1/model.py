"""Enlarges whole images twofold by repeating pixels; the seed of a request says what else happens."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ["HNDSR_SITE_PACKAGES"].split(os.pathsep)

import numpy as np  # noqa: E402 - found through the path that the statement above sets
import triton_python_backend_utils as pb_utils  # noqa: E402

REFUSES, FAILS, HANGS = 1, 2, 3


class TritonPythonModel:
    """What the gateway takes for its tiling model."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer tiles, and requests without one with the description that the environment holds."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        name = next((name for name in ("PIXELS_U8", "PIXELS_U16") if _input(request, name) is not None), None)
        if name is None:
            text = json.dumps({"models": [json.loads(os.environ["TINY_MODEL"])]})
            described = pb_utils.Tensor("DESCRIPTION", np.array([text.encode()], dtype=np.object_))
            return pb_utils.InferenceResponse([described])
        seed = int(_input(request, "SEED")[0])
        if seed == REFUSES:
            return pb_utils.InferenceResponse([], pb_utils.TritonError("TILE_MISMATCH: for a test"))
        if seed == FAILS:
            raise RuntimeError("for a test")
        if seed == HANGS:
            _hang(Path(os.environ["TINY_FOLDER"]), int(_input(request, "STEPS")[0]))
        target = _input(request, name).repeat(2, axis=0).repeat(2, axis=1)
        outputs = {name: target, "MASK": np.zeros(0, np.uint8), "STATS": np.array([7, 0, 0, 0], np.int64)}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])


def _hang(folder: Path, number: int) -> None:
    """Say that a tile is worked on, and go on when told to, whether its caller still waits or not."""
    (folder / f"working-{number}").touch()
    while not (folder / f"go-{number}").exists():
        time.sleep(0.01)


def _input(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()
