"""The DDIM loop: priors in, latents out, calling the UNet for every step."""

import os
import sys

sys.path[:0] = filter(None, os.environ.get("HNDSR_SITE_PACKAGES", "").split(os.pathsep))

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from hndsr_ensemble.diffusion import draw_latent, read_residual_std
from hndsr_ensemble.installation import check_numpy
from hndsr_ensemble.manifest import check_noise, read_manifest

INPUTS = ("PRIOR", "SCALE", "SEED", "POSITION", "STEPS", "TEXTURE")


class TritonPythonModel:
    """Adapter between Triton's tensors and the sampler."""

    def initialize(self, args):
        check_numpy()
        repository = Path(args["model_repository"]).parent
        manifest = read_manifest(repository, "hndsr_window")
        manifest.check_files(repository, "unet")
        check_noise(manifest)
        self._residual_std = read_residual_std(repository / "unet" / "1" / "weights.safetensors")

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS}
        fixed = [pb_utils.Tensor(name, inputs[name]) for name in ("PRIOR", "SCALE")]
        latent = draw_latent(
            inputs["PRIOR"],
            velocity=lambda x, t: _velocity([pb_utils.Tensor("X", x), pb_utils.Tensor("T", t), *fixed]),
            residual_std=self._residual_std,
            **{name.lower(): inputs[name] for name in ("SEED", "POSITION", "STEPS", "TEXTURE")},
        )
        return pb_utils.InferenceResponse([pb_utils.Tensor("LATENT", np.ascontiguousarray(latent))])


def _velocity(inputs):
    response = pb_utils.InferenceRequest(model_name="unet", requested_output_names=["V"], inputs=inputs).exec()
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return pb_utils.get_output_tensor_by_name(response, "V").as_numpy()
