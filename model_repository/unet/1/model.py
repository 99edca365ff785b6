"""The diffusion UNet: one evaluation of the velocity."""

import os
import sys

sys.path[:0] = filter(None, os.environ.get("HNDSR_SITE_PACKAGES", "").split(os.pathsep))

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from hndsr_ensemble.engines import load_engine
from hndsr_ensemble.installation import check_numpy
from hndsr_ensemble.manifest import read_manifest
from hndsr_ensemble.serving import ServingSettings

INPUTS = ("X", "T", "PRIOR", "SCALE")


class TritonPythonModel:
    """Adapter between Triton's tensors and an engine."""

    def initialize(self, args):
        check_numpy()
        repository = Path(args["model_repository"]).parent
        read_manifest(repository, "hndsr_window").check_files(repository, "unet")
        self._engine = load_engine(repository, "unet", ServingSettings.from_environment())

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS}
        output = self._engine.run({name.lower(): value for name, value in inputs.items()})
        return pb_utils.InferenceResponse([pb_utils.Tensor("V", np.ascontiguousarray(output))])
