"""What subcommands of `hndsr` share: the client that their options name, and the standard output."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from hndsr_client._progress import waiting
from hndsr_client.client import Client
from hndsr_client.connection import Tls
from hndsr_client.errors import ArgumentError

KEY_VARIABLE = "HNDSR_API_KEY"
PARAMETERS = "scale", "steps", "texture", "seed", "model"


def connect(arguments: argparse.Namespace, *, shown: bool) -> Client:
    """The client of the service that is named, or of a gateway that is started now."""
    if arguments.embedded and (arguments.metadata or _tls(arguments) is not None):
        raise ArgumentError("--tls, --ca, --cert, --key and --metadata go with --target, not with --embedded")
    if not arguments.embedded:
        return remote(arguments)
    with waiting("starting a gateway on this machine", shown=shown):
        return Client.embedded(timeout_s=arguments.timeout)


def remote(arguments: argparse.Namespace, **options: Any) -> Client:
    """The client of the service that is named, with options of `Client` that no argument says."""
    metadata = dict(arguments.metadata)
    return Client(
        arguments.target,
        timeout_s=arguments.timeout,
        tls=_tls(arguments),
        # Whoever lists processes reads their arguments, so a key is none.
        api_key=None if "authorization" in metadata else os.environ.get(KEY_VARIABLE, "").strip() or None,
        metadata=metadata,
        **options,
    )


def given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What was given for each of these, None where nothing was."""
    return {name: getattr(arguments, name) for name in names}


def way_on(arguments: argparse.Namespace, *, begun: bool) -> str:
    """How to go on with a job that was ended."""
    command = "the same command without --restart" if arguments.restart and begun else "the same command"
    return f"{command} goes on with what is missing"


def put(text: str) -> None:
    """Write a line to the standard output."""
    if sys.stdout is None:  # the shell's `>&-`
        raise BrokenPipeError
    sys.stdout.write(f"{text}\n")


def put_now(text: str) -> None:
    """The same, for whoever reads along."""
    put(text)
    sys.stdout.flush()


def _tls(arguments: argparse.Namespace) -> bool | Tls | None:
    ca, certificate, key = arguments.ca, arguments.cert, arguments.key
    if ca is None and certificate is None and key is None:
        return arguments.tls
    if arguments.tls is False:
        raise ArgumentError("--no-tls goes without --ca, --cert and --key")
    if (certificate is None) != (key is None):
        raise ArgumentError("--cert and --key go together")
    return Tls(root_certificates=ca, client_certificate=certificate, client_key=key)
