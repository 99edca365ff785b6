"""What networks begin with: weights of an earlier stage or an earlier run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from torch import nn

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.networks import load_weights
from hndsr_ensemble.training.config import NETWORKS
from hndsr_ensemble.training.durable import replaced
from hndsr_ensemble.training.errors import TrainingError

Network = TypeVar("Network", bound=nn.Module)


class MissingWeightsError(TrainingError):
    """A stage builds on a network that nothing has trained."""

    def __init__(self, *, stage: str, network: str, folder: Path) -> None:
        super().__init__(f"{stage} needs {network}.safetensors in {folder}: run the earlier stages, or give --from")


class WeightsError(TrainingError):
    """A weights file is broken, or belongs to another network."""

    def __init__(self, *, path: Path, cause: str) -> None:
        super().__init__(f"{path} does not hold this network's weights: {cause}")


class NoWeightsError(TrainingError):
    """There is nothing to begin with where there should be."""

    def __init__(self, *, folder: Path) -> None:
        names = ", ".join(f"{network}.safetensors" for network in NETWORKS)
        super().__init__(f"{folder} has none of {names}, and is no model repository")


def copy_weights(source: Path, into: Path) -> dict[str, str]:
    """Lay out the weights of a run, a folder or a model repository, to be begun with; their sha256 by network.

    Raises:
        NoWeightsError: there are none.
    """
    found = {network: path for network in NETWORKS for path in _places(source, network) if path.is_file()}
    if not found:
        raise NoWeightsError(folder=source)
    for network, path in found.items():
        with replaced(into / f"{network}.safetensors") as beside:
            shutil.copyfile(path, beside)
    return {network: file_digest(path) for network, path in found.items()}


def start_network(network: Network, folder: Path, name: str) -> Network:
    """A network with the weights of the folder, or as it is where there are none.

    Raises:
        WeightsError: the file is not this network's.
    """
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        return network
    try:
        return load_weights(network, path)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(path=path, cause=" ".join(str(error).split())) from error


def require_network(network: Network, folder: Path, name: str, *, stage: str) -> Network:
    """As `start_network`, of weights that must be there.

    Raises:
        MissingWeightsError: they are not.
        WeightsError: the file is not this network's.
    """
    if not (folder / f"{name}.safetensors").is_file():
        raise MissingWeightsError(stage=stage, network=name, folder=folder)
    return start_network(network, folder, name)


def _places(source: Path, network: str) -> list[Path]:
    """Where a network's weights may lie; the last that is there counts."""
    repository = source / NETWORKS[network] / "1" / "weights.safetensors"
    return [repository, source / "weights" / f"{network}.safetensors", source / f"{network}.safetensors"]
