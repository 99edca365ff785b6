"""Where to call and how long to wait, checked before anything is called."""

from __future__ import annotations

import re

import numpy as np

from hndsr_client.errors import ArgumentError

# About three years. gRPC takes spans of centuries for none at all.
MAX_TIMEOUT_S = 100_000_000
MAX_PORT = 65_535

# Left to gRPC are names with a scheme, with a path, without a port, and ports that have names.
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:/\[\]]*):(?P<port>[+-]?[0-9]*)")
_SCHEMES = {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"}


def checked_target(target: str) -> str:
    """The address, if gRPC would call what is written.

    Raises:
        ArgumentError: No readable text, empty, a URL, or HOST:PORT without a host or with a port outside 1 to 65535.
    """
    if not isinstance(target, str) or not target.strip() or not target.isprintable():
        raise ArgumentError(f"the target is {target!r}, accepted is HOST:PORT")
    if target.startswith(("http://", "https://")):
        raise ArgumentError(f"the target is {target!r}, accepted is HOST:PORT without a scheme")
    parts = _HOST_AND_PORT.fullmatch(target)
    if parts is not None and parts["host"] not in _SCHEMES:
        _check_parts(target, host=parts["host"], port=parts["port"])
    return target


def checked_timeout_s(timeout_s: float | None) -> float | None:
    """The span, if a call can be given it; None for any.

    Raises:
        ArgumentError: No number, or outside 0 to `MAX_TIMEOUT_S`.
    """
    if timeout_s is None:
        return None
    is_number = isinstance(timeout_s, (int, float, np.integer, np.floating)) and not isinstance(timeout_s, bool)
    if not is_number or not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ArgumentError(f"timeout_s is {timeout_s!r}, accepted is a number above 0, at most {MAX_TIMEOUT_S:,}")
    return float(timeout_s)


def _check_parts(target: str, *, host: str, port: str) -> None:
    # gRPC drops the upper bits of a larger port, and so calls another.
    port_is_valid = port.isdigit() and len(port) <= len(str(MAX_PORT)) and 1 <= int(port) <= MAX_PORT
    if not host.strip() or not port_is_valid:
        raise ArgumentError(f"the target is {target!r}, accepted is HOST:PORT with a port from 1 to {MAX_PORT}")
