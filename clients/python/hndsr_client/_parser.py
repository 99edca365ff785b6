"""The command line of `hndsr`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hndsr_client import _commands, _probe_command, _raster_commands
from hndsr_client._console import KEY_VARIABLE
from hndsr_client._core.files import EXTENSIONS
from hndsr_client._exit_codes import (
    DEADLINE,
    INTERRUPTED,
    LOCAL_FILE,
    OK,
    REFUSED,
    TELLING,
    UNAVAILABLE,
    UNFORESEEN,
    USAGE,
    WRONG_ANSWER,
)
from hndsr_client._probe import BICUBIC
from hndsr_client._raster_parser import PathsParser, add_pixels, add_writing

TARGET_VARIABLE = "HNDSR_TARGET"
DEFAULT_TARGET = "127.0.0.1:50051"
MAX_TILE_CORES = 16

EPILOG = f"""\
environment:
  {TARGET_VARIABLE}   the service to call where --target is not given (default {DEFAULT_TARGET})
  {KEY_VARIABLE}  says to the service who calls: the API key that its operator gave you

exit codes:
  {OK}    done
  {UNFORESEEN}    something unforeseen, here or in the service
  {USAGE}    the command line is wrong
  {REFUSED}    the service refused the image or its options
  {UNAVAILABLE}    the service cannot be reached or cannot answer now
  {DEADLINE}    the time allowed by --timeout passed
  {LOCAL_FILE}    a file on this machine cannot be read or written, or the destination exists
  {WRONG_ANSWER}    the service answered wrong bytes (hndsr probe)
  {INTERRUPTED}  interrupted by Ctrl-C
"""
UPSCALE_USAGE = """\
hndsr upscale [options] SRC DST
       hndsr upscale [options] SRC [SRC ...] FOLDER/
"""
UPSCALE_EPILOG = """\
Any raster that GDAL reads becomes a GeoTIFF or zarr with its georeference, an array (height, width, 3) of uint8 or
uint16 another array, both tile by tile, whatever their size. Where that was interrupted, the same command goes on.
Any other DST is made of an image file in one call.
"""
PLAN_USAGE = """\
hndsr plan [options] SCENE
       hndsr plan [options] HEIGHT WIDTH
"""
VERIFY_EPILOG = """\
A target is compared with the checksums that were written into it when it was made. For what is unfinished, the work
files are compared with those of the journal.

exit code: 0 if all is as it was made, 1 if samples are not or tiles are missing, 6 for what cannot be read
"""
BATCH_EPILOG = f"""\
Of GeoTIFF and other scenes the pixels alone are taken, in one call each. To keep what else they say, and for large
ones: hndsr upscale SRC [SRC ...] FOLDER/

exit code: 0 if no file failed, else that of the failure which a second try is least likely to mend, in the order
{", ".join(map(str, TELLING[:-1]))}. What they mean: hndsr --help
"""
PROBE_EPILOG = f"""\
A built-in image of 16 x 16 px is upscaled by 2, in a call that is not tried again. What {BICUBIC} answers is compared
with what it must answer; what another model answers with what it streams, and its revision with the one described.

exit code: 0 if all is well, {WRONG_ANSWER} if it answered wrong bytes, else as hndsr --help says; with --listen 0,
when SIGTERM has come
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser, whose `run` is the subcommand's function."""
    parser = argparse.ArgumentParser(
        prog="hndsr",
        description="Super-resolution of satellite and aerial images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hndsr {version('hndsr-client')}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=PathsParser
    )
    _add_upscale(commands)
    _add_batch(commands)
    _add_compare(commands)
    _add_plan(commands)
    _add_verify(commands)
    _add_info(commands)
    _add_probe(commands)
    return parser


def _add_upscale(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = _subparser(
        commands,
        "upscale",
        help="upscale a raster, a large array or an image file",
        usage=UPSCALE_USAGE,
        epilog=UPSCALE_EPILOG,
    )
    parser.set_defaults(run=_commands.upscale)
    parser.add_argument(
        "sources",
        metavar="SRC",
        nargs="+",
        help="what to upscale: a raster that GDAL opens (also an address), a .npy file or an image file; a pattern "
        "such as 'scenes/*.tif' stands for the files it matches",
    )
    parser.add_argument(
        "destination",
        metavar="DST",
        help=f"what to make: {', '.join(EXTENSIONS)}, .zarr, or .npy of .npy; it appears when it is whole. Or a "
        "folder, in which each SRC becomes a .tif with its --suffix",
    )
    _add_naming(parser)
    parser.add_argument("--dry-run", action="store_true", default=None, help="say what it would take, and do nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress and no closing line")
    parser.add_argument("--reference", metavar="FILE", help="the truth: say how close DST comes, and bicubic beside it")
    add_pixels(parser)
    _add_parameters(parser)
    _add_manner(parser)
    _add_streaming(parser)
    _add_encoding(parser)
    add_writing(parser)
    form = _add_connection(parser)
    form.add_argument(
        "--json-lines", action="store_true", default=None, help="print progress, and how it ended, as lines of JSON"
    )


def _add_naming(parser: argparse.ArgumentParser) -> None:
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace what exists under the name of DST")
    existing.add_argument(
        "--skip-existing", action="store_true", default=None, help="leave a raster alone whose DST exists"
    )
    parser.add_argument(
        "--suffix", metavar="TEXT", help="in a folder: put between name and extension (default _x and the scale: _x4)"
    )


def _add_batch(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = _subparser(commands, "batch", help="upscale many image files into a folder", epilog=BATCH_EPILOG)
    parser.set_defaults(run=_commands.batch)
    parser.add_argument("sources", metavar="SRC", nargs="+", help="the image files")
    parser.add_argument("--into", metavar="FOLDER", required=True, help="where the files go; made if it is missing")
    parser.add_argument("--suffix", metavar="TEXT", default="", help="put between name and extension, such as _x4")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="files at once (default 4)")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace files that exist")
    existing.add_argument("--skip-existing", action="store_true", help="leave out what exists, to go on with a batch")
    parser.add_argument("--quiet", action="store_true", help="no progress and no closing line")
    _add_encoding(parser).add_argument(
        "--format", choices=sorted(set(EXTENSIONS.values())), help="of the files made (default: that of each source)"
    )
    _add_parameters(parser)
    _add_manner(parser)
    _add_connection(parser, json_help="print a line of JSON for each file as it ends")


def _add_compare(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = commands.add_parser("compare", help="say how close an image file is to another of the same size")
    parser.set_defaults(run=_commands.compare)
    parser.add_argument("image", metavar="IMAGE", help="the image file to measure")
    parser.add_argument("reference", metavar="REFERENCE", help="the image file that is taken for the truth")
    parser.add_argument(
        "--data-range",
        type=float,
        metavar="SPAN",
        help="span of the values that the images use, such as 3000 for reflectances (default: that of the sample type)",
    )
    _add_connection(parser)


def _add_plan(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = _subparser(
        commands, "plan", help="say how large a target would be and how long it would take", usage=PLAN_USAGE
    )
    parser.set_defaults(run=_commands.plan)
    parser.add_argument(
        "what",
        metavar="SCENE | HEIGHT WIDTH",
        nargs="+",
        action=_Planned,
        help="a raster that GDAL opens, or the size of an image in pixels",
    )
    add_pixels(parser)
    _add_parameters(parser)
    _add_tiles(parser.add_argument_group("how to stream a raster"))
    _add_connection(parser)


class _Planned(argparse.Action):
    """Tells a scene from a height and a width."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002  argparse's own
    ) -> None:
        """Set `scene` of one value, `height_px` and `width_px` of two."""
        given = list(values or ())
        if len(given) == 1 and not (given[0].isdecimal() and not Path(given[0]).exists()):
            namespace.scene, namespace.height_px, namespace.width_px = given[0], None, None
            return
        try:
            height_px, width_px = map(int, given)
        except ValueError:
            parser.error("accepted are one scene, or HEIGHT and WIDTH in pixels")
        namespace.scene, namespace.height_px, namespace.width_px = None, height_px, width_px


def _add_verify(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = _subparser(
        commands, "verify", help="check that rasters are what was made, sample by sample", epilog=VERIFY_EPILOG
    )
    parser.set_defaults(run=_raster_commands.verify)
    parser.add_argument("outputs", metavar="OUT", nargs="+", help="a raster that `hndsr upscale` made, or was to make")
    parser.add_argument("--quiet", action="store_true", help="no progress, and no line for what is as it was made")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each")


def _add_info(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = commands.add_parser("info", help="list the models being served and the limits")
    parser.set_defaults(run=_commands.info)
    _add_connection(parser)


def _add_probe(commands: argparse._SubParsersAction[PathsParser]) -> None:
    parser = _subparser(
        commands, "probe", help="check that the service answers, and answers the right bytes", epilog=PROBE_EPILOG
    )
    parser.add_argument("service", metavar="TARGET", nargs="?", help="the service, HOST:PORT; the same as --target")
    _add_target(parser)
    parser.set_defaults(run=_probe_command.run, target=None, default_target=_default_target())
    parser.add_argument("--model", metavar="NAME", default=BICUBIC, help=f"model (default {BICUBIC})")
    _add_way(parser)
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="seconds that the probe may take (default 10)"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="probe until SIGTERM, and serve metrics for Prometheus")
    parser.add_argument("--interval", type=float, metavar="S", help="seconds from probe to probe (default 30)")
    parser.add_argument("--json", "--json-lines", action="store_true", help="print a line of JSON for each probe")


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to upscale")
    group.add_argument("--scale", default="4", metavar="S", help="target px per source px: 4, 3.14, 22/7 (default 4)")
    group.add_argument("--steps", type=int, metavar="N", help="diffusion steps, 0 = prior alone (server's default 4)")
    group.add_argument("--texture", type=float, metavar="T", help="weight of drawn texture (server's default 1)")
    group.add_argument("--seed", type=int, metavar="N", help="seed of the noise (server's default 0)")
    group.add_argument("--model", metavar="NAME", help="model (default: the server's)")


def _add_manner(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to be served")
    group.add_argument(
        "--priority",
        choices=("interactive", "batch"),
        help="whose turn comes first (default: interactive for image files, batch for rasters and arrays)",
    )
    group.add_argument(
        "--allow-degraded",
        action="store_true",
        default=None,
        help="rather the prior alone, or bicubic, than no image file where the model cannot answer",
    )


def _add_encoding(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("how to write")
    group.add_argument("--quality", type=int, metavar="N", help="of JPEG and lossy WebP, 1 to 100")
    loss = group.add_mutually_exclusive_group()
    loss.add_argument("--lossless", action="store_true", default=None, help="every sample as it is (all but JPEG)")
    loss.add_argument("--lossy", dest="lossless", action="store_false", default=None, help="smaller (JPEG and WebP)")
    return group


def _add_streaming(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to stream a raster or an array")
    group.add_argument("--mask", metavar="FILE", help="which pixels of an array are valid: bool, height x width, .npy")
    group.add_argument(
        "--restart", action="store_true", default=None, help="begin anew where an earlier run has left something"
    )
    _add_tiles(group)


def _add_tiles(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tile-cores",
        type=int,
        choices=range(1, MAX_TILE_CORES + 1),
        metavar="N",
        help=f"side of a tile in cores, 1 to {MAX_TILE_CORES} (default: the server's choice)",
    )


def _add_connection(
    parser: argparse.ArgumentParser, *, json_help: str = "print the result as JSON"
) -> argparse._MutuallyExclusiveGroup:
    """Add where to upscale, and the group of what is printed for programs."""
    group = parser.add_argument_group("where to upscale")
    where = group.add_mutually_exclusive_group()
    _add_target(where)
    where.add_argument("--embedded", action="store_true", help="start a gateway on this machine for this command")
    _add_way(group)
    group.add_argument("--timeout", type=float, metavar="S", help="seconds that a call may take (default: any)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help=json_help)
    return form


def _add_target(where: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup) -> None:
    where.add_argument(
        "--target",
        metavar="HOST:PORT",
        default=_default_target(),
        help=f"the service (default: {TARGET_VARIABLE}, else {DEFAULT_TARGET})",
    )


def _default_target() -> str:
    return os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET


def _add_way(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls",
        action=argparse.BooleanOptionalAction,
        help="encrypt the way to --target, or not, in spite of a key that goes that way",
    )
    group.add_argument("--ca", metavar="FILE", help="certificates (PEM) of who may vouch for it; implies --tls")
    group.add_argument(
        "--cert", metavar="FILE", help="certificate (PEM) that says who calls, with --key; implies --tls"
    )
    group.add_argument("--key", metavar="FILE", help="the certificate's private key (PEM), not encrypted")
    group.add_argument(
        "--metadata",
        metavar="KEY=VALUE",
        type=_pair,
        action="append",
        default=[],
        help="sent beside every request to --target; may be repeated",
    )


def _subparser(commands: argparse._SubParsersAction[PathsParser], name: str, **words: Any) -> PathsParser:
    return commands.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **words)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value
