"""What the subcommands of `hndsr` do."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hndsr_client import _report
from hndsr_client._core.files import ImageDestination, png_size_px
from hndsr_client._destinations import plan_jobs
from hndsr_client._exit_codes import DEADLINE, INTERRUPTED, OK, UNAVAILABLE, batch_exit_code, exit_code
from hndsr_client._messages import file_error_message
from hndsr_client._progress import Course, counting, streaming, waiting
from hndsr_client._stream.delivery import npy_destination
from hndsr_client._stream.npy import SUFFIX
from hndsr_client._stream.windows import Source
from hndsr_client.batch import FileOutcome, upscale_files
from hndsr_client.client import Client
from hndsr_client.connection import Tls
from hndsr_client.errors import ArgumentError, HndsrError, ServiceError

ESTIMATE_TIMEOUT_S = 5.0
PARAMETERS = "scale", "steps", "texture", "seed", "model"
ENCODING = "quality", "lossless"
PASSING = UNAVAILABLE, DEADLINE
IMAGES_ONLY = {"quality": "--quality", "lossless": "--lossless or --lossy", "reference": "--reference"}
ARRAYS_ONLY = {"mask": "--mask", "restart": "--restart", "tile_cores": "--tile-cores"}


def upscale(arguments: argparse.Namespace) -> int:
    """Upscale one image file, or stream one array, and answer the exit code."""
    arrays = [Path(path).suffix.lower() == SUFFIX for path in (arguments.source, arguments.destination)]
    if any(arrays) and not all(arrays):
        raise ArgumentError("SRC and DST are either both .npy files or both image files")
    _refuse(arguments, IMAGES_ONLY if any(arrays) else ARRAYS_ONLY)
    return _upscale_array(arguments) if any(arrays) else _upscale_file(arguments)


def _upscale_file(arguments: argparse.Namespace) -> int:
    shown = sys.stderr.isatty() and not arguments.quiet
    # What is wrong with the files is said before a gateway is waited for.
    ImageDestination(
        arguments.destination,
        source=arguments.source,
        reference=arguments.reference,
        overwrite=arguments.overwrite,
    )
    options = _options(arguments, *PARAMETERS, *ENCODING, "reference", "overwrite")
    with _connect(arguments, shown=shown) as client:
        estimate_s = _estimate_s(client, arguments) if shown else None
        started_s = time.monotonic()
        with waiting(f"upscaling {arguments.source}", estimate_s=estimate_s, shown=shown):
            metadata = client.upscale_file(arguments.source, arguments.destination, **options)
        elapsed_s = time.monotonic() - started_s
    if arguments.json:
        _print(_report.as_json(metadata, destination=arguments.destination, elapsed_s=elapsed_s))
    elif not arguments.quiet:
        _print(_report.upscaled_text(metadata, destination=arguments.destination, elapsed_s=elapsed_s))
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
    options = _options(arguments, *PARAMETERS, "mask", "overwrite")
    options |= {"resume": not arguments.restart, "cores_per_tile": arguments.tile_cores}
    try:
        with (
            _connect(arguments, shown=shown) as client,
            streaming(f"upscaling {Path(arguments.source).name}", course, shown=shown) as tell,
        ):
            result = client.upscale_array(arguments.source, arguments.destination, on_progress=tell, **options)
    except KeyboardInterrupt:
        sys.stderr.write(f"hndsr: error: interrupted; {_way_on(arguments, course)}\n")
        return INTERRUPTED
    except ServiceError as error:
        if course.begun and exit_code(error) in PASSING:
            sys.stderr.write(f"hndsr: {_way_on(arguments, course)}\n")
        raise
    if arguments.json:
        _print(_report.stream_json(result, destination=arguments.destination))
    elif not arguments.quiet:
        _print(_report.streamed_line(result, destination=arguments.destination, made_px=course.made_px))
    return OK


def batch(arguments: argparse.Namespace) -> int:
    """Upscale many files and answer the exit code."""
    # A bar on the terminal that shows the lines of JSON as well would tear them.
    shown = sys.stderr.isatty() and not arguments.quiet and not (arguments.json and sys.stdout.isatty())
    # What is wrong with the files is said before a gateway is waited for.
    plan_jobs(arguments.sources, arguments.into, file_format=arguments.format, suffix=arguments.suffix)
    with _connect(arguments, shown=shown) as client:
        started_s = time.monotonic()
        outcomes = _batch_outcomes(client, arguments, shown=shown)
        elapsed_s = time.monotonic() - started_s
    if not arguments.json and not arguments.quiet:
        _print(_report.batch_line(outcomes, elapsed_s=elapsed_s))
    return batch_exit_code([outcome.error for outcome in outcomes if outcome.error is not None])


def compare(arguments: argparse.Namespace) -> None:
    """Measure how close one file is to another."""
    with _connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.compare(arguments.image, arguments.reference, data_range=arguments.data_range)
    _print(_report.as_json(answer) if arguments.json else _report.quality_line(answer))


def plan(arguments: argparse.Namespace) -> None:
    """Say how an image of a size would be upscaled."""
    with _connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.plan(arguments.height_px, arguments.width_px, **_options(arguments, *PARAMETERS))
        text = _report.as_json(answer) if arguments.json else _report.plan_line(answer, client.info().limits)
    _print(text)


def info(arguments: argparse.Namespace) -> None:
    """List models and limits."""
    with _connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.info()
    _print(_report.as_json(answer) if arguments.json else _report.info_text(answer))


def _connect(arguments: argparse.Namespace, *, shown: bool) -> Client:
    if arguments.embedded and (arguments.tls or arguments.ca or arguments.metadata):
        raise ArgumentError("--tls, --ca and --metadata go with --target, not with --embedded")
    if not arguments.embedded:
        return Client(
            arguments.target, timeout_s=arguments.timeout, tls=_tls(arguments), metadata=dict(arguments.metadata)
        )
    with waiting("starting a gateway on this machine", shown=shown):
        return Client.embedded(timeout_s=arguments.timeout)


def _batch_outcomes(client: Client, arguments: argparse.Namespace, *, shown: bool) -> list[FileOutcome]:
    options = _options(arguments, *PARAMETERS, *ENCODING, "format", "suffix", "overwrite", "skip_existing")
    options |= {"max_concurrency": arguments.jobs}
    with counting("upscaling", total=len(arguments.sources), shown=shown) as advance:

        def tell(outcome: FileOutcome) -> None:
            _tell(outcome, as_json=arguments.json)
            advance()

        return list(upscale_files(client, arguments.sources, arguments.into, on_outcome=tell, **options))


def _tls(arguments: argparse.Namespace) -> bool | Tls:
    return arguments.tls if arguments.ca is None else Tls(root_certificates=arguments.ca)


def _options(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names}


def _refuse(arguments: argparse.Namespace, options: Mapping[str, str]) -> None:
    """Say which option means nothing for files of this kind."""
    for name, option in options.items():
        if getattr(arguments, name) is not None:
            kind = "image files" if options is IMAGES_ONLY else ".npy files"
            raise ArgumentError(f"{option} goes with {kind} alone")


def _way_on(arguments: argparse.Namespace, course: Course) -> str:
    command = "the same command without --restart" if arguments.restart and course.begun else "the same command"
    return f"{command} goes on with what is missing"


def _estimate_s(client: Client, arguments: argparse.Namespace) -> float | None:
    """How long the server thinks it will take; None where the size is not known or it does not say."""
    try:
        size_px = png_size_px(arguments.source)
        if size_px is None:
            return None
        plan = client.plan(*size_px, **_options(arguments, *PARAMETERS), timeout_s=ESTIMATE_TIMEOUT_S)
    except (HndsrError, OSError):
        return None
    return plan.estimated_time_s


def _tell(outcome: FileOutcome, *, as_json: bool) -> None:
    """Say at once how it ended with a file: programs are told of each, people of each that failed."""
    if outcome.error is not None:
        sys.stderr.write(f"hndsr: error: {file_error_message(outcome.source, outcome.error)}\n")
    if as_json:
        _print(_report.outcome_json(outcome))
        sys.stdout.flush()


def _print(text: str) -> None:
    if sys.stdout is None:  # the shell's `>&-`
        raise BrokenPipeError
    sys.stdout.write(f"{text}\n")
