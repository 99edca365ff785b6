"""`hndsr-train release` and `hndsr-train verify`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.training.release.verification import verify

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EXIT_WRONG: Final = 1
EXIT_REFUSED: Final = 3


def add_parser(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Add both subcommands."""
    _add_release(subparsers)
    _add_verify(subparsers)


def run_release(arguments: Namespace) -> int:
    """Release a run; 0 if it was installed, 3 if it is worse somewhere.

    Raises:
        TrainingError: it cannot be judged, or not be installed.
    """
    # Verifying, which serving machines do, works without torch.
    from hndsr_ensemble.training.release.candidate import ELSEWHERE, OPENVINO  # noqa: PLC0415
    from hndsr_ensemble.training.release.releasing import Order, release  # noqa: PLC0415
    from hndsr_ensemble.training.release.sets import parse_sets  # noqa: PLC0415

    left_out = {OPENVINO} if arguments.without_openvino else set[str]()
    order = Order(
        run=arguments.run_folder,
        sets=parse_sets(arguments.sets),
        into=arguments.into,
        data=arguments.data,
        licence=arguments.licence,
        engine=arguments.engine,
        elsewhere=tuple(one for one in ELSEWHERE if one["HNDSR_ENGINE"] not in left_out),
    )
    outcome = release(order, say=_tell)
    for comparison in outcome.comparisons:
        _answer(f"{'worse' if comparison.is_worse else 'ok   '} {comparison}")
    if outcome.unknown:
        _tell(f"it is not known whether the weights have seen images of the sets: {outcome.unknown}")
    for reason in outcome.reasons:
        _tell(f"refused: {reason}")
    if outcome.reasons:
        return EXIT_REFUSED
    _answer(f"installed in {order.into}: manifest {outcome.digest[:12]}; services take it up when restarted")
    return 0


def run_verify(arguments: Namespace) -> int:
    """Check a model repository; 0 if all is right, else 1."""
    is_right = True
    for check in verify(arguments.repository or model_repository()):
        _answer(str(check))
        is_right &= not check.fault
    return 0 if is_right else EXIT_WRONG


def _add_release(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "release",
        help="judge a run on declared images and install its weights if they are worse nowhere",
        description="Exit 0: installed. Exit 2: not judged or not installed. Exit 3: refused, nothing was installed.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a finished run")
    parser.add_argument(
        "--set",
        metavar="NAME=IMAGES",
        dest="sets",
        action="append",
        required=True,
        help="images that the run never saw, of 8 scenes or more: a folder, or a manifest, of which it is the split"
        " test; once for each set",
    )
    parser.add_argument(
        "--into",
        metavar="REPOSITORY",
        type=Path,
        required=True,
        help="model repository to replace, or a new folder; a new one is compared with what this installation serves",
    )
    parser.add_argument(
        "--data", metavar="TEXT", required=True, help="what was trained on and its licence, as the card says it"
    )
    parser.add_argument("--licence", metavar="TEXT", default="MIT", help="of the weights (default: %(default)s)")
    parser.add_argument(
        "--engine",
        choices=("auto", "onnxruntime", "openvino", "torch"),
        default="onnxruntime",
        help="what runs both models for the comparison (default: %(default)s)",
    )
    parser.add_argument(
        "--without-openvino",
        action="store_true",
        help="where this machine has no OpenVINO or no bfloat16: leave open whether weights are served in that",
    )
    parser.set_defaults(run=run_release)


def _add_verify(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "verify",
        help="check a model repository: files, probes, golden file; offline",
        description="One line a check. Exit 0: all is right. Exit 1: something is not what was released.",
    )
    parser.add_argument(
        "repository", metavar="REPOSITORY", type=Path, nargs="?", help="default: the one of this installation"
    )
    parser.set_defaults(run=run_verify)


def _answer(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
