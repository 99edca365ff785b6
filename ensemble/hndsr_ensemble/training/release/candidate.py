"""A run's weights as a model repository that could be served: the current one with everything trained replaced."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int16
from safetensors import SafetensorError
from torch import nn

from hndsr_ensemble.choice import Machine
from hndsr_ensemble.export import EXPORTS, Export, ParityError, export_model
from hndsr_ensemble.export.command import WEIGHTS_FILE
from hndsr_ensemble.manifest import VERSION_FOLDER, Manifest, read_manifest
from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.probe import PROBE, TOLERANCE, Windows, committed_batches, quantise_windows
from hndsr_ensemble.release import DOCUMENTS, GOLDEN, TRAINED, write_manifest, write_probe
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.release.golden import write_golden
from hndsr_ensemble.training.release.installing import copy_repository
from hndsr_ensemble.training.release.torch_networks import torch_networks

NETWORKS: Final = {"fno": ("fno", FNO), "unet": ("unet", UNet), "decoder": ("autoencoder", Autoencoder)}
"""By Triton model: the name of a run's weights file, and its module."""
DOCUMENT: Final[dict[str, Any]] = next(document for document in DOCUMENTS if document["triton_model"] == TRAINED)

Arithmetic = Mapping[str, str]
"""An engine and its settings, by their variables."""
OPENVINO: Final = "openvino"
ELSEWHERE: Final[tuple[Arithmetic, ...]] = (
    {"HNDSR_ENGINE": "torch", "HNDSR_DEVICE": "cpu", "HNDSR_PRECISION": "bfloat16"},
    {"HNDSR_ENGINE": "torch", "HNDSR_DEVICE": "cpu", "HNDSR_PRECISION": "float16"},
    {"HNDSR_ENGINE": OPENVINO, "HNDSR_DEVICE": "cpu", "HNDSR_PRECISION": "bfloat16"},
)
"""In what other machines serve, imitated here: there, weights that miss their probe in it would not be served."""
ALLOWED_ELSEWHERE: Final = 0.9 * TOLERANCE
"""Grey levels; short of what a probe allows, since every machine rounds a little differently again."""


class UnusableWeightsError(TrainingError):
    """A run's weights are not those of the networks, or make a graph that computes something else."""

    def __init__(self, *, network: str, reason: str) -> None:
        super().__init__(f"the weights of {network} cannot be released: {reason}")


class UnaskedArithmeticError(TrainingError):
    """This machine cannot ask whether the candidate will be served in an arithmetic in which others serve."""

    def __init__(self, *, name: str, remedy: str) -> None:
        super().__init__(
            f"this machine cannot ask the probe in the arithmetic of {name}, in which others serve: {remedy}, or "
            "release with --without-openvino, which the card then says"
        )


def build_candidate(weights: Path, current: Path, folder: Path) -> Manifest:
    """Make a repository of a run's weights.

    Args:
        weights: the run's, one file a network.
        current: the repository whose other files are taken over.
        folder: to make; it must not exist.

    Raises:
        UnusableWeightsError: weights of another shape, or not numbers.
    """
    copy_repository(current, folder)
    for model, (name, module) in NETWORKS.items():
        _take_weights(weights / f"{name}.safetensors", module(), folder / model / VERSION_FOLDER)
    for entry in EXPORTS:
        _export(entry, folder)
    manifest = write_manifest(folder, DOCUMENT)
    write_probe(folder, manifest)
    write_golden(folder / GOLDEN, torch_networks(folder))
    return manifest


def write_provenance(folder: Path, provenance: Mapping[str, Any]) -> Manifest:
    """Say in the candidate's manifest where it comes from; that decides no pixel, so its digest stays."""
    return write_manifest(folder, DOCUMENT, provenance=provenance)


def name_of(arithmetic: Arithmetic) -> str:
    """An arithmetic in words."""
    return " ".join(arithmetic.values())


def check_askable(arithmetics: Iterable[Arithmetic], machine: Machine) -> None:
    """Look whether a machine has all arithmetics, before anything is computed.

    Raises:
        UnaskedArithmeticError: it lacks one.
    """
    for arithmetic in arithmetics:
        if arithmetic["HNDSR_ENGINE"] != OPENVINO:
            continue
        if OPENVINO not in machine.installed:
            raise UnaskedArithmeticError(name=name_of(arithmetic), remedy="pip install 'hndsr[openvino]'")
        if not machine.native_bf16:
            raise UnaskedArithmeticError(name=name_of(arithmetic), remedy="take a processor with AMX or AVX512-BF16")


def differences_elsewhere(folder: Path, arithmetics: Iterable[Arithmetic]) -> dict[str, float]:
    """How far other arithmetics are off the candidate's probe, in grey levels; infinite where an answer is no number.

    Args:
        folder: of the candidate.
        arithmetics: that this machine has, see `check_askable`.
    """
    manifest, found = read_manifest(folder, TRAINED), dict[str, float]()
    with np.load(folder / TRAINED / VERSION_FOLDER / PROBE) as probe:
        expected = probe["windows"].astype(np.int16)
    for arithmetic in arithmetics:
        run = load_pipeline(folder, manifest, ServingSettings.from_environment(arithmetic))
        windows = tuple(run(batch) for batch in committed_batches(folder, manifest))
        found[name_of(arithmetic)] = _difference(windows, expected)
    return found


def _take_weights(source: Path, network: nn.Module, folder: Path) -> None:
    try:
        load_weights(network, source)
    except (RuntimeError, SafetensorError) as error:
        raise UnusableWeightsError(network=source.stem, reason=" ".join(str(error).split())) from error
    if not all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values()):
        raise UnusableWeightsError(network=source.stem, reason="some are no numbers")
    shutil.copyfile(source, folder / WEIGHTS_FILE)


def _export(entry: Export, folder: Path) -> None:
    try:
        export_model(entry, folder)
    except ParityError as error:
        raise UnusableWeightsError(network=entry.model, reason=str(error)) from error


def _difference(windows: Windows, expected: Int16[np.ndarray, "n p p 3"]) -> float:
    if not all(np.isfinite(window).all() for window in windows):
        return math.inf
    return float(np.abs(quantise_windows(windows) - expected).mean(axis=(1, 2, 3)).max())
