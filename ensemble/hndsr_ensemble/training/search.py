"""`hndsr-train search`: short runs with other settings, one after the other, to find better ones."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hndsr_ensemble.training.run import RECIPE
from hndsr_ensemble.training.searching import Order, search
from hndsr_ensemble.training.space import read_space

if TYPE_CHECKING:
    from argparse import _SubParsersAction

SPACE: Final = Path(__file__).with_name("space.toml")
EPILOG: Final = """\
DIR gets a folder for each trial, Optuna's journal, and best.toml: the recipe with the best settings, which
`hndsr-train run --config` takes. The first trial has the recipe's own. Trials that are worse than the median of the
others after as many steps are given up. The same command again goes on where the search stopped.
"""


def add_parser(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Add the subcommand to a parser's."""
    parser = subparsers.add_parser(
        "search",
        help="look for better settings by short runs",
        description="Look for better settings of the recipe by short runs.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--into", metavar="DIR", type=Path, required=True, help="folder of the search")
    parser.add_argument("--trials", metavar="N", type=_positive, required=True, help="until there are N in DIR")
    parser.add_argument("--config", metavar="FILE", type=Path, default=RECIPE, help="the recipe (default: the shipped)")
    parser.add_argument(
        "--space", metavar="FILE", type=Path, default=SPACE, help="what is tried (default: the shipped)"
    )
    parser.add_argument("--manifest", metavar="FILE", help="instead of data.manifest")
    parser.add_argument("--minutes", type=float, help="of a trial, instead of minutes")
    parser.add_argument("--from", metavar="FOLDER", dest="start", type=Path, help="weights that trials begin with")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default auto)")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Search; 0 when there are as many trials as wanted.

    Raises:
        TrainingError: the search cannot be done, or nothing was found.
    """
    order = Order(
        into=arguments.into,
        recipe=arguments.config,
        space=read_space(arguments.space),
        trials=arguments.trials,
        manifest=arguments.manifest,
        minutes=arguments.minutes,
        start=arguments.start,
        device=arguments.device,
    )
    best = search(order, say=_tell)
    sys.stdout.write(f"finished: {best}\n")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ArgumentTypeError("a positive number")
    return count
