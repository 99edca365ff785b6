"""What the subcommands of `hndsr` say of rasters that are not upscaled yet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hndsr_client import _raster_report
from hndsr_client._console import PARAMETERS, connect, given, put, put_now
from hndsr_client._destinations import Scene
from hndsr_client._exit_codes import LOCAL_FILE, OK, exit_code, telling
from hndsr_client._geo import geo
from hndsr_client._raster.address import public
from hndsr_client._raster_console import check, is_many, is_shown, is_skipped, tell_outcome
from hndsr_client._raster_parser import source_of, target_of
from hndsr_client._raster_plan_report import PlannedScene, raster_plan_json, raster_plan_text
from hndsr_client._raster_report import SceneOutcome
from hndsr_client.client import Client
from hndsr_client.errors import HndsrError


def dry_run(arguments: argparse.Namespace, scenes: Sequence[Scene]) -> int:
    """Say what each would take, of a tile that is upscaled to know."""
    codes = []
    if len(scenes) == 1:
        check(arguments, scenes[0])
    with connect(arguments, shown=is_shown(arguments)) as client:
        for scene in scenes:
            if is_skipped(arguments, scene):
                _put_skipped(arguments, scene)
                continue
            try:
                planned = _planned(client, arguments, scene.source, scene.destination, measured=True)
            except HndsrError as error:
                if len(scenes) == 1:
                    raise
                tell_outcome(arguments, SceneOutcome(scene, None, error, made_px=0, elapsed_s=0.0))
                codes.append(exit_code(error))
                continue
            _put_plan(arguments, planned)
            codes.append(LOCAL_FILE if planned.missing_bytes else OK)
    return telling(codes)


def plan(arguments: argparse.Namespace) -> None:
    """Say what upscaling a raster would take."""
    scene = Scene(arguments.scene, "")
    check(arguments, scene)
    with connect(arguments, shown=sys.stderr.isatty()) as client:
        planned = _planned(client, arguments, arguments.scene, None, measured=False)
    put(raster_plan_json(planned) if arguments.json else raster_plan_text(planned))


def _planned(
    client: Client, arguments: argparse.Namespace, path: str, destination: str | None, *, measured: bool
) -> PlannedScene:
    source = source_of(arguments, path)
    with geo("reading").Reading(source) as reading:
        raster = reading.raster
    plan = client.plan_raster(
        source,
        None if destination is None else target_of(arguments, destination),
        measured=measured,
        cores_per_tile=arguments.tile_cores,
        **given(arguments, *PARAMETERS),
    )
    return PlannedScene(public(path), destination, raster, plan)


def _put_skipped(arguments: argparse.Namespace, scene: Scene) -> None:
    outcome = SceneOutcome(scene, None, None, made_px=0, elapsed_s=0.0)
    if arguments.json_lines:
        put_now(_raster_report.outcome_event(outcome))
    elif arguments.json:
        put_now(_raster_report.raster_json(outcome))
    else:
        put_now(_raster_report.raster_line(outcome))


def _put_plan(arguments: argparse.Namespace, planned: PlannedScene) -> None:
    if arguments.json_lines:
        put_now(raster_plan_json(planned, event="plan"))
    elif arguments.json:
        put_now(raster_plan_json(planned, indent=None if is_many(arguments) else 2))
    else:
        put_now(raster_plan_text(planned))
