"""The three stages of training, each on what the ones before it left behind."""

from __future__ import annotations

from pathlib import Path

from hndsr_ensemble.training.config import TrainingConfig
from hndsr_ensemble.training.stages.autoencoder import AutoencoderStage
from hndsr_ensemble.training.stages.diffusion import DiffusionStage
from hndsr_ensemble.training.stages.prior import PriorStage
from hndsr_ensemble.training.stages.stage import Compiler, Losses, Stage

__all__ = ["AutoencoderStage", "Compiler", "DiffusionStage", "Losses", "PriorStage", "Stage", "make_stage"]


def make_stage(name: str, config: TrainingConfig, weights: Path) -> Stage:
    """A stage by its name; its networks begin with the weights of the folder, else at random.

    Raises:
        MissingWeightsError: the folder lacks what an earlier stage makes.
        WeightsError: a file of the folder belongs to another network.
    """
    if name == "autoencoder":
        return AutoencoderStage(config.autoencoder, weights)
    if name == "prior":
        return PriorStage(config.prior, weights)
    return DiffusionStage(config.diffusion, weights)
