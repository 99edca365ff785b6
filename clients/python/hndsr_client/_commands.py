"""What the subcommands of `hndsr` do."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from hndsr_client import _report
from hndsr_client._files import Destination, png_size_px
from hndsr_client._progress import waiting
from hndsr_client.client import Client
from hndsr_client.errors import HndsrError

ESTIMATE_TIMEOUT_S = 5.0


def upscale(arguments: argparse.Namespace) -> None:
    """Upscale one file."""
    shown = sys.stderr.isatty() and not arguments.quiet
    # What is wrong with the files is said before a gateway is waited for.
    Destination(arguments.destination, source=arguments.source, overwrite=arguments.overwrite)
    with _connect(arguments, shown=shown) as client:
        estimate_s = _estimate_s(client, arguments) if shown else None
        started_s = time.monotonic()
        with waiting(f"upscaling {arguments.source}", estimate_s=estimate_s, shown=shown):
            metadata = client.upscale_file(
                arguments.source, arguments.destination, overwrite=arguments.overwrite, **_parameters(arguments)
            )
        elapsed_s = time.monotonic() - started_s
    if arguments.json:
        _print(_report.as_json(metadata, destination=arguments.destination, elapsed_s=elapsed_s))
    elif not arguments.quiet:
        _print(_report.upscaled_line(metadata, destination=arguments.destination, elapsed_s=elapsed_s))


def plan(arguments: argparse.Namespace) -> None:
    """Say how an image of a size would be upscaled."""
    with _connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.plan(arguments.height_px, arguments.width_px, **_parameters(arguments))
        text = _report.as_json(answer) if arguments.json else _report.plan_line(answer, client.info().limits)
    _print(text)


def info(arguments: argparse.Namespace) -> None:
    """List models and limits."""
    with _connect(arguments, shown=sys.stderr.isatty()) as client:
        answer = client.info()
    _print(_report.as_json(answer) if arguments.json else _report.info_text(answer))


def _connect(arguments: argparse.Namespace, *, shown: bool) -> Client:
    if not arguments.embedded:
        return Client(arguments.target, timeout_s=arguments.timeout)
    with waiting("starting a gateway on this machine", shown=shown):
        return Client.embedded(timeout_s=arguments.timeout)


def _parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("scale", "steps", "texture", "seed", "model")}


def _estimate_s(client: Client, arguments: argparse.Namespace) -> float | None:
    """How long the server thinks it will take; None where the size is not known or it does not say."""
    try:
        size_px = png_size_px(arguments.source)
        if size_px is None:
            return None
        plan = client.plan(*size_px, **_parameters(arguments), timeout_s=ESTIMATE_TIMEOUT_S)
    except (HndsrError, OSError):
        return None
    return plan.estimated_time_s


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
