"""What a command line asks for: images, a model, and the rows to measure it in."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from hndsr_ensemble.evaluation.evaluating import Order
from hndsr_ensemble.evaluation.measures import Perceptual
from hndsr_ensemble.evaluation.models import TiledModel, repository_model
from hndsr_ensemble.evaluation.tables import NoImagesError
from hndsr_ensemble.evaluation.truths import LETTERS, Grouping, Truth, evenly, truths_in, truths_of
from hndsr_ensemble.evaluation.unseen import in_words, require_unseen, seen_by
from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import Manifest, read_manifest

STEPS, TEXTURES = (4, 20), (1.0,)
FRONTIER_STEPS, FRONTIER_TEXTURES = (1, 2, 4, 8, 20), (0.5, 1.0, 1.5)


class TorchMissingError(TrainingError):
    """An option that needs torch, where there is none."""

    def __init__(self, *, option: str) -> None:
        super().__init__(f"{option} needs torch; install hndsr with the extra `train`")


def read_order(arguments: argparse.Namespace) -> Order:
    """What the command line asks for.

    Raises:
        SeenImageError: the weights were trained on some of the images.
        TrainingError: images, model or weights cannot be had.
    """
    grouping = Grouping(LETTERS if arguments.groups is None else arguments.groups)
    listed = None if arguments.manifest is None else read_manifest(arguments.manifest)
    found, where, validation = _images(arguments, listed, grouping)
    if not found:
        raise NoImagesError(where=where)
    images = evenly(found, arguments.limit)
    seen = seen_by(arguments.weights or arguments.repository or model_repository(), listed)
    require_unseen(images, seen.images, where=where)
    default_steps, default_textures = (FRONTIER_STEPS, FRONTIER_TEXTURES) if arguments.frontier else (STEPS, TEXTURES)
    steps = default_steps if arguments.steps is None else arguments.steps
    textures = default_textures if arguments.textures is None else arguments.textures
    return Order(
        images=images,
        images_are=f"{len(images)} of the {len(found)} of {where}",
        unseen=in_words(seen),
        validation=validation,
        model=_model(arguments),
        scales=tuple(dict.fromkeys(arguments.scales)),
        grid=tuple((count, texture) for count in steps for texture in textures),
        seed=arguments.seed,
        scene_px=arguments.scene_px,
        perceptual=None if arguments.lpips is None else _lpips(arguments.lpips),
    )


def _images(
    arguments: argparse.Namespace, listed: Manifest | None, grouping: Grouping
) -> tuple[tuple[Truth, ...], str, tuple[Truth, ...]]:
    """Truths, where they are from in words, and what gains are to be fixed on."""
    given = () if arguments.validation is None else truths_in(arguments.validation, grouping)
    if listed is None:
        return truths_in(arguments.images, grouping), f"the folder {arguments.images.name}", given
    validation = () if arguments.split == "val" else truths_of(listed, "val", grouping)
    where = f"split {arguments.split} of the manifest {listed.digest[:12]} with 8 bits a sample, valid everywhere"
    return truths_of(listed, arguments.split, grouping), where, given or validation


def _model(arguments: argparse.Namespace) -> TiledModel:
    if arguments.weights is not None:
        _require_torch("--weights")
        from hndsr_ensemble.evaluation.trained import weights_model  # noqa: PLC0415 - torch is an extra

        return weights_model(arguments.weights, device=arguments.device)
    return repository_model(arguments.repository or model_repository(), engine=arguments.engine)


def _lpips(weights: Path) -> Perceptual:
    _require_torch("--lpips")
    from hndsr_ensemble.evaluation.perceptual import load_lpips  # noqa: PLC0415

    return load_lpips(weights)


def _require_torch(option: str) -> None:
    try:
        importlib.import_module("torch")
    except ImportError as error:
        raise TorchMissingError(option=option) from error
