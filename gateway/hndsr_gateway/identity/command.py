"""`hndsr-gateway keys`: make, list and revoke API keys."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hndsr_gateway.caller import Scope
from hndsr_gateway.errors import StartupError
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import ApiKey, KeyQuotas, Name, listed

FILE_VARIABLE = "HNDSR_API_KEYS"
SPAN = re.compile(r"([1-9][0-9]{0,4})([hd])")
QUOTAS = tuple(KeyQuotas.model_fields)
COLUMNS = ("NAME", "ID", "STATE", "SCOPES", "CREATED", "EXPIRES", "QUOTAS")


class NoFileError(StartupError):
    """It is not said which file the keys are in."""

    def __init__(self) -> None:
        super().__init__(f"which file? Set {FILE_VARIABLE}, or give --file")


def add_keys(commands: Any) -> None:
    """Add the subcommand to those of `hndsr-gateway`; `run` is what it does.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
    """
    keys = commands.add_parser("keys", help="make, list and revoke API keys")
    actions = keys.add_subparsers(title="commands", required=True, metavar="COMMAND")
    create = actions.add_parser("create", help="make a key; standard output gets it this once")
    create.add_argument("name", metavar="NAME", type=_name, help="whose it is: letters, digits, and . _ @ -")
    scopes = ",".join(scope.value for scope in Scope)
    create.add_argument("--scopes", type=_scopes, default=list(Scope), help=f"what it is for (default {scopes})")
    create.add_argument("--expires", metavar="90d|DATE", type=_expiry, help="when it counts no more (default: never)")
    for quota in QUOTAS:
        create.add_argument(f"--{quota.replace('_', '-')}", metavar="N", type=_count, default=0, help=_HELP[quota])
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", help="list the keys, without their secrets")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="have a key count no more; running gateways notice within a second")
    revoke.add_argument("named", metavar="NAME|ID")
    revoke.set_defaults(run=_revoke)
    for action in (create, listing, revoke):
        default = os.environ.get(FILE_VARIABLE)
        action.add_argument("--file", metavar="F", default=default, help=f"of the keys (default: {FILE_VARIABLE})")


_HELP = {
    "requests_per_minute": "calls in a minute (default: HNDSR_REQUESTS_PER_MINUTE)",
    "target_px_per_hour": "target pixels in an hour (default: HNDSR_TARGET_PX_PER_HOUR)",
    "calls": "unary calls at once (default: HNDSR_CALLS_PER_CALLER)",
    "streams": "streams at once (default: HNDSR_STREAMS_PER_CALLER)",
}


def _create(arguments: argparse.Namespace) -> None:
    quotas = KeyQuotas(**{quota: getattr(arguments, quota) for quota in QUOTAS})
    text, key = _store(arguments).create(
        arguments.name, scopes=arguments.scopes, expires=arguments.expires, quotas=quotas
    )
    sys.stderr.write(f"key {key.name!r}, id {key.id}, for {', '.join(listed(key.scopes))}; it is shown this once:\n")
    sys.stdout.write(f"{text}\n")


def _list(arguments: argparse.Namespace) -> None:
    keys, now = _store(arguments).entries(), datetime.now(timezone.utc)
    if arguments.json:
        shown = [{**key.model_dump(mode="json", exclude={"sha256"}), "state": key.state(now)} for key in keys]
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return
    rows = [COLUMNS, *(_row(key, now) for key in keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")


def _row(key: ApiKey, now: datetime) -> Sequence[str]:
    quotas = ", ".join(f"{name}={count}" for name, count in key.quotas if count)
    expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d}"
    return key.name, key.id, key.state(now), ",".join(listed(key.scopes)), f"{key.created:%Y-%m-%d}", expires, quotas


def _revoke(arguments: argparse.Namespace) -> None:
    key = _store(arguments).revoke(arguments.named)
    sys.stderr.write(f"key {key.name!r}, id {key.id}, is revoked\n")


def _store(arguments: argparse.Namespace) -> KeyStore:
    if not arguments.file:
        raise NoFileError
    return KeyStore(Path(arguments.file))


def _name(text: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no name: 1 to 64 letters, digits, and . _ @ -") from error


def _scopes(text: str) -> list[Scope]:
    try:
        return [Scope(name.strip()) for name in text.split(",")]
    except ValueError as error:
        known = ", ".join(scope.value for scope in Scope)
        raise argparse.ArgumentTypeError(f"{text!r}: scopes are {known}") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _expiry(text: str) -> datetime:
    """A time from now, or a date, at whose beginning in UTC it is over."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    if span := SPAN.fullmatch(text):
        count, unit = int(span[1]), span[2]
        return now + (timedelta(hours=count) if unit == "h" else timedelta(days=count))
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a span, as 90d or 12h, nor a date") from error
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    if when <= now:
        raise argparse.ArgumentTypeError(f"{text!r} is over")
    return when
