"""Answers with its input reversed."""

import os
import sys
from typing import Any

sys.path[:0] = os.environ["HNDSR_SITE_PACKAGES"].split(os.pathsep)

import numpy as np  # noqa: E402 - found through the path that the statement above sets
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    """The smallest model that shows bytes pass both ways."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Reverse each request's input."""
        inputs = (pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests)
        outputs = (pb_utils.Tensor("Y", np.ascontiguousarray(values[::-1])) for values in inputs)
        return [pb_utils.InferenceResponse([output]) for output in outputs]
