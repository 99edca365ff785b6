"""What the subcommands of `hndsr` do."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from hndsr_client import _raster_commands, _raster_plans, _report
from hndsr_client._console import PARAMETERS, connect, given, put, put_now, way_on
from hndsr_client._core.files import EXTENSIONS, ImageDestination, png_size_px
from hndsr_client._destinations import expanded, is_file_name, is_folder, plan_jobs
from hndsr_client._exit_codes import INTERRUPTED, OK, PASSING, batch_exit_code, exit_code
from hndsr_client._messages import file_error_message
from hndsr_client._progress import Course, counting, streaming, waiting
from hndsr_client._raster_parser import PIXELS, WRITING
from hndsr_client._stream.delivery import npy_destination
from hndsr_client._stream.npy import SUFFIX
from hndsr_client._stream.windows import Source
from hndsr_client.batch import FileOutcome, upscale_files
from hndsr_client.client import Client
from hndsr_client.errors import ArgumentError, HndsrError, ServiceError
from hndsr_client.results import UpscaleMetadata

ESTIMATE_TIMEOUT_S = 5.0
ENCODING = "quality", "lossless"
MANNER = "priority", "allow_degraded"
IMAGES, ARRAYS, RASTERS = "image files", ".npy files", "rasters"
RASTERS_ONLY = PIXELS | WRITING
RASTERS_ONLY |= {
    "suffix": "--suffix",
    "skip_existing": "--skip-existing",
    "dry_run": "--dry-run",
    "json_lines": "--json-lines",
}
TAKEN_BY: dict[str, tuple[str, tuple[str, ...]]] = {name: (option, (RASTERS,)) for name, option in RASTERS_ONLY.items()}
TAKEN_BY |= {
    "quality": ("--quality", (IMAGES, RASTERS)),
    "lossless": ("--lossless or --lossy", (IMAGES,)),
    "reference": ("--reference", (IMAGES,)),
    "allow_degraded": ("--allow-degraded", (IMAGES,)),
    "mask": ("--mask", (ARRAYS,)),
    "restart": ("--restart", (ARRAYS, RASTERS)),
    "tile_cores": ("--tile-cores", (ARRAYS, RASTERS)),
}
"""The options that mean something for some kinds of files alone."""


def upscale(arguments: argparse.Namespace) -> int:
    """Upscale rasters, or one array or one image file, and answer the exit code."""
    try:
        return _upscale(arguments)
    except HndsrError as error:
        if arguments.json_lines:
            put_now(_raster_commands.failure_event(arguments, error))
        raise


def _upscale(arguments: argparse.Namespace) -> int:
    arguments.sources = expanded(arguments.sources)
    kind = _kind(arguments)
    _refuse(arguments, kind)
    if kind == RASTERS:
        return _raster_commands.upscale(arguments)
    (arguments.source,) = arguments.sources
    return _upscale_array(arguments) if kind == ARRAYS else _upscale_file(arguments)


def _kind(arguments: argparse.Namespace) -> str:
    """What is made; GeoTIFF of an image file is one if it is to be compared, else a raster."""
    sources, destination = arguments.sources, arguments.destination
    if not destination:
        raise ArgumentError("DST is empty; name the file to make")
    in_folder = is_folder(destination)
    if len(sources) > 1 and not in_folder:
        raise ArgumentError(f"{destination} is no folder, into which several SRC go; name one that exists, or end in /")
    extension = Path(destination).suffix.lower()
    arrays = [Path(source).suffix.lower() == SUFFIX for source in sources]
    if extension == SUFFIX and not in_folder and all(arrays):
        return ARRAYS
    if any(arrays) or (extension == SUFFIX and not in_folder):
        raise ArgumentError("SRC and DST are either both .npy files or neither is")
    if in_folder and not is_file_name(destination):
        raise ArgumentError(f"{destination}: what is made is written on this machine; make it here, then copy it there")
    if in_folder or arguments.format is not None or extension == ".zarr":
        return RASTERS
    if extension in {".tif", ".tiff"}:
        return RASTERS if arguments.reference is None else IMAGES
    if extension not in EXTENSIONS:
        accepted = f"{', '.join(EXTENSIONS)} and .zarr"
        raise ArgumentError(f"{destination}: the destination's extension says no format, accepted are {accepted}")
    if not is_file_name(sources[0]):
        raise ArgumentError(f"{destination}: of what is not on this machine .tif, .tiff and .zarr are made")
    return IMAGES


def _upscale_file(arguments: argparse.Namespace) -> int:
    shown = sys.stderr.isatty() and not arguments.quiet
    # What is wrong with the files is said before a gateway is waited for.
    ImageDestination(
        arguments.destination,
        source=arguments.source,
        reference=arguments.reference,
        overwrite=arguments.overwrite,
    )
    options = given(arguments, *PARAMETERS, *ENCODING, *MANNER, "reference", "overwrite")
    with connect(arguments, shown=shown) as client:
        estimate_s = _estimate_s(client, arguments) if shown else None
        started_s = time.monotonic()
        with waiting(f"upscaling {arguments.source}", estimate_s=estimate_s, shown=shown):
            metadata = client.upscale_file(arguments.source, arguments.destination, **options)
        elapsed_s = time.monotonic() - started_s
    _tell_degraded(metadata, arguments.destination)
    if arguments.json:
        put(_report.as_json(metadata, destination=arguments.destination, elapsed_s=elapsed_s))
    elif not arguments.quiet:
        put(_report.upscaled_text(metadata, destination=arguments.destination, elapsed_s=elapsed_s))
    return OK


def _upscale_array(arguments: argparse.Namespace) -> int:
    shown = sys.stderr.isatty() and not arguments.quiet
    # What is wrong with the files is said before a gateway is waited for.
    npy_destination(
        arguments.destination,
        source=arguments.source,
        mask=arguments.mask,
        resume=not arguments.restart,
        overwrite=arguments.overwrite,
    )
    Source(arguments.source, arguments.mask).close()
    course = Course()
    options = given(arguments, *PARAMETERS, "priority", "mask", "overwrite")
    options |= {"resume": not arguments.restart, "cores_per_tile": arguments.tile_cores}
    try:
        with (
            connect(arguments, shown=shown) as client,
            streaming(f"upscaling {Path(arguments.source).name}", course, shown=shown) as tell,
        ):
            result = client.upscale_array(arguments.source, arguments.destination, on_progress=tell, **options)
    except KeyboardInterrupt:
        sys.stderr.write(f"hndsr: error: interrupted; {way_on(arguments, begun=course.begun)}\n")
        return INTERRUPTED
    except ServiceError as error:
        if course.begun and exit_code(error) in PASSING:
            sys.stderr.write(f"hndsr: {way_on(arguments, begun=course.begun)}\n")
        raise
    if arguments.json:
        put(_report.stream_json(result, destination=arguments.destination))
    elif not arguments.quiet:
        put(_report.streamed_line(result, destination=arguments.destination, made_px=course.made_px))
    return OK


def batch(arguments: argparse.Namespace) -> int:
    """Upscale many files and answer the exit code."""
    # A bar on the terminal that shows the lines of JSON as well would tear them.
    shown = sys.stderr.isatty() and not arguments.quiet and not (arguments.json and sys.stdout.isatty())
    # What is wrong with the files is said before a gateway is waited for.
    plan_jobs(arguments.sources, arguments.into, file_format=arguments.format, suffix=arguments.suffix)
    with connect(arguments, shown=shown) as client:
        started_s = time.monotonic()
        outcomes = _batch_outcomes(client, arguments, shown=shown)
        elapsed_s = time.monotonic() - started_s
    if not arguments.json and not arguments.quiet:
        put(_report.batch_line(outcomes, elapsed_s=elapsed_s))
    return batch_exit_code([outcome.error for outcome in outcomes if outcome.error is not None])


def compare(arguments: argparse.Namespace) -> None:
    """Measure how close one file is to another."""
    with connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.compare(arguments.image, arguments.reference, data_range=arguments.data_range)
    put(_report.as_json(answer) if arguments.json else _report.quality_line(answer))


def plan(arguments: argparse.Namespace) -> None:
    """Say what upscaling a raster, or an image of a size, would take."""
    if arguments.scene is not None:
        _raster_plans.plan(arguments)
        return
    for name, option in PIXELS.items():
        if getattr(arguments, name) is not None:
            raise ArgumentError(f"{option} goes with a scene, not with HEIGHT and WIDTH")
    options = given(arguments, *PARAMETERS) | {"cores_per_tile": arguments.tile_cores}
    with connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.plan(arguments.height_px, arguments.width_px, **options)
        text = _report.as_json(answer) if arguments.json else _report.plan_line(answer, client.info().limits)
    put(text)


def info(arguments: argparse.Namespace) -> None:
    """List models and limits."""
    with connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.info()
    put(_report.as_json(answer) if arguments.json else _report.info_text(answer))


def _batch_outcomes(client: Client, arguments: argparse.Namespace, *, shown: bool) -> list[FileOutcome]:
    options = given(arguments, *PARAMETERS, *ENCODING, *MANNER, "format", "suffix", "overwrite", "skip_existing")
    options |= {"max_concurrency": arguments.jobs}
    with counting("upscaling", total=len(arguments.sources), shown=shown) as advance:

        def tell(outcome: FileOutcome) -> None:
            _tell(outcome, as_json=arguments.json)
            advance()

        return list(upscale_files(client, arguments.sources, arguments.into, on_outcome=tell, **options))


def _refuse(arguments: argparse.Namespace, kind: str) -> None:
    """Say which option means nothing for files of this kind."""
    for name, (option, kinds) in TAKEN_BY.items():
        if kind not in kinds and getattr(arguments, name) is not None:
            raise ArgumentError(f"{option} goes with {' and '.join(kinds)} alone")


def _estimate_s(client: Client, arguments: argparse.Namespace) -> float | None:
    """How long the server thinks it will take; None where the size is not known or it does not say."""
    try:
        size_px = png_size_px(arguments.source)
        if size_px is None:
            return None
        plan = client.plan(*size_px, **given(arguments, *PARAMETERS), timeout_s=ESTIMATE_TIMEOUT_S)
    except (HndsrError, OSError):
        return None
    return plan.estimated_time_s


def _tell_degraded(metadata: UpscaleMetadata, destination: object) -> None:
    """Say whatever else is printed that a file is less than was asked for."""
    if metadata.degraded is not None:
        sys.stderr.write(f"hndsr: {_report.degraded_line(metadata, metadata.degraded, destination=destination)}\n")


def _tell(outcome: FileOutcome, *, as_json: bool) -> None:
    """Say at once how it ended with a file: programs are told of each, people of each that failed."""
    if outcome.error is not None:
        sys.stderr.write(f"hndsr: error: {file_error_message(outcome.source, outcome.error)}\n")
    if outcome.metadata is not None:
        _tell_degraded(outcome.metadata, outcome.destination)
    if as_json:
        put_now(_report.outcome_json(outcome))
