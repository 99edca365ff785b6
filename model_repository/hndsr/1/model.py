"""Tiling: one tile in, its target out, for every window model of the repository."""

import os
import sys

sys.path[:0] = filter(None, os.environ.get("HNDSR_SITE_PACKAGES", "").split(os.pathsep))

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from hndsr_ensemble.installation import check_numpy
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tile_service import TileRequestError, TileService

INPUTS = (
    *("MODEL", "PIXELS_U8", "PIXELS_U16", "MASK", "GEOMETRY", "RANGES"),
    *("STEPS", "TEXTURE", "SEED", "REQUIRED_REVISION"),
)


class TritonPythonModel:
    """Adapter between Triton's tensors and the tiler."""

    def initialize(self, args):
        check_numpy()
        # Networks lie beside this model, also where Triton itself is given a link to this one alone.
        repository = Path(__file__).resolve().parents[2]
        settings, device_index = ServingSettings.from_environment(), int(args["model_instance_device_id"])
        self._service = TileService(repository, settings, _window, device_index=device_index)
        self._service.warm_up()

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        tensors = ((name, pb_utils.get_input_tensor_by_name(request, name)) for name in INPUTS)
        inputs = {name: tensor if tensor is None else tensor.as_numpy() for name, tensor in tensors}
        try:
            answer = self._service.answer(inputs, request.requested_output_names(), cancelled=request.is_cancelled)
        except TileRequestError as error:
            code = getattr(pb_utils.TritonError, error.code)
            return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error), code))
        return pb_utils.InferenceResponse([_tensor(name, value) for name, value in answer.items()])


def _tensor(name, value):
    return pb_utils.Tensor(name, value) if isinstance(value, np.ndarray) else pb_utils.Tensor.from_dlpack(name, value)


def _window(model, tensors):
    request = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=["WINDOW"],
        inputs=[pb_utils.Tensor(name, value) for name, value in tensors.items()],
    )
    response = request.exec()
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return pb_utils.get_output_tensor_by_name(response, "WINDOW").as_numpy()
