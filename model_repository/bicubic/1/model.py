"""Bicubic interpolation as a window model: the row that every other model is compared with."""

import os
import sys

sys.path[:0] = filter(None, os.environ.get("HNDSR_SITE_PACKAGES", "").split(os.pathsep))

from pathlib import Path

import triton_python_backend_utils as pb_utils
from hndsr_ensemble.bicubic import bicubic_windows
from hndsr_ensemble.installation import check_numpy
from hndsr_ensemble.manifest import read_manifest
from hndsr_ensemble.scale import Scale

INPUTS = ("LR", "POSITION", "RATIO")


class TritonPythonModel:
    """Adapter between Triton's tensors and the interpolation."""

    def initialize(self, args):
        check_numpy()
        self._geometry = read_manifest(Path(args["model_repository"]).parent, "bicubic").geometry

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        lr, position, ratio = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS)
        scale = Scale(*(int(term) for term in ratio[0]))
        windows = bicubic_windows(lr, position, scale=scale, geometry=self._geometry)
        return pb_utils.InferenceResponse([pb_utils.Tensor("WINDOW", windows)])
