"""`hndsr-train`: from imagery to a release, one subcommand for each step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hndsr_ensemble.training.errors import TrainingError

EXIT_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; an error that its user can put right is one line and exits with 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except TrainingError as error:
        sys.stderr.write(f"hndsr-train: {' '.join(str(error).split())}\n")
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    # Here, so that who imports this module gets none of what the subcommands need.
    from hndsr_ensemble.evaluation import command as evaluation  # noqa: PLC0415
    from hndsr_ensemble.training import registry, run, search  # noqa: PLC0415
    from hndsr_ensemble.training.imagery import prepare  # noqa: PLC0415
    from hndsr_ensemble.training.release import command as release  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="hndsr-train", description=__doc__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for part in (prepare, run, search, evaluation, release, registry):
        part.add_parser(subparsers)
    return parser
