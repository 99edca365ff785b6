"""`hndsr-train evaluate`: how good a model is, next to bicubic, as tables and pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE
from hndsr_ensemble.scale import Scale, ScaleError
from hndsr_ensemble.training.errors import TrainingError

SPLITS = ("train", "val", "test")
DOCUMENT, PAGE, PICTURES = "evaluation.json", "evaluation.md", "pictures.html"
MAX_SEED = 2**32

Value = TypeVar("Value")


class OutputError(TrainingError):
    """The results cannot be written."""

    def __init__(self, *, folder: Path, reason: str) -> None:
        super().__init__(f"nothing can be written to {folder}: {reason}")


def add_parser(subparsers: Any) -> None:
    """Add the subcommand `evaluate`.

    Args:
        subparsers: as `ArgumentParser.add_subparsers` returns them.
    """
    parser = subparsers.add_parser("evaluate", help="measure a model next to bicubic", description=__doc__)
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--images", type=Path, metavar="FOLDER", help="truths: a folder of images of 8 bits")
    images.add_argument("--manifest", type=Path, metavar="FILE", help="truths: a split of what `prepare` wrote")
    parser.add_argument("--split", choices=SPLITS, default="test", help="of the manifest (default: test)")
    parser.add_argument("--validation", type=Path, metavar="FOLDER", help=_VALIDATION)
    parser.add_argument("--limit", type=_whole(1, None), default=0, metavar="N", help="measure N images, evenly spread")
    parser.add_argument("--groups", metavar="REGEX", help="the group of an image: the one group of this over its path")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--repository", type=Path, metavar="FOLDER", help="model repository (default: installed)")
    model.add_argument("--weights", type=Path, metavar="FOLDER", help="weights of a run instead; needs torch")
    parser.add_argument(
        "--engine", default="onnxruntime", help="of the repository: onnxruntime (default), openvino, torch"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of the weights")
    parser.add_argument("--scales", type=_several(_scale), default=_several(_scale)("2,4,8"), help="default: 2,4,8")
    parser.add_argument("--steps", type=_several(_whole(0, MAX_STEPS)), help="of diffusion rows (default: 4,20)")
    parser.add_argument("--textures", type=_several(_texture), help="of diffusion rows (default: 1)")
    parser.add_argument("--frontier", action="store_true", help="steps 1 to 20 by textures 0.5 to 1.5 instead")
    parser.add_argument("--seed", type=_whole(0, MAX_SEED - 1), default=0, help="of noise (default: 0)")
    parser.add_argument("--scene-px", type=_whole(0, None), default=704, help=_SCENE)
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="weights of LPIPS, to measure it too; needs torch")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="where results are written")
    parser.set_defaults(run=run)


_VALIDATION = (
    "images that the gain of the sharpened prior is fixed on (default: the manifest's split val, or else the measured "
    "images themselves, which the result then says)"
)
_SCENE = "side of the drawn scene in which seams are looked for; 0 for none (default: 704)"


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, and write what came out; 0.

    Raises:
        TrainingError: what was asked for cannot be measured, or written.
    """
    from hndsr_ensemble.evaluation.evaluating import evaluate  # noqa: PLC0415 - SciPy takes a second to import
    from hndsr_ensemble.evaluation.orders import read_order  # noqa: PLC0415
    from hndsr_ensemble.evaluation.report import document, page  # noqa: PLC0415

    order = read_order(arguments)
    _make(arguments.into)
    evaluated = evaluate(order)
    text = page(evaluated.evaluation)
    _write(arguments.into / DOCUMENT, json.dumps(document(evaluated.evaluation), indent=1, allow_nan=False) + "\n")
    _write(arguments.into / PAGE, text)
    _write(arguments.into / PICTURES, evaluated.pictures)
    sys.stdout.write(f"{text}\nwritten to {arguments.into}: {DOCUMENT}, {PAGE}, {PICTURES}\n")
    return 0


def _make(folder: Path) -> None:
    """Before hours of measuring, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder=folder, reason=str(error)) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(folder=path.parent, reason=str(error)) from error


def _several(one: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Of values with commas between them."""

    def values(text: str) -> tuple[Value, ...]:
        return tuple(one(part.strip()) for part in text.split(","))

    return values


def _scale(text: str) -> Scale:
    try:
        return Scale.parse(text)
    except ScaleError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _whole(least: int, most: int | None) -> Callable[[str], int]:
    def value(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            limit = "" if most is None else f" up to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}{limit}")
        return int(text)

    return value


def _texture(text: str) -> float:
    try:
        texture = float(text)
    except ValueError:
        texture = -1.0
    if not 0 <= texture <= MAX_TEXTURE:
        raise argparse.ArgumentTypeError(f"{text!r} is no texture from 0 to {MAX_TEXTURE:g}")
    return texture
