"""What the subcommands of `hndsr` do with rasters."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hndsr_client import _raster_report
from hndsr_client._console import PARAMETERS, connect, given, put, put_now, way_on
from hndsr_client._destinations import Scene, expanded, folder_made, plan_scenes
from hndsr_client._exit_codes import (
    INTERRUPTED,
    OK,
    PASSING,
    UNFORESEEN,
    batch_exit_code,
    exit_code,
    telling,
)
from hndsr_client._geo import geo
from hndsr_client._messages import error_message
from hndsr_client._raster.results import RasterProgress, RasterResult
from hndsr_client._raster_console import check, is_many, is_shown, is_skipped, tell_outcome
from hndsr_client._raster_parser import source_of, target_of
from hndsr_client._raster_plans import dry_run
from hndsr_client._raster_progress import EventLines, RasterCourse, raster_bar, reading_bar
from hndsr_client._raster_report import SceneOutcome
from hndsr_client._report import error_facts
from hndsr_client.client import Client
from hndsr_client.errors import HndsrError, ServiceError
from hndsr_client.raster import verify_raster

Tell = Callable[[RasterProgress], None]


def upscale(arguments: argparse.Namespace) -> int:
    """Upscale one raster, or several into a folder, or say what that would take; answer the exit code."""
    geo("job")  # without the extra nothing is begun
    scenes = _scenes(arguments)
    if not is_many(arguments):
        return dry_run(arguments, scenes) if arguments.dry_run else _upscale_one(arguments, scenes[0])
    with folder_made(arguments.destination, kept=not arguments.dry_run):
        return dry_run(arguments, scenes) if arguments.dry_run else _upscale_all(arguments, scenes)


def failure_event(arguments: argparse.Namespace, error: HndsrError) -> str:
    """What ended the command, as JSON on one line."""
    scene = None if is_many(arguments) else Scene(arguments.sources[0], arguments.destination)
    return _raster_report.event_line("error", scene, **error_facts(error))


def verify(arguments: argparse.Namespace) -> int:
    """Check rasters that were made, and answer the exit code."""
    codes = [_verify_one(arguments, path) for path in expanded(arguments.outputs)]
    return telling(codes)


def _scenes(arguments: argparse.Namespace) -> list[Scene]:
    if not is_many(arguments):
        return [Scene(arguments.sources[0], arguments.destination)]
    suffix = f"_x{arguments.scale.replace('/', '-')}" if arguments.suffix is None else arguments.suffix
    extension = ".zarr" if arguments.format == "zarr" else ".tif"
    scenes, left_out = plan_scenes(arguments.sources, arguments.destination, extension=extension, suffix=suffix)
    for source in left_out:
        sys.stderr.write(f"hndsr: {source} is left out: it is what another source becomes\n")
    return scenes


def _upscale_one(arguments: argparse.Namespace, scene: Scene) -> int:
    course = RasterCourse()
    try:
        with interrupt_kept():
            outcome = _outcome_of_one(arguments, scene, course)
    except KeyboardInterrupt:
        return _interrupted(arguments, scene, way_on(arguments, begun=course.begun))
    if outcome.error is not None:
        if _may_pass(outcome.error) and course.begun:
            sys.stderr.write(f"hndsr: {way_on(arguments, begun=True)}\n")
        raise outcome.error
    if arguments.json_lines:
        put_now(_raster_report.outcome_event(outcome))
    elif arguments.json:
        put(_raster_report.raster_json(outcome, indent=2))
    elif not arguments.quiet:
        put(_raster_report.raster_line(outcome))
    return OK


@contextmanager
def interrupt_kept() -> Iterator[None]:
    """Have an interrupt remain one, though what is left because of it fails, as GDAL's environment does half made."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KeyboardInterrupt):
                raise cause from error
            cause = cause.__context__
        raise


def _outcome_of_one(arguments: argparse.Namespace, scene: Scene, course: RasterCourse) -> SceneOutcome:
    if is_skipped(arguments, scene):
        return SceneOutcome(scene, None, None, made_px=0, elapsed_s=0.0)
    check(arguments, scene)
    with connect(arguments, shown=is_shown(arguments)) as client:
        return _outcome(client, arguments, scene, course)


def _upscale_all(arguments: argparse.Namespace, scenes: Sequence[Scene]) -> int:
    """Upscale one after the other; one that fails does not end the others."""
    outcomes: list[SceneOutcome] = []
    started_s = time.monotonic()
    try:
        with interrupt_kept(), connect(arguments, shown=is_shown(arguments)) as client:
            for number, scene in enumerate(scenes, 1):
                place = f" ({number} of {len(scenes)})"
                outcomes.append(_outcome(client, arguments, scene, RasterCourse(), place=place))
                tell_outcome(arguments, outcomes[-1])
    except KeyboardInterrupt:
        return _interrupted(arguments, scenes[min(len(outcomes), len(scenes) - 1)], _way_on_all(arguments, outcomes))
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if any(map(_may_pass, errors)):
        sys.stderr.write(f"hndsr: {_way_on_all(arguments, outcomes)}\n")
    if not (arguments.json or arguments.json_lines or arguments.quiet):
        put(_raster_report.scenes_line(outcomes, elapsed_s=time.monotonic() - started_s))
    return batch_exit_code(errors)


def _outcome(
    client: Client, arguments: argparse.Namespace, scene: Scene, course: RasterCourse, *, place: str = ""
) -> SceneOutcome:
    started_s = time.monotonic()
    result, error = None, None
    if not is_skipped(arguments, scene):
        try:
            with _told(arguments, scene, course, place=place) as tell:
                result = _made(client, arguments, scene, tell)
        except HndsrError as failure:
            error = failure
    elapsed_s = time.monotonic() - started_s
    return SceneOutcome(scene, result, error, made_px=course.made_px, elapsed_s=elapsed_s)


def _made(client: Client, arguments: argparse.Namespace, scene: Scene, tell: Tell) -> RasterResult:
    return client.upscale_raster(
        source_of(arguments, scene.source),
        target_of(arguments, scene.destination),
        resume=not arguments.restart,
        cores_per_tile=arguments.tile_cores,
        on_progress=tell,
        **given(arguments, *PARAMETERS, "priority"),
    )


@contextmanager
def _told(arguments: argparse.Namespace, scene: Scene, course: RasterCourse, *, place: str) -> Iterator[Tell]:
    """What a raster's progress is told to: a bar for people, lines for programs."""
    names = {"source": scene.name, "destination": scene.destination}
    events = EventLines(course, put_now, **names) if arguments.json_lines else None
    with raster_bar(scene, course, place=place, shown=is_shown(arguments)) as look:

        def tell(progress: RasterProgress) -> None:
            course.add(progress)
            look()
            if events is not None:
                events.look()

        yield tell


def _interrupted(arguments: argparse.Namespace, scene: Scene, way: str) -> int:
    message = f"interrupted; {way}"
    sys.stderr.write(f"hndsr: error: {message}\n")
    if arguments.json_lines:
        put_now(_raster_report.event_line("error", scene, type="KeyboardInterrupt", message=message, reason=None))
    return INTERRUPTED


def _may_pass(error: HndsrError) -> bool:
    return isinstance(error, ServiceError) and exit_code(error) in PASSING


def _way_on_all(arguments: argparse.Namespace, outcomes: Sequence[SceneOutcome]) -> str:
    """How to go on: what is made already needs no second time, and must not be in the way."""
    more = " with --skip-existing" * any(outcome.result is not None for outcome in outcomes)
    if not more or arguments.skip_existing:
        return way_on(arguments, begun=True)
    without = [option for option in ("overwrite", "restart") if getattr(arguments, option)]
    instead = f", without --{' and --'.join(without)}," * bool(without)
    return f"the same command{more}{instead} goes on with what is missing"


def _verify_one(arguments: argparse.Namespace, path: str) -> int:
    shown = sys.stderr.isatty() and not arguments.quiet and not (arguments.json and sys.stdout.isatty())
    try:
        with reading_bar(f"checking {Path(path).name}", shown=shown) as tell:
            verification = verify_raster(path, on_progress=tell)
    except HndsrError as error:
        sys.stderr.write(f"hndsr: error: {error_message(error)}\n")
        if arguments.json:
            put_now(_raster_report.verification_json(path, None, error))
        return exit_code(error)
    if arguments.json:
        put_now(_raster_report.verification_json(path, verification))
    elif not (arguments.quiet and verification.ok):
        put_now(_raster_report.verification_line(path, verification))
    return OK if verification.ok else UNFORESEEN
