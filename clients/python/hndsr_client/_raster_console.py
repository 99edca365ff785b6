"""What the subcommands that work on rasters share."""

from __future__ import annotations

import argparse
import os
import sys

from hndsr_client import _raster_report
from hndsr_client._console import put_now
from hndsr_client._destinations import Scene, is_folder
from hndsr_client._geo import geo
from hndsr_client._messages import file_error_message
from hndsr_client._raster_parser import source_of, target_of
from hndsr_client._raster_report import SceneOutcome


def is_many(arguments: argparse.Namespace) -> bool:
    """Whether rasters are made in a folder, which may be but one."""
    return len(arguments.sources) > 1 or is_folder(arguments.destination)


def is_shown(arguments: argparse.Namespace) -> bool:
    """Whether a terminal shows progress."""
    # A bar on the terminal that shows lines of JSON as well would tear them.
    torn = arguments.json_lines or (arguments.json and is_many(arguments))
    return sys.stderr.isatty() and not arguments.quiet and not (torn and sys.stdout.isatty())


def check(arguments: argparse.Namespace, scene: Scene) -> None:
    """Say what is wrong with the files before a gateway is waited for; else the call itself is soon enough."""
    if not arguments.embedded:
        return
    source = source_of(arguments, scene.source)
    if not scene.destination or arguments.dry_run:
        geo("reading").Reading(source).close()
        return
    target = target_of(arguments, scene.destination)
    order = geo("order").order_of(source, target, {}, resume=not arguments.restart)
    geo("job").RasterJob(order, lambda _: None).close()


def is_skipped(arguments: argparse.Namespace, scene: Scene) -> bool:
    """Whether it exists and is to be left alone."""
    return bool(arguments.skip_existing) and os.path.lexists(scene.destination)


def tell_outcome(arguments: argparse.Namespace, outcome: SceneOutcome) -> None:
    """Say at once how it ended with a raster: programs are told of each, people of each but those left alone."""
    if outcome.error is not None:
        sys.stderr.write(f"hndsr: error: {file_error_message(outcome.scene.name, outcome.error)}\n")
    if arguments.json_lines:
        put_now(_raster_report.outcome_event(outcome))
    elif arguments.json:
        put_now(_raster_report.raster_json(outcome))
    elif outcome.result is not None and not arguments.quiet:
        put_now(_raster_report.raster_line(outcome))
