"""`hndsr-train run`: from a manifest to weights."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from hndsr_ensemble.training.config import STAGES, TrainingConfig, read_config

RECIPE: Final = Path(__file__).with_name("recipe.toml")
EPILOG: Final = """\
RUN gets the configuration, a log, checkpoints and, at the end of each stage, weights. The same command again goes on
where the run stopped, however it ended. Several processes share the work when torchrun starts them:

  torchrun --nproc-per-node 4 -m hndsr_ensemble.training run --into RUN
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to a parser's."""
    parser = subparsers.add_parser(
        "run",
        help="train the networks on a manifest's images",
        description="Train the networks: autoencoder, prior, diffusion.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--into", metavar="RUN", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the recipe (default: RUN's own once it is begun, else the shipped one)",
    )
    parser.add_argument("--manifest", metavar="FILE", help="instead of data.manifest")
    parser.add_argument("--minutes", type=float, help="for all stages together, instead of minutes")
    parser.add_argument(
        "--stages", metavar="NAME,...", type=_stages, default=STAGES, help=f"only these of {', '.join(STAGES)}"
    )
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", dest="changes", action="append", default=[], help="as prior.learning_rate=3e-4"
    )
    parser.add_argument(
        "--from", metavar="FOLDER", dest="start", type=Path, help="weights to begin with: a run's or a repository's"
    )
    parser.add_argument(
        "--checkpoints", metavar="FOLDER", type=Path, help="where checkpoints go (default RUN/checkpoints)"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(default auto)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train; 0 when all stages are finished.

    Raises:
        TrainingError: configuration, data or an earlier part of the run are not as they should be.
    """
    # The help of the command must not wait for torch.
    from hndsr_ensemble.training.execution import open_execution  # noqa: PLC0415
    from hndsr_ensemble.training.recipe import train  # noqa: PLC0415
    from hndsr_ensemble.training.run_folder import RunFolder  # noqa: PLC0415
    from hndsr_ensemble.training.tracking import open_tracking  # noqa: PLC0415

    config, root = _config(arguments), arguments.into
    folder = RunFolder(root, arguments.checkpoints or root / "checkpoints")
    with open_execution(config, arguments.device) as execution, ExitStack() as stack:
        if execution.is_first:
            stack.enter_context(folder.locked())
            folder.begin(config, arguments.start)
        execution.wait()
        with open_tracking(config.tracking, root, writes=execution.is_first) as tracking:
            train(config, folder, execution, tracking)
        if execution.is_first:
            sys.stdout.write(f"finished: {folder.weights}\n")
    return 0


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    begun = arguments.into / "config.toml"
    path = arguments.config or (begun if begun.is_file() else RECIPE)
    named = {"data.manifest": arguments.manifest, "minutes": arguments.minutes}
    changes = [f"{name}={value}" for name, value in named.items() if value is not None]
    left_out = [f"{name}.steps=0" for name in STAGES if name not in arguments.stages]
    return read_config(path, [*changes, *arguments.changes, *left_out])


def _stages(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(STAGES)}")
    return names
